"""Your own training loop with RigL: five in a hundred weights, some of which move while the network learns.

Run: python examples/sparse_loop.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import sparsefire as sf


def main(epochs: int = 15) -> None:
    """Train a sparse network on digits and print its accuracy on held-out rows."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16, y, test_size=0.2, stratify=y, random_state=0)
    x_train, x_test = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    y_train, y_test = (torch.tensor(part) for part in parts[2:])

    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    opt = torch.optim.AdamW(net.parameters(), lr=1e-2)
    order = torch.Generator().manual_seed(0)
    batches = len(x_train) // 64
    topology = sf.sparsify(net, density=0.05, method="rigl", optimizer=opt, steps=epochs * batches, rng=0)
    rule = sf.rules.Backprop()

    before = {name: mask.clone() for name, mask in sf.masks.masks(net).items()}
    for _ in range(epochs):
        for batch in torch.randperm(len(x_train), generator=order)[: batches * 64].split(64):
            rule(net, nn.functional.cross_entropy, x_train[batch], y_train[batch])
            opt.step()
            topology.step()
            opt.zero_grad()
    after = sf.masks.masks(net)
    moved = sum(int((after[name] & ~before[name]).sum()) for name in before)
    kept = sum(int(mask.sum()) for mask in after.values())
    sf.bake(net)
    accuracy = (net(x_test).argmax(dim=1) == y_test).float().mean()
    print(f"{kept:,} weights (density {sf.density(net):.3f}), {moved:,} of them not where they began")
    print(f"accuracy on {len(x_test)} held-out rows: {100 * accuracy:.1f}%")


if __name__ == "__main__":
    main()

"""Learn without a backward pass, dense and sparse, beside back-propagation.

A forward gradient's noise grows with the number of weights it perturbs; a sparse network has fewer. That alone does not
make it learn faster, as the numbers show: a random mask also takes away what the network could have used.
Run: python examples/forward_gradient.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import sparsefire as sf


def final_loss(rule: sf.rules.Rule, density: float, steps: int = 200) -> float:
    """Train on digits for a number of steps and return the loss over all rows."""
    x, y = load_digits(return_X_y=True)
    rows, target = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    sf.train.networks.initialise_(net, 0)
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    topology = sf.sparsify(net, density=density, method="static", optimizer=opt, rng=0)
    order = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(0, len(rows), (128,), generator=order)
        rule(net, nn.functional.cross_entropy, rows[batch], target[batch])
        opt.step()
        topology.step()
        opt.zero_grad()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(rows), target))


def main() -> None:
    """Print the loss after the same number of steps."""
    weights = 64 * 64 + 64 * 10
    print("loss of digits after 200 steps (guessing: 2.30)")
    for density in (1.0, 0.1):
        generator = torch.Generator().manual_seed(1)
        forward = final_loss(sf.rules.ForwardGradient(directions=16, rng=generator), density)
        exact = final_loss(sf.rules.Backprop(), density)
        kept = f"{round(density * weights):>7,} weights"
        print(f"{kept}   forward gradient {forward:.3f}   back-propagation {exact:.3f}")


if __name__ == "__main__":
    main()

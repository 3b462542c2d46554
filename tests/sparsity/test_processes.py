"""Oracle: two processes with other data each, which must end with the same network to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS, sparsify

ADDING = [name for name, one in METHODS.items() if one.parameterisation is not None]
RESTING = {"top-k", "str", "continuous", "l0", "gates"}  # some of their parameters have no gradient at times
WORKER = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from sparsefire.sparsity import sparsify

rank, place, *methods = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{place}/meet", rank=int(rank), world_size=2)
found = {}
for asked in methods:
    method, order, unused = asked.split(":")
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    options = {"optimizer": optimizer, "scheduler": scheduler, "steps": 40, "rng": 0}
    if order == "before":
        topology = sparsify(net, 0.25, method, **options)
    parallel = DistributedDataParallel(net, find_unused_parameters=unused == "unused")
    if order == "after":
        topology = sparsify(net, 0.25, method, **options)
    data = torch.Generator().manual_seed(100 + int(rank))
    for _ in range(40):
        x, y = torch.randn(16, 12, generator=data), torch.randint(0, 3, (16,), generator=data)
        nn.functional.cross_entropy(parallel(x), y).backward()
        optimizer.step(), scheduler.step(), topology.step(), optimizer.zero_grad()
    found[asked] = {"x": x, **net.state_dict()}
torch.save(found, f"{place}/rank{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
def test_two_processes_end_with_one_network(tmp_path: Path) -> None:
    asked = [f"{name}:before:{'unused' if name in RESTING else 'used'}" for name in [*ADDING, "rigl+sign-in"]]
    asked += [f"{name}:after:used" for name in ("static", "gmp", "rigl", "imp")]  # as trainers do
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    surroundings = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PATH": "", "HOME": str(tmp_path)}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path), *asked],
            env=surroundings, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=300)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert list(one) == asked
    for name in asked:
        assert not torch.equal(one[name].pop("x"), two[name].pop("x"))
        assert [key for key, value in one[name].items() if not torch.equal(value, two[name][key])] == [], name


def test_a_wrapped_network_takes_no_new_parameters(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Linear(4, 4))
        optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
        with pytest.raises(UserError, match="would not average"):
            sparsify(wrapped, 0.5, "sign-in", optimizer=optimizer, steps=4)
        assert masks.masks(wrapped) == {}
        sparsify(wrapped, 0.5, "rigl", optimizer=optimizer, steps=4)
        assert list(masks.masks(wrapped)) == ["module"]
    finally:
        torch.distributed.destroy_process_group()

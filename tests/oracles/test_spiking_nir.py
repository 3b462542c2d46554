"""Oracle: NIR files read by nir itself, run by an Euler loop of NIR's equations and by snnTorch.

NIR: doi:10.1038/s41467-024-52259-9. Reset is to v_reset, the threshold is exceeded strictly, weights are [out, in].
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire import spiking as sp
from sparsefire.errors import UserError

nir = pytest.importorskip("nir")

DT = 1e-4


def seeded(*modules: nn.Module, scale: float = 1.0) -> sp.Sequential:
    draws = torch.Generator().manual_seed(0)
    net = sp.Sequential(*modules)
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            module.weight.data.copy_(scale * torch.randn(module.weight.shape, generator=draws))
            if module.bias is not None:
                module.bias.data.copy_(0.1 * torch.randn(module.bias.shape, generator=draws))
    return net


def spikes_in(steps: int, batch: int, *shape: int, p: float = 0.3) -> torch.Tensor:
    return (torch.rand(steps, batch, *shape, generator=torch.Generator().manual_seed(1)) < p).float()


def in_order(graph: Any) -> list[Any]:
    follows, name, found = dict(graph.edges), next(k for k, n in graph.nodes.items() if isinstance(n, nir.Input)), []
    while name in follows:
        name = follows[name]
        found.append(graph.nodes[name])
    assert isinstance(found[-1], nir.Output)
    assert len(found) == len(graph.nodes) - 1
    return found[:-1]


def euler(nodes: list[Any], x: np.ndarray, dt: float) -> np.ndarray:
    """Run affine maps and neurons, forward Euler, as the equations of NIR say."""
    state: dict[int, list[np.ndarray]] = {}
    out = []
    for row in x:
        y = row
        for place, node in enumerate(nodes):
            kind = type(node).__name__
            if kind in ("Linear", "Affine"):
                y = y @ node.weight.T + (node.bias if kind == "Affine" else 0.0)
                continue
            if kind in ("LIF", "LI", "CubaLIF"):
                v0 = np.broadcast_to(np.asarray(node.v_leak, float), y.shape)
            else:
                v0 = np.broadcast_to(node.v_reset, y.shape)
            i, v = state.get(place, [np.zeros(y.shape), v0.copy()])
            if kind == "CubaLIF":
                i = i + dt / node.tau_syn * (-i + node.w_in * y)
                v = v + dt / node.tau_mem * (node.v_leak - v + node.r * i)
            elif kind == "IF":
                v = v + dt * node.r * y
            else:
                v = v + dt / node.tau * (node.v_leak - v + node.r * y)
            if kind == "LI":
                y = v
            else:
                y = (v > node.v_threshold).astype(float)
                v = np.where(y == 1, node.v_reset, v)
            state[place] = [i, v]
        out.append(y)
    return np.array(out)


def test_file_says_the_equations(tmp_path: Path) -> None:
    tau = [10e-3, 20e-3, 30e-3]
    net = seeded(
        nn.Linear(5, 3),
        sp.LIF(3, tau=tau, v_threshold=[0.5, 1.0, 1.5], v_reset=-0.2, r=2.0, v_leak=0.1, dt=2e-3),
        nn.Linear(3, 2, bias=False),
        sp.CubaLIF(2, 4e-3, 15e-3, w_in=3.0, dt=2e-3),
        nn.Linear(2, 2),
        sp.IF(2, r=30.0, dt=2e-3),
        nn.Linear(2, 1),
        sp.LI(1, tau=9e-3, dt=2e-3),
    )
    sf.deploy.to_nir(net, tmp_path / "net.nir")
    nodes = in_order(nir.read(tmp_path / "net.nir"))
    assert [type(n).__name__ for n in nodes] == ["Affine", "LIF", "Linear", "CubaLIF", "Affine", "IF", "Affine", "LI"]
    np.testing.assert_array_equal(nodes[0].weight, net[0].weight.detach().numpy())
    np.testing.assert_array_equal(nodes[0].bias, net[0].bias.detach().numpy())
    for name, value in (
        ("tau", tau),
        ("v_threshold", [0.5, 1.0, 1.5]),
        ("v_reset", [-0.2] * 3),
        ("r", [2.0] * 3),
        ("v_leak", [0.1] * 3),
    ):
        np.testing.assert_allclose(getattr(nodes[1], name), value, rtol=1e-12)
        assert getattr(nodes[1], name).shape == (3,)
    for name, value in (("tau_syn", 4e-3), ("tau_mem", 15e-3), ("w_in", 3.0), ("r", 1.0)):
        np.testing.assert_allclose(getattr(nodes[3], name), [value] * 2, rtol=1e-12)
    np.testing.assert_allclose(nodes[5].r, [30.0] * 2)
    for node in (nodes[1], nodes[3], nodes[5], nodes[7]):
        assert float(node.metadata["dt"]) == 2e-3
        assert "units" in node.metadata
        assert isinstance(node, nir.IF) or node.metadata["discretisation"] == "exponential"
    assert list(tmp_path.iterdir()) == [tmp_path / "net.nir"]


@pytest.mark.parametrize("how", ["euler", "exponential"])
def test_round_trip_is_the_same_network(tmp_path: Path, how: str) -> None:
    net = seeded(
        nn.Conv2d(1, 3, 3, stride=2, padding=1),
        sp.LIF((3, 4, 4), tau=8e-3, dt=1e-3, discretisation=how, v_threshold=0.3),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 6),
        sp.CubaLIF(6, 3e-3, 9e-3, dt=1e-3, discretisation=how, w_in=4.0, v_threshold=0.05),
        nn.Linear(6, 2),
        sp.LI(2, dt=1e-3, discretisation=how),
        scale=2.0,
    )
    x = spikes_in(80, 3, 1, 8, 8)
    sf.deploy.to_nir(net, tmp_path / "a.nir", input_shape=(1, 8, 8))
    again = sf.deploy.from_nir(tmp_path / "a.nir")
    y, _ = net(x)
    assert torch.equal(y, again(x)[0])
    assert y.abs().max() > 0.01
    assert [type(m).__name__ for m in again] == [type(m).__name__ for m in net]
    assert again[1].dt == 1e-3
    sf.deploy.to_nir(again, tmp_path / "b.nir", input_shape=(1, 8, 8))
    assert torch.equal(y, sf.deploy.from_nir(tmp_path / "b.nir")(x)[0])
    slower = sf.deploy.from_nir(tmp_path / "a.nir", dt=5e-4)
    assert slower[1].dt == 5e-4
    assert torch.equal(slower[0].weight, net[0].weight)
    np.testing.assert_allclose(slower[1].tau.numpy(), 8e-3)


@pytest.mark.parametrize("own", ["euler", "exponential"])
def test_same_spikes_by_the_equations(tmp_path: Path, own: str) -> None:
    net = seeded(
        nn.Linear(12, 10),
        sp.LIF(10, tau=np.linspace(3e-3, 9e-3, 10), r=6.0, v_reset=-0.1, v_leak=0.05, dt=1e-3, discretisation=own),
        nn.Linear(10, 6),
        sp.CubaLIF(6, 3e-3, 7e-3, w_in=5.0, r=3.0, dt=1e-3, discretisation=own),
        nn.Linear(6, 4),
        sp.IF(4, r=150.0, dt=1e-3),
    ).double()
    x = spikes_in(300, 4, 12).double()
    y, _ = net(x)
    sf.deploy.to_nir(net, tmp_path / "n.nir", discretisation="euler" if own == "exponential" else None)
    found = euler(in_order(nir.read(tmp_path / "n.nir")), x.numpy(), 1e-3)
    assert np.array_equal(found, y.detach().numpy())
    assert found.sum() > 50


def test_same_spikes_in_snntorch(tmp_path: Path) -> None:
    pytest.importorskip("snntorch")
    pytest.importorskip("nirtorch")
    from snntorch.import_nir import import_from_nir

    net = seeded(
        nn.Linear(12, 10), sp.LIF(10, tau=2e-3, r=20.0, dt=DT), nn.Linear(10, 5), sp.LIF(5, tau=1e-3, r=10.0, dt=DT)
    )
    for module in net:
        if isinstance(module, nn.Linear):
            module.bias.data.zero_()
    x = spikes_in(400, 1, 12)
    y, _ = net(x)
    sf.deploy.to_nir(net, tmp_path / "s.nir", discretisation="euler")
    theirs = import_from_nir(nir.read(tmp_path / "s.nir"))
    parts = []
    with torch.no_grad():
        for row in x:
            got = theirs(row)
            parts.append(got[0] if isinstance(got, tuple) else got)
    found = torch.stack(parts).reshape(y.shape)
    assert y.sum() > 50
    assert torch.equal(found, y.detach())


LOSSY = [
    (sp.LIF(3, escape=sp.Escape()), "noise"),
    (sp.LIF(3, refractory=2e-3), "refractory"),
    (sp.LIF(3, adaptation=sp.Adaptation(0.1, 0.1)), "adaptation"),
    (sp.LIF(3, reset="soft"), "soft reset"),
]


@pytest.mark.parametrize(("cell", "word"), LOSSY, ids=[word for _, word in LOSSY])
def test_what_would_get_lost_is_named(tmp_path: Path, cell: nn.Module, word: str) -> None:
    net = seeded(nn.Linear(4, 3), cell)
    with pytest.raises(UserError, match=f"(?i){word.split()[0]}"):
        sf.deploy.to_nir(net, tmp_path / "x.nir")
    assert list(tmp_path.iterdir()) == []
    sf.deploy.to_nir(net, tmp_path / "x.nir", drop=(word,))
    again = sf.deploy.from_nir(tmp_path / "x.nir")
    plain = seeded(nn.Linear(4, 3), sp.LIF(3))
    x = 9 * spikes_in(100, 2, 4)
    assert torch.equal(again(x)[0], plain(x)[0])
    assert plain(x)[0].sum() > 0
    assert word.split()[-1] in str(nir.read(tmp_path / "x.nir").metadata)


def test_plastic_layers_are_named(tmp_path: Path) -> None:
    net = sp.Sequential(sp.Plastic(nn.Linear(4, 3), sp.STDP()), sp.LIF(3))
    with pytest.raises(UserError, match=r"(?i)plastic"):
        sf.deploy.to_nir(net, tmp_path / "x.nir")
    assert list(tmp_path.iterdir()) == []
    sf.deploy.to_nir(net, tmp_path / "x.nir", drop=("plasticity",))
    np.testing.assert_array_equal(
        in_order(nir.read(tmp_path / "x.nir"))[0].weight, net[0].layer.weight.detach().numpy()
    )


def test_weights_are_those_in_use(tmp_path: Path) -> None:
    net = seeded(nn.Linear(30, 8), sp.LIF(8))
    sf.sparsify(net, density=0.3, rng=0)
    sp.constrain(net, weight_bits=3, mismatch=0.1, rng=0)
    sf.deploy.to_nir(net, tmp_path / "c.nir")
    node = in_order(nir.read(tmp_path / "c.nir"))[0]
    np.testing.assert_array_equal(node.weight, net[0].weight.detach().numpy())
    assert (node.weight == 0).mean() >= 0.69


@pytest.mark.parametrize(
    "module", [nn.Tanh(), nn.BatchNorm1d(3), sp.SRM0(3, escape=sp.Escape()), sp.CobaLIF(3), sp.Recurrent(sp.LIF(3))]
)
def test_modules_without_a_node(tmp_path: Path, module: nn.Module) -> None:
    with pytest.raises(UserError, match=type(module).__name__):
        sf.deploy.to_nir(seeded(nn.Linear(4, 3), module, sp.LIF(3)), tmp_path / "x.nir")
    assert list(tmp_path.iterdir()) == []


def chain(*nodes: tuple[str, Any]) -> Any:
    names = [name for name, _ in nodes]
    return nir.NIRGraph(dict(nodes), list(itertools.pairwise(names)), type_check=False)


def lif(n: int) -> Any:
    return nir.LIF(*(np.full(n, value) for value in (20e-3, 1.0, 0.0, 1.0)), v_reset=np.zeros(n))


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (nir.Threshold(np.ones(3)), "Threshold"),
        (nir.Delay(np.full(3, 1e-3)), "Delay"),
        (nir.Scale(np.ones(3)), "Scale"),
        (nir.I(np.ones(3)), "I"),
    ],
)
def test_unsupported_node_is_named(tmp_path: Path, node: Any, kind: str) -> None:
    ends = {"input": np.array([3])}, {"output": np.array([3])}
    nir.write(
        tmp_path / "u.nir",
        chain(("input", nir.Input(ends[0])), ("odd one", node), ("cell", lif(3)), ("output", nir.Output(ends[1]))),
    )
    with pytest.raises(UserError, match=f"odd one[\\s\\S]*{kind}|{kind}[\\s\\S]*odd one"):
        sf.deploy.from_nir(tmp_path / "u.nir", dt=1e-3)


def test_graphs_that_are_no_chain(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "a": lif(3),
        "b": lif(3),
        "output": nir.Output({"output": np.array([3])}),
    }
    wrong = {
        "fork": [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")],
        "loop": [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
        "gap": [("input", "a"), ("b", "output")],
    }
    for name, edges in wrong.items():
        nir.write(tmp_path / f"{name}.nir", nir.NIRGraph(dict(nodes), edges, type_check=False))
        with pytest.raises(UserError):
            sf.deploy.from_nir(tmp_path / f"{name}.nir", dt=1e-3)


def test_bad_files_and_words(tmp_path: Path) -> None:
    path, net = tmp_path / "f.nir", seeded(nn.Linear(4, 3), sp.LIF(3, tau=5e-3))
    nir.write(
        path,
        chain(
            ("input", nir.Input({"input": np.array([3])})),
            ("c", lif(3)),
            ("output", nir.Output({"output": np.array([3])})),
        ),
    )
    assert sf.deploy.from_nir(path, dt=1e-3)[0].dt == 1e-3
    (tmp_path / "text.nir").write_text("no network")
    (tmp_path / "cut.nir").write_bytes(path.read_bytes()[:900])
    for call in (
        lambda: sf.deploy.from_nir(path),
        lambda: sf.deploy.from_nir(path, dt=30e-3),
        lambda: sf.deploy.from_nir(path, dt=0.0),
        lambda: sf.deploy.from_nir(path, dt=math.nan),
        lambda: sf.deploy.from_nir(path, dt="1ms"),
        lambda: sf.deploy.from_nir(path, dt=1e-3, discretisation="heun"),
        lambda: sf.deploy.from_nir(tmp_path / "none.nir"),
        lambda: sf.deploy.from_nir(tmp_path / "text.nir"),
        lambda: sf.deploy.from_nir(tmp_path / "cut.nir"),
        lambda: sf.deploy.from_nir(tmp_path),
        lambda: sf.deploy.to_nir(net, tmp_path / "no" / "where.nir"),
        lambda: sf.deploy.to_nir(net, tmp_path / "w.nir", discretisation="heun"),
        lambda: sf.deploy.to_nir(net, tmp_path / "w.nir", drop=("everything",)),
        lambda: sf.deploy.to_nir("net", tmp_path / "w.nir"),
        lambda: sf.deploy.to_nir(seeded(nn.Conv2d(1, 1, 3), sp.LIF((1, 2, 2))), tmp_path / "w.nir"),
        lambda: sf.deploy.to_nir(seeded(nn.Linear(4, 3), sp.LIF(5)), tmp_path / "w.nir"),
        lambda: sf.deploy.to_nir(sp.Sequential(), tmp_path / "w.nir"),
    ):
        with pytest.raises(UserError):
            call()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.nir", "f.nir", "text.nir"]


def test_a_broken_write_keeps_the_old_file(tmp_path: Path) -> None:
    path, net = tmp_path / "n.nir", seeded(nn.Linear(4, 3), sp.LIF(3))
    sf.deploy.to_nir(net, path)
    before = path.read_bytes()
    with pytest.raises(UserError):
        sf.deploy.to_nir(seeded(nn.Linear(4, 3), nn.Tanh()), path)
    assert path.read_bytes() == before

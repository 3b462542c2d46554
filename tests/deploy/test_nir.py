from __future__ import annotations

import contextlib
import io
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")

from sparsefire import masks  # noqa: E402
from sparsefire.deploy import from_nir, to_nir  # noqa: E402
from sparsefire.errors import UserError  # noqa: E402
from sparsefire.randomness import stream  # noqa: E402
from sparsefire.spiking import IF, LI, LIF, STDP, Adaptation, CubaLIF, Escape, Plastic, Sequential, constrain  # noqa: E402

DT = 1e-4  # the only time step that snnTorch reads NIR at


def filled(net, scale, rng=0):
    draws = stream(rng, "weights")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(scale * draws.standard_normal(tuple(parameter.shape))))
    return net


def spikes_in(steps, batch, *shape, rng=0, density=0.2):
    return torch.from_numpy((stream(rng, "input").random((steps, batch, *shape)) < density).astype(np.float32))


def feedforward(**options):
    return filled(
        Sequential(nn.Linear(12, 20), LIF(20, tau=2e-3, dt=DT, **options), nn.Linear(20, 5, bias=False),
                   LIF(5, tau=3e-3, v_threshold=0.7, dt=DT, **options)), 8.0,
    )  # fmt: skip


def out(net, x):
    with torch.no_grad():
        return net(x)[0]


def everything():
    return filled(
        Sequential(
            nn.Conv2d(2, 3, 3, padding=1), IF((3, 8, 8), r=400.0, dt=1e-3), nn.AvgPool2d(2),
            nn.Conv2d(3, 4, 2, stride=2, bias=False), LIF((4, 2, 2), tau=5e-3, r=6.0, v_leak=0.1, dt=1e-3),
            nn.Flatten(),
            nn.Linear(16, 9), CubaLIF(9, tau_syn=4e-3, tau_mem=9e-3, w_in=3.0, r=2.0, v_reset=-0.5, dt=1e-3),
            nn.Linear(9, 4, bias=False), LI(4, tau=7e-3, r=1.5, dt=1e-3),
        ), 1.5,
    )  # fmt: skip


def test_every_kind_of_module_comes_back_with_the_same_numbers_and_the_same_parameters(tmp_path):
    net = everything()
    to_nir(net, tmp_path / "net.nir", input_shape=(2, 8, 8))
    again = from_nir(tmp_path / "net.nir")
    assert [type(module) for module in again] == [type(module) for module in net]
    for ours, theirs in zip(net, again, strict=True):
        assert getattr(ours, "dt", None) == getattr(theirs, "dt", None)
        assert getattr(ours, "discretisation", None) == getattr(theirs, "discretisation", None)
        for (name, value), (other, found) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
            assert name == other
            assert torch.equal(value.expand(found.shape), found)
    x = spikes_in(40, 3, 2, 8, 8)
    assert torch.equal(out(net, x), out(again, x))
    assert out(net, x).abs().sum() > 1
    assert all(part.sum() > 20 for part in _spikes(net, x))


def _spikes(net, x):
    found, handles = [], []
    for module in net:
        if isinstance(module, LIF | IF | CubaLIF):
            handles.append(module.register_forward_hook(lambda _, __, output: found.append(output[0].detach())))
    out(net, x)
    for handle in handles:
        handle.remove()
    return found


def test_pools_that_sum_and_convolutions_over_time_come_back(tmp_path):
    sums = Sequential(
        nn.AvgPool2d(2, divisor_override=1), nn.LPPool2d(1, 2), nn.Flatten(), LIF(8, tau=5e-3, r=4.0, dt=1e-3)
    )
    to_nir(sums, tmp_path / "sums.nir", input_shape=(2, 8, 8))
    again = from_nir(tmp_path / "sums.nir")
    x = spikes_in(30, 2, 2, 8, 8, density=0.05)
    assert {type(node).__name__ for node in nir.read(tmp_path / "sums.nir").nodes.values()} >= {"SumPool2d", "Flatten"}
    assert torch.equal(out(sums, x), out(again, x))
    assert out(sums, x).sum() > 10
    flat = filled(Sequential(nn.Conv1d(2, 3, 3, stride=2, padding=1), LIF((3, 5), tau=3e-3, dt=1e-3)), 3.0)
    to_nir(flat, tmp_path / "flat.nir", input_shape=(2, 9))
    x = spikes_in(30, 2, 2, 9)
    assert torch.equal(out(flat, x), out(from_nir(tmp_path / "flat.nir"), x))
    assert out(flat, x).sum() > 10


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 2**16), st.booleans(),
    st.sampled_from(["exponential", "euler"]),
)  # fmt: skip
def test_any_chain_of_layers_comes_back(tmp_path, widths, rng, bias, discretisation):
    draws, parts = stream(rng, "neurons"), []
    for inputs, units in pairwise(widths):
        tau = draws.uniform(2e-3, 3e-2, units)
        parts += [nn.Linear(inputs, units, bias=bias)]
        parts += [LIF(units, tau=tau, r=draws.uniform(0.5, 2, units), discretisation=discretisation, dt=2e-3)]
    net, x = filled(Sequential(*parts), 6.0, rng), spikes_in(30, 2, widths[0], rng=rng)
    to_nir(net, tmp_path / "net.nir")
    assert torch.equal(out(net, x), out(from_nir(tmp_path / "net.nir"), x))


def test_constants_in_single_precision_stay_so(tmp_path):
    tau = torch.from_numpy(stream(0, "tau").uniform(1e-3, 9e-3, 20)).float()
    net, x = filled(Sequential(nn.Linear(12, 20), LIF(20, tau=tau, dt=1e-3)), 6.0), spikes_in(200, 8, 12)
    to_nir(net, tmp_path / "net.nir")
    again = from_nir(tmp_path / "net.nir")
    assert again[1].tau.dtype == torch.float32
    assert torch.equal(out(net, x), out(again, x))


def test_parameters_are_arrays_with_a_number_for_each_unit_and_metadata_say_the_rest(tmp_path):
    to_nir(feedforward(), tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    assert graph.edges == list(pairwise(["input", "affine_0", "lif_1", "linear_2", "lif_3", "output"]))
    node = graph.nodes["lif_1"]
    assert node.tau.shape == node.r.shape == node.v_leak.shape == node.v_threshold.shape == node.v_reset.shape == (20,)
    said = node.metadata
    assert (float(said["dt"]), said["units"], said["discretisation"]) == (DT, "s", "exponential")
    assert "noise" not in said


def test_masked_and_constrained_layers_give_the_weights_they_compute_with(tmp_path):
    net = feedforward()
    masks.attach_(net[0], torch.from_numpy(stream(1, "mask").random((20, 12)) < 0.3))
    constrain(net, weight_bits=4, mismatch=0.1, rng=0)
    to_nir(net, tmp_path / "net.nir")
    graph, x = nir.read(tmp_path / "net.nir"), spikes_in(60, 2, 12)
    assert np.array_equal(graph.nodes["affine_0"].weight, net[0].weight.detach().numpy())
    assert (graph.nodes["affine_0"].weight == 0).mean() > 0.6
    assert len(np.unique(graph.nodes["lif_1"].tau)) == 20
    assert torch.equal(out(net, x), out(from_nir(tmp_path / "net.nir"), x))


def test_weights_of_a_sparse_layout_are_written_dense(tmp_path):
    net = Sequential(nn.Linear(6, 4, bias=False), LIF(4, dt=1e-3))
    dense = net[0].weight.detach() * (torch.arange(24).view(4, 6) % 3 == 0)
    net[0].weight = nn.Parameter(dense.to_sparse(), requires_grad=False)
    to_nir(net, tmp_path / "net.nir")
    assert np.array_equal(nir.read(tmp_path / "net.nir").nodes["linear_0"].weight, dense.numpy())


def in_snntorch(path, x):
    """Run a file by snnTorch, step by step."""
    imported = pytest.importorskip("snntorch.import_nir")
    with contextlib.redirect_stdout(io.StringIO()):
        net = imported.import_from_nir(nir.read(path))
    state, found = None, []
    with torch.no_grad():
        for step in x:
            made, state = net(step) if state is None else net(step, state)
            found.append(made)
    return torch.stack(found)


CHAINS = {
    "euler": (lambda: feedforward(discretisation="euler"), None),
    "exponential, written for euler": (feedforward, "euler"),
    "one tau for each unit": (
        lambda: filled(
            Sequential(
                nn.Linear(12, 20),
                LIF(20, tau=np.linspace(1e-3, 4e-3, 20), r=np.linspace(10, 40, 20), dt=DT, discretisation="euler"),
            ),
            0.5,
        ),
        None,
    ),
    "synapses": (
        lambda: filled(
            Sequential(
                nn.Linear(12, 20), CubaLIF(20, tau_syn=1e-3, tau_mem=2e-3, r=20, dt=DT, discretisation="euler"),
                nn.Linear(20, 5, bias=False), LIF(5, tau=3e-3, dt=DT, discretisation="euler"),
            ), 2.0,
        ),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_snntorch_gives_the_same_spikes(tmp_path, name):
    made, discretisation = CHAINS[name]
    net, x = made(), spikes_in(300, 4, 12)
    to_nir(net, tmp_path / "net.nir", discretisation=discretisation)
    ours = out(net, x)
    assert ours.sum() > 50
    assert torch.equal(in_snntorch(tmp_path / "net.nir", x).to(ours), ours)


def test_without_the_euler_constants_an_exponential_network_gives_other_spikes_in_snntorch(tmp_path):
    net, x = feedforward(), spikes_in(300, 4, 12)
    to_nir(net, tmp_path / "net.nir")
    assert not torch.equal(in_snntorch(tmp_path / "net.nir", x), out(net, x))


class Euler(nn.Module):
    """One Euler step of NIR's equations, written from its reference, for nirtorch."""

    def __init__(self, node, dt):
        super().__init__()
        self.node, self.dt = node, dt

    def forward(self, x, state=None):
        node = self.node
        if isinstance(node, nir.CubaLIF):
            i, v = (np.zeros_like(node.r), node.v_leak) if state is None else state
            i = i + self.dt / node.tau_syn * (-i + node.w_in * x.double().numpy())
            v = v + self.dt / node.tau_mem * (node.v_leak - v + node.r * i)
        elif isinstance(node, nir.IF):
            i, v = None, (node.v_reset if state is None else state[1])
            v = v + self.dt * node.r * x.double().numpy()
        else:
            i, v = None, (node.v_leak if state is None else state[1])
            v = v + self.dt / node.tau * (node.v_leak - v + node.r * x.double().numpy())
        if isinstance(node, nir.LI):
            return torch.from_numpy(v).float(), (i, v)
        fired = v > node.v_threshold
        return torch.from_numpy(fired).float(), (i, np.where(fired, node.v_reset, v))


def affine(node):
    layer = nn.Linear(node.weight.shape[1], node.weight.shape[0])
    layer.weight.data, layer.bias.data = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    return layer


@pytest.mark.parametrize("discretisation", ["euler", "exponential"])
def test_through_nirtorch_an_independent_simulator_gives_the_same(tmp_path, discretisation):
    nirtorch = pytest.importorskip("nirtorch")
    how = {"discretisation": discretisation, "dt": 1e-3}
    net = filled(
        Sequential(
            nn.Linear(12, 20),
            CubaLIF(20, tau_syn=4e-3, tau_mem=9e-3, v_leak=0.1, v_reset=-0.2, w_in=2.0, r=1.5, **how),
            nn.Linear(20, 10, bias=False), LIF(10, tau=np.linspace(3e-3, 9e-3, 10), **how),
            nn.Linear(10, 8), IF(8, r=100.0, dt=1e-3), nn.Linear(8, 3), LI(3, tau=5e-3, r=2.0, **how),
        ), 4.0,
    )  # fmt: skip
    to_nir(net, tmp_path / "net.nir", discretisation="euler")
    ways = {kind: lambda node: Euler(node, 1e-3) for kind in (nir.CubaLIF, nir.LIF, nir.IF, nir.LI)}
    other = nirtorch.nir_to_torch(str(tmp_path / "net.nir"), {**ways, nir.Affine: affine})
    x, state, found = spikes_in(200, 3, 12), None, []
    with torch.no_grad():
        for step in x:
            made, state = other(step) if state is None else other(step, state)
            found.append(made)
    assert all(part.sum() > 50 for part in _spikes(net, x))
    assert torch.allclose(torch.stack(found), out(net, x), atol=1e-5)


def test_what_nir_cannot_say_is_named_and_dropped_only_on_demand(tmp_path):
    path = tmp_path / "net.nir"
    cases = {
        "noise": {"escape": Escape()}, "refractory": {"refractory": 2e-3}, "soft reset": {"reset": "soft"},
        "adaptation": {"adaptation": Adaptation(0.1, 0.2)},
    }  # fmt: skip
    for lost, options in cases.items():
        net = Sequential(nn.Linear(3, 2), LIF(2, **options))
        with pytest.raises(UserError, match="'1'") as caught:
            to_nir(net, path)
        assert lost in caught.value.attempt
        assert not path.exists()
        to_nir(net, path, drop=(lost,))
        assert nir.read(path).metadata["dropped"]
        assert from_nir(path)[1].reset == "hard"
        path.unlink()
    plastic = Sequential(Plastic(nn.Linear(3, 2), STDP()), LIF(2))
    with pytest.raises(UserError, match="plasticity"):
        to_nir(plastic, path)
    to_nir(plastic, path, drop=("plasticity",))
    assert torch.equal(from_nir(path)[0].weight, plastic[0].layer.weight)
    to_nir(Sequential(nn.Linear(3, 2), LIF(2, escape=Escape(), stochastic=False)), path)
    with pytest.raises(UserError, match="drop="):
        to_nir(Sequential(nn.Linear(3, 2)), path, drop="noise")
    with pytest.raises(UserError, match="drop="):
        to_nir(Sequential(nn.Linear(3, 2)), path, drop=("sound",))


def test_what_nir_has_no_node_for_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "net.nir"
    for module in (nn.Tanh(), nn.MaxPool2d(2), nn.LSTM(3, 3)):
        with pytest.raises(UserError, match="'1'"):
            to_nir(Sequential(nn.Linear(4, 3), module), path)
    for layer in (nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 2, (3, 5)), nn.Conv2d(2, 2, 3, padding_mode="circular"),
                  nn.AvgPool2d(2, ceil_mode=True), nn.LPPool2d(2, 2), nn.Flatten(0)):  # fmt: skip
        with pytest.raises(UserError, match="'0'"):
            to_nir(Sequential(layer), path, input_shape=(2, 8, 8))
    with pytest.raises(UserError, match="input is not known"):
        to_nir(Sequential(nn.Conv2d(2, 2, 3)), path)
    with pytest.raises(UserError, match="does not fit"):
        to_nir(Sequential(nn.Linear(3, 2), LIF(3)), path)
    with pytest.raises(UserError, match="finite"):
        to_nir(Sequential(filled(nn.Linear(3, 2), float("inf"))), path)
    with pytest.raises(UserError, match="chains"):
        to_nir(nn.Linear(3, 2), path)
    with pytest.raises(UserError, match="nothing to write"):
        to_nir(Sequential(), path)
    with pytest.raises(UserError, match="discretisation"):
        to_nir(feedforward(), path, discretisation="exact")
    with pytest.raises(UserError, match="cannot be written"):
        to_nir(feedforward(), tmp_path / "nowhere" / "net.nir")
    assert list(tmp_path.iterdir()) == []


def graph_of(*nodes, edges=None, names=None):
    names = names or [f"n{i}" for i in range(len(nodes))]
    edges = edges or list(pairwise(names))
    return nir.NIRGraph(dict(zip(names, nodes, strict=True)), edges, type_check=False)


def lif(units=2, **metadata):
    one = np.ones(units)
    return nir.LIF(tau=0.02 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one, metadata=metadata)


def begin(units=2):
    return nir.Input({"input": np.array([units])})


def end(units=2):
    return nir.Output({"output": np.array([units])})


def written(path, graph):
    nir.write(path, graph)
    return path


def test_nodes_that_are_not_supported_are_named(tmp_path):
    path = tmp_path / "net.nir"
    inner = graph_of(begin(), lif(dt=1e-3), end())
    for node, kind in (
        (nir.Delay(np.ones(2)), "Delay"), (nir.Threshold(np.ones(2)), "Threshold"), (nir.Scale(np.ones(2)), "Scale"),
        (nir.I(np.ones(2)), "I"), (inner, "NIRGraph"),
    ):  # fmt: skip
        written(path, graph_of(begin(), node, end(), names=["in", "strange", "out"]))
        with pytest.raises(UserError, match="'strange'") as caught:
            from_nir(path)
        assert caught.value.came.startswith(kind)
        assert "CubaLIF" in caught.value.expected


def test_a_type_that_no_version_knows_is_named(tmp_path):
    path = written(tmp_path / "net.nir", graph_of(begin(), lif(dt=1e-3), end()))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n1/type"]
        file["node/nodes/n1/type"] = "QuantumLIF"
    with pytest.raises(UserError, match="'n1'") as caught:
        from_nir(path)
    assert caught.value.came == "QuantumLIF"


def test_graphs_that_branch_join_or_return_are_no_chains(tmp_path):
    path, names = tmp_path / "net.nir", ["in", "a", "b", "out"]
    square = nir.Linear(np.eye(2))
    for edges in (
        [("in", "a"), ("a", "b"), ("b", "a"), ("a", "out")],  # recurrent
        [("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")],
        [("in", "a"), ("a", "out")],  # one stands alone
        [("in", "a"), ("a", "b"), ("b", "gone")],
    ):
        written(path, graph_of(begin(), lif(dt=1e-3), square, end(), edges=edges, names=names))
        with pytest.raises(UserError):
            from_nir(path)


def test_a_foreign_file_needs_a_time_step(tmp_path):
    path = written(tmp_path / "net.nir", graph_of(begin(), nir.Linear(np.eye(2)), lif(), end()))
    with pytest.raises(UserError, match="time step") as caught:
        from_nir(path)
    assert "dt=" in caught.value.attempt
    net = from_nir(path, dt=5e-3, discretisation="euler")
    assert (net[1].dt, net[1].discretisation, net[0].weight.dtype) == (5e-3, "euler", torch.float64)
    with pytest.raises(UserError, match="longer"):
        from_nir(path, dt=0.1)
    for bad in ({"dt": 0.0}, {"dt": "fast"}, {"dt": 1e-3, "discretisation": "exact"}):
        with pytest.raises(UserError):
            from_nir(path, **bad)


def test_files_that_are_not_nir(tmp_path):
    path = tmp_path / "net.nir"
    with pytest.raises(UserError, match="no such NIR file"):
        from_nir(path)
    with pytest.raises(UserError, match="no such NIR file"):
        from_nir(tmp_path)
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(UserError, match="not HDF5"):
        from_nir(path)
    to_nir(feedforward(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as NIR"):
        from_nir(path)
    with h5py.File(path, "w") as file:
        file["something"] = 1
    with pytest.raises(UserError, match="no NIR graph"):
        from_nir(path)


def test_a_file_cannot_reach_into_other_files(tmp_path):
    path = written(tmp_path / "net.nir", graph_of(begin(), lif(dt=1e-3), end()))
    whole = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file["node/elsewhere"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(UserError, match="links"):
        from_nir(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["node/round"] = file["node"]  # a hard link to itself
    with pytest.raises(UserError, match="too deep"):
        from_nir(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.create_dataset("raw", (4,), "f4", external=[(str(tmp_path / "other.bin"), 0, 16)])
    with pytest.raises(UserError, match="other files"):
        from_nir(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (2**31,), "f4", chunks=True, compression="gzip")
    with pytest.raises(UserError, match="too large"):
        from_nir(path)


def test_arrays_that_do_not_fit_are_told_not_built(tmp_path):
    path = tmp_path / "net.nir"
    bad = lif(dt=1e-3)
    bad.tau = np.full(2, np.nan)
    wrong = nir.Affine(np.eye(2), np.ones(2))
    wrong.bias = np.ones(3)
    cube = nir.Linear(np.ones((2, 2, 2)))
    words = nir.Linear(np.ones((2, 2)).astype(int))
    for node in (bad, wrong, cube, words):
        written(path, graph_of(begin(), node, end()))
        with pytest.raises(UserError):
            from_nir(path)


def test_a_file_is_never_half_written(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    to_nir(feedforward(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(UserError, match="cannot be written"):
        to_nir(everything(), path, input_shape=(2, 8, 8))
    assert path.read_bytes() == before
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["net.nir"]


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: to_nir(feedforward(), tmp_path / "a"), lambda: from_nir(tmp_path / "a")):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.attempt == 'pip install "sparsefire[nir]"'


def test_reading_draws_no_random_numbers(tmp_path):
    to_nir(feedforward(), tmp_path / "net.nir")
    state = torch.get_rng_state()
    from_nir(tmp_path / "net.nir")
    assert torch.equal(state, torch.get_rng_state())


def test_a_module_that_comes_again_is_written_again(tmp_path):
    cells, layer = LIF(10, tau=2e-3, dt=1e-3), nn.Linear(10, 10)
    net = filled(Sequential(nn.Linear(5, 10), cells, layer, cells, layer, LIF(10, tau=2e-3, dt=1e-3)), 4.0)
    to_nir(net, tmp_path / "net.nir")
    again, x = from_nir(tmp_path / "net.nir"), spikes_in(50, 3, 5)
    assert [type(module) for module in again] == [nn.Linear, LIF, nn.Linear, LIF, nn.Linear, LIF]
    assert out(net, x).sum() > 20
    assert torch.equal(out(net, x), out(again, x))


def test_names_that_look_the_same_lose_no_layer(tmp_path):
    net, inner = Sequential(), Sequential()
    inner.add_module("b", nn.Linear(5, 4))
    net.add_module("a", inner)
    net.add_module("a_b", nn.Linear(4, 3))
    net.add_module("a/b", nn.Linear(3, 2))
    net.add_module("out", LIF(2, tau=2e-3, dt=1e-3))
    filled(net, 3.0)
    to_nir(net, tmp_path / "net.nir")
    again, x = from_nir(tmp_path / "net.nir"), spikes_in(50, 3, 5)
    assert len(again) == 4
    assert out(net, x).sum() > 10
    assert torch.equal(out(net, x), out(again, x))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Padded(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x + 1, weight, bias)


class Skipping(Sequential):
    def forward(self, x, state=None):
        after, state = super().forward(x, state)
        return x + after, state


class Louder(nn.Dropout):
    def forward(self, x):
        return 2 * x


class Named(nn.Linear):
    """A subclass that computes what its parent does."""


def test_subclasses_with_a_forward_of_their_own_are_not_taken_for_their_parents(tmp_path):
    path = tmp_path / "net.nir"
    for net, shape in (
        (Sequential(Doubled(3, 3)), None), (Sequential(Padded(1, 1, 3)), (1, 5, 5)),
        (Sequential(nn.Linear(3, 3), Louder()), None), (Skipping(nn.Linear(3, 3)), None),
        (Sequential(Skipping(nn.Linear(3, 3))), None),
    ):  # fmt: skip
        with pytest.raises(UserError, match="no node"):
            to_nir(net, path, input_shape=shape)
        assert not path.exists()
    parametrised = nn.utils.parametrizations.weight_norm(Named(3, 3))
    to_nir(Sequential(parametrised), path)
    assert torch.equal(from_nir(path)[0].weight, parametrised.weight)


def test_one_file_has_one_time_step(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), LIF(2, dt=1e-3), nn.Linear(2, 2), LIF(2, dt=5e-4))
    with pytest.raises(UserError, match="one time step") as caught:
        to_nir(net, tmp_path / "net.nir")
    assert "0.0005 s of '3'" in caught.value.came
    assert list(tmp_path.iterdir()) == []


def test_paths_and_shapes_that_are_none(tmp_path):
    convolution = Sequential(nn.Conv2d(2, 2, 3))
    for bad in (5, (), (2, 0, 8), (2.0, 8, 8), "288", (True, 8, 8)):
        with pytest.raises(UserError, match="input_shape"):
            to_nir(convolution, tmp_path / "net.nir", input_shape=bad)
    for net, small in (
        (convolution, (2, 1, 1)), (convolution, (2, 8)), (convolution, (2,)), (Sequential(nn.Conv1d(2, 2, 3)), (2,)),
        (Sequential(nn.AvgPool2d(4)), (2, 2, 2)), (Sequential(nn.AvgPool2d(2)), (8, 8)),
    ):  # fmt: skip
        with pytest.raises(UserError, match="does not fit"):
            to_nir(net, tmp_path / "net.nir", input_shape=small)
    for bad in (None, 3, b"x", ["net.nir"]):
        with pytest.raises(UserError, match="path"):
            to_nir(feedforward(), bad)
        with pytest.raises(UserError, match="path"):
            from_nir(bad)

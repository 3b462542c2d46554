"""The picture of nir.md: spikes of a network here, and those that snnTorch makes of its file.

Usage: python docs/nir_figure.py     (snnTorch comes with pip install 'sparsefire[bench]')
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import nir
import numpy as np
import torch
from make_figures import PAGE, save  # type: ignore[import-not-found]
from markupsafe import Markup
from snntorch.import_nir import import_from_nir
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.report import svg

STEPS, UNITS, DT = 300, 10, 1e-4  # snnTorch reads every file at this dt
WAYS = {"euler": 'written with discretisation="euler"', None: "written as the equations in continuous time"}


def network() -> tuple[sf.spiking.Sequential, Tensor]:
    """Return two layers of neurons with exponential steps, and an input [time, 1, unit]."""
    draws = np.random.default_rng(0)
    net = sf.spiking.Sequential(
        nn.Linear(40, 60), sf.spiking.LIF(60, tau=20 * DT, dt=DT),
        nn.Linear(60, UNITS), sf.spiking.LIF(UNITS, tau=30 * DT, dt=DT),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(5 * draws.standard_normal(tuple(parameter.shape))))
    return net, torch.from_numpy((draws.random((STEPS, 1, 40)) < 0.1).astype(np.float32))


def elsewhere(net: sf.spiking.Sequential, x: Tensor, how: str | None) -> np.ndarray:
    """Return the spikes [time, unit] that snnTorch makes of the file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "net.nir"
        sf.deploy.to_nir(net, path, discretisation=how)
        read = import_from_nir(nir.read(path))
    state, found = None, []
    with torch.no_grad():
        for step in x:
            spikes, state = read(step) if state is None else read(step, state)
            found.append(spikes[0].numpy() > 0)
    return np.array(found)


def raster(ours: np.ndarray, theirs: dict[str | None, np.ndarray]) -> Markup:
    """Draw both in every row: ours in the upper half, theirs in the lower one."""
    left, right, row = 60.0, PAGE - 16.0, 15.0
    parts, top = [], 0.0

    def x(step: float) -> float:
        return left + step / STEPS * (right - left)

    for how, found in theirs.items():
        common = int((ours & found).sum())
        told = f"{WAYS[how]}: {int(ours.sum())} spikes here, {int(found.sum())} there, {common} in common"
        parts.append(svg.text(left, top + 10, told, "soft"))
        for unit in range(UNITS):
            middle = top + 24 + (unit + 0.5) * row
            parts.append(svg.line(left, middle + row / 2, right, middle + row / 2, "hair"))
            for spikes, colour, end in ((ours, "blue", -6.0), (found, "warm", 6.0)):
                parts += [
                    svg.line(x(step + 0.5), middle, x(step + 0.5), middle + end, f"bar thin {colour}")
                    for step in np.flatnonzero(spikes[:, unit]).tolist()
                ]
        parts.append(svg.text(left - 10, top + 24 + UNITS * row / 2 + 4, "units", "soft", anchor="end"))
        top += 24 + UNITS * row + 22
    parts += [svg.text(x(step), top, f"{step}", "soft", anchor="middle") for step in range(0, STEPS + 1, 50)]
    parts.append(svg.text((left + right) / 2, top + 18, "step", "soft", anchor="middle"))
    parts += [svg.text(left, top + 18, "sparsefire, upper half", "blue-text")]
    parts += [svg.text(right, top + 18, "snnTorch, lower half", "warm-text", anchor="end")]
    label = "Spikes of ten units here and, of the same file, in snnTorch: the same where it was written for Euler steps"
    return svg.picture(parts, width=PAGE, height=top + 28, label=label)


def main() -> int:
    """Draw it, if the same spikes are the same."""
    net, x = network()
    with torch.no_grad():
        ours = net(x)[0][:, 0].numpy() > 0
    theirs = {how: elsewhere(net, x, how) for how in WAYS}
    assert np.array_equal(ours, theirs["euler"]), "what is written for Euler steps makes the same spikes there"
    save("nir", raster(ours, theirs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

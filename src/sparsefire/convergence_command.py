"""The work behind ``sparsefire convergence``: options to learning curves, their exponents, and the folder."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.report.convergence_curves import SIZES, Job, Schedule, in_dimension, make_curve, stable

if TYPE_CHECKING:
    from sparsefire.convergence.problem import LinearRegression
    from sparsefire.convergence.simulation.estimate import RiskEstimate
    from sparsefire.convergence.update import Update
    from sparsefire.report.convergence_text import Outcome

_HARMONIC = re.compile(r"\s*([^/()]+?)\s*/\s*(?:k|\(\s*k\s*(?:\+\s*([^()]+?)\s*)?\))\s*")


@dataclass(frozen=True)
class ConvergenceRequest:
    """What was asked for, as typed; the fields are the options of ``sparsefire convergence``."""

    rule: str = "forward-gradient"
    dimension: str = "10,20,50,100"
    samples: str = "1e6"
    runs: str = "1000"
    law: str = "normal"
    directions: int = 1
    repeats: int = 1
    baseline: str = "none"
    noise: float = 1.0
    start: float = 1.0
    design: str = "normal"
    step_size: str = "auto"
    workers: int | None = None
    rng: int = 0
    command: str = ""


def run(request: ConvergenceRequest, folder: Path, say: Callable[[str], None], *, colour: bool = False) -> Path:
    """Simulate a rule in several dimensions, print what it shows, and write its folder; return the path of the page.

    Dimensions that are finished are kept in the folder, so the same command goes on where it was stopped.

    Args:
        request: the options.
        folder: fresh, empty, or with results, finished or not, of the same request.
        say: prints a block of text.
        colour: of the terminal.

    Raises:
        UserError: everything that is wrong with the options or the folder, before anything is computed.
    """
    from sparsefire.parallel import checked_workers
    from sparsefire.report.convergence_folder import begin_convergence, check_folder, write_convergence
    from sparsefire.report.convergence_terminal import result_block, start_block

    with as_options():
        workers = checked_workers(request.workers)
        jobs = read_jobs(request)
    asked = _asked(request, jobs)
    check_folder(folder, asked)
    say(start_block(request.rule, _start_rows(request, jobs, workers), colour=colour))
    parts = begin_convergence(folder, asked, request.command)
    with as_options():
        estimates = simulate_all(jobs, asked, parts, workers=workers, rng=request.rng)
    outcome = make_outcome(request, jobs, estimates)
    page = write_convergence(folder, outcome, asked, request.command)
    say(result_block(outcome, folder, colour=colour))
    return page


def read_jobs(request: ConvergenceRequest) -> list[Job]:
    """Return one job per dimension, by ascending dimension; everything in the request is checked."""
    from sparsefire.convergence.problem import LinearRegression
    from sparsefire.convergence.schedules import step_sizes
    from sparsefire.convergence.update import Update, read

    samples, runs = whole(request.samples, "samples"), whole(request.runs, "runs")
    if runs < 2:
        raise UserError("one run has no spread.", came=f"--runs {request.runs}", expected="2 or more, such as 1000")
    if request.rng < 0:
        raise UserError("--rng is negative.", came=str(request.rng), expected="a whole number, 0 or more")
    update = Update(
        request.rule, law=request.law, directions=request.directions, repeats=request.repeats, baseline=request.baseline
    )
    if request.noise == 0 and request.rule == "one-query":
        raise UserError(
            "one-query needs noise: how far from θ it reads the loss follows from it.",
            came="--noise 0",
            expected="a number above 0",
        )
    jobs = []
    for d in dimensions(request.dimension):
        problem = LinearRegression(d, noise=request.noise, start=request.start, design=request.design)
        problem, update = read(update, problem, {})
        schedule = read_schedule(request.step_size, problem, update)
        step_sizes(schedule(1.0), 1)
        jobs.append(Job(problem, update, schedule, samples, runs))
    return jobs


def whole(text: str, option: str) -> int:
    """Return a whole number of at least 1 from text such as ``1000`` or ``1e6``.

    >>> whole("1e6", "samples")
    1000000
    """
    value = _number(text)
    if value is None or value < 1 or value != int(value) or value > 2**32 - 1:
        raise UserError(f"--{option} is no such number.", came=str(text), expected="a whole number, 1 or more: 1e6")
    return int(value)


def dimensions(text: str) -> list[int]:
    """Return dimensions in ascending order from numbers with commas between them.

    >>> dimensions("20, 10")
    [10, 20]
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError("--dimension names none.", came=repr(text), expected="whole numbers: 10,20,50,100")
    found = [whole(word, "dimension") for word in words]
    if len(set(found)) < len(found):
        raise UserError("a dimension is named twice.", came=f"--dimension {text}", expected="each once")
    return sorted(found)


def read_schedule(text: str, problem: LinearRegression, update: Update) -> Schedule:
    """Return step sizes from ``auto``, a number, or ``c/(k+k0)`` with numbers for c and k0.

    ``auto`` starts with half the stability limit and falls as 1/k: 1/(k + (d + 2)²) for ``forward-gradient``.

    >>> from sparsefire.convergence.problem import LinearRegression
    >>> from sparsefire.convergence.update import Update
    >>> problem, update = LinearRegression(10), Update("forward-gradient")
    >>> [str(read_schedule(text, problem, update)) for text in ("auto", "0.01", "2/(k + 50)")]
    ['1/(k + 144)', '0.01', '2/(k + 50)']
    """
    from sparsefire.convergence.exact.stability import default_schedule

    if text.strip() == "auto":
        given = default_schedule(update, problem)
        first, later = 1 / float(given(1.0)), 1 / float(given(1e6 + 1))  # (k + k₀)/c, a straight line
        factor = 1e6 / (later - first)
        return Schedule(float(f"{factor:.10g}"), float(f"{first * factor - 1:.10g}"))
    found = _HARMONIC.fullmatch(text)
    numbers = [_number(text)] if found is None else [_number(found[1]), _number(found[2] or "0")]
    if any(value is None or value < 0 for value in numbers) or not numbers[0]:
        raise UserError(
            "--step-size is no schedule.",
            came=text,
            expected="auto, a number above 0, or c/(k+k0) with numbers above 0",
            attempt='--step-size "1/(k+144)"',
        )
    return Schedule(float(numbers[0]), float(numbers[1] or 0) if len(numbers) > 1 else 0.0, found is not None)


def simulate_all(
    jobs: Sequence[Job], asked: dict[str, Any], parts: Path, *, workers: int, rng: int
) -> list[RiskEstimate]:
    """Return the estimate of every job; those found in ``parts`` are not simulated again, new ones are kept there.

    Args:
        jobs: see :func:`read_jobs`.
        asked: everything that decides the result.
        parts: folder of the run store.
        workers: threads.
        rng: the number that decides all random choices.
    """
    from sparsefire import randomness
    from sparsefire.convergence.simulation.estimate import RiskEstimate
    from sparsefire.convergence.simulation.simulate import simulate_risk
    from sparsefire.report.progress import Progress
    from sparsefire.studies import Store, key_of

    store = Store(parts)
    settings = [{**asked, "dimension": job.problem.dimension} for job in jobs]
    keys = [key_of(setting) for setting in settings]
    kept = [store.finished(key) for key in keys]
    estimates = []
    with Progress(title="Simulate") as progress:
        told = _Told(progress, jobs, kept)
        for job, setting, key, there in zip(jobs, settings, keys, kept, strict=True):
            if there:
                arrays = store.read(key).arrays
                exact = arrays.get("exact")
                estimates.append(RiskEstimate(arrays["steps"], arrays["values"], job.problem, job.update, exact))
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # cautions of the result say them
                own = randomness.integer(rng, "convergence", job.problem.dimension)  # fits need dimensions independent
                found = simulate_risk(
                    job.update, job.problem, steps=job.samples, step_size=job.schedule, runs=job.runs, rng=own,
                    workers=workers, progress=partial(told.tell, job),
                )  # fmt: skip
            arrays = {"steps": found.steps, "values": found.values}
            store.write(key, setting, arrays=arrays if found.exact is None else {**arrays, "exact": found.exact})
            told.finish(job)
            estimates.append(found)
    return estimates


class _Told:
    """Turns shares of single jobs into runs done, in all, and the time left."""

    def __init__(self, progress: Any, jobs: Sequence[Job], kept: Sequence[bool]) -> None:
        self._progress = progress
        self._total = sum(job.runs for job in jobs)
        self._done = self._before = sum(job.runs for job, there in zip(jobs, kept, strict=True) if there)
        self._since = time.monotonic()

    def tell(self, job: Job, share: float) -> None:
        done = self._done + share * job.runs
        spent, fresh = time.monotonic() - self._since, done - self._before
        left = spent * (self._total - done) / fresh if fresh > 0 and spent > 0.5 else None
        self._progress.update(int(done), self._total, left, f"d = {job.problem.dimension}")

    def finish(self, job: Job) -> None:
        self._done += job.runs


def make_outcome(request: ConvergenceRequest, jobs: Sequence[Job], estimates: Sequence[RiskEstimate]) -> Outcome:
    """Return everything that is told: curves with fitted exponents, and the exponent in d over three or more."""
    from sparsefire.report.convergence_text import Outcome

    return Outcome(
        rule=request.rule,
        settings=_settings(request),
        runs=jobs[0].runs,
        noise=float(request.noise),
        curves=[make_curve(job, estimate) for job, estimate in zip(jobs, estimates, strict=True)],
        in_dimension=in_dimension(jobs, estimates),
        queries=jobs[0].update.queries,
        size=SIZES.get(request.rule, 2),
        heavy=request.design == "student",
    )


def _asked(request: ConvergenceRequest, jobs: Sequence[Job]) -> dict[str, Any]:
    """Everything that decides the result."""
    return {
        "format": 1,
        "rule": request.rule,
        "dimension": [job.problem.dimension for job in jobs],
        "samples": jobs[0].samples,
        "runs": jobs[0].runs,
        **{name: getattr(request, name) for name in ("law", "directions", "repeats", "baseline")},
        "noise": float(request.noise),
        "start": float(request.start),
        "design": request.design,
        "step_size": request.step_size.replace(" ", ""),
        "rng": request.rng,
    }


def _settings(request: ConvergenceRequest) -> str:
    """The rule and the problem in words."""
    parts = [] if request.rule in ("sgd", "hebbian") else [f"{request.law} directions"]
    parts += [f"{request.directions} directions per sample"] if request.directions > 1 else []
    parts += [f"{request.repeats} repeats per sample"] if request.repeats > 1 else []
    parts += [f"baseline {request.baseline}"] if request.baseline != "none" else []
    parts += [f"{request.design} inputs", f"σ = {request.noise:g}", f"risk {request.start:g} at the start"]
    return ", ".join(parts)


def _start_rows(request: ConvergenceRequest, jobs: Sequence[Job], workers: int) -> list[tuple[str, str]]:
    from sparsefire.data.words import plural
    from sparsefire.report.convergence_figures import terminal_powers
    from sparsefire.report.convergence_text import steep_text

    sizes = [f"{job.problem.dimension:,}" for job in jobs]
    said = f"{sizes[0]}" if len(sizes) == 1 else f"{', '.join(sizes[:-1])} and {sizes[-1]}"
    rows = [("problem", _settings(request)), ("d", said)]
    steps = [f"α = {job.schedule}" + (f" at d = {job.problem.dimension}" if len(jobs) > 1 else "") for job in jobs]
    rows.append(("steps", "; ".join([steps[0], steps[-1]] if steps[0] != steps[-1] else steps[:1])))
    if all(str(job.schedule) == str(jobs[0].schedule) for job in jobs):
        rows[-1] = ("steps", f"α = {jobs[0].schedule}")
    run_text = f"{plural(jobs[0].runs, 'run')} of {plural(jobs[0].samples, 'sample')} for each d on"
    rows.append(("run", f"{run_text} {plural(workers, 'worker')}"))
    found = [(job.problem.dimension, float(job.schedule(1.0)), stable(job)) for job in jobs]
    steep = [(d, first, limit) for d, first, limit in found if limit is not None and first > limit * (1 + 1e-9)]
    if steep:
        rows.append(("careful", terminal_powers(steep_text(steep))))
    rows.append(("", "Ctrl-C is safe: finished dimensions are kept, the same command resumes."))
    return rows


@contextmanager
def as_options() -> Iterator[None]:
    """Turn errors of the library into the words of the command line, where arguments are options.

    >>> with as_options():
    ...     raise UserError("no.", came="noise=0 and radius=", expected="step_size= above 0")
    Traceback (most recent call last):
    ...
    sparsefire.errors.UserError: no.
      came      --noise 0 and --radius
      expected  --step-size above 0
    """
    try:
        yield
    except UserError as error:
        texts = (error.came, error.expected, error.attempt)
        came, expected, attempt = (re.sub(r"\b([a-z_]+)=(?=(.?))", _option, text) for text in texts)
        raise UserError(error.message, came=came, expected=expected, attempt=attempt) from None


def _option(found: re.Match[str]) -> str:
    return f"--{found[1].replace('_', '-')}" + (" " if found[2].strip() else "")


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None

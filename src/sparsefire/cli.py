"""The command line: ``sparsefire fit``, ``predict``, ``report``, ``diagnose``, ``cascade`` and ``convergence``."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsefire.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The smallest network that is not worse than the dense one, with the evidence.",
)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from sparsefire import __version__

        typer.echo(f"sparsefire {__version__}")
        raise typer.Exit


@app.command()
def fit(
    data: Annotated[str, typer.Argument(help="CSV, TSV (.gz), Parquet, NPZ, openml:ID, or digits, iris, …")] = "digits",
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Column whose equal values belong together (patients).")] = None,
    time: Annotated[str | None, typer.Option(help="Column of dates or numbers: test on the latest rows.")] = None,
    site: Annotated[str | None, typer.Option(help="Column of places: test on one that was left out.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Column to compare groups by; may be repeated.")] = None,
    task: Annotated[str | None, typer.Option(help="classification or regression, if not as detected.")] = None,
    score: Annotated[str | None, typer.Option(help="accuracy, auc or r2, if not the default.")] = None,
    effort: Annotated[str, typer.Option(help="quick, standard or thorough.")] = "standard",
    margin: Annotated[float | None, typer.Option(help="Loss allowed, in units of the score: 0.01 is a point.")] = None,
    retain: Annotated[float | None, typer.Option(help="Share of dense's gain over a constant to keep: 0.95.")] = None,
    methods: Annotated[str | None, typer.Option(help="Sparse methods, comma separated.")] = None,
    densities: Annotated[str | None, typer.Option(help="Shares of weights kept, comma separated.")] = None,
    folds: Annotated[int | None, typer.Option(help="Folds of a round.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds, each with fresh folds and initial weights.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows.")] = None,
    level: Annotated[float, typer.Option(help="One-sided error level of the selection and of the test.")] = 0.05,
    rule: Annotated[
        str, typer.Option(help="How networks learn: backprop, unit-differences, node-perturbation, two-query, …")
    ] = "backprop",
    layout: Annotated[
        str | None,
        typer.Option(help="Density over layers: erk, balanced, critical, critical-signs, …; else the method's own."),
    ] = None,
    init: Annotated[
        str, typer.Option(help="First weights: own, he, in-degree, signs, typical or typical-signs.")
    ] = "own",
    model: Annotated[str, typer.Option(help="mlp, spiking, cnn or package.module:factory.")] = "mlp",
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers, comma separated.")] = None,
    rng: Annotated[int, typer.Option(help="Number that decides all random choices.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes with one thread each; all cores by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; runs/NAME by default.")] = None,
) -> None:
    """Find the smallest network that is not worse than the dense one, and write it with its report."""
    from sparsefire import randomness
    from sparsefire.data import describe, open_problem, split_test
    from sparsefire.estimators import fit_problem, resolve_factory
    from sparsefire.report.progress import Progress
    from sparsefire.report.terminal import (
        PlanRow,
        data_block,
        plan_block,
        printable,
        result_block,
        use_colour,
        verdict_block,
    )
    from sparsefire.search.request import Request
    from sparsefire.train.networks import NAMES

    colour = use_colour(sys.stdout)

    def say(text: str) -> None:
        typer.echo(printable(text + "\n", sys.stdout))

    request = Request(
        effort=effort, methods=_names(methods), densities=_numbers(densities, float, "densities"), margin=margin,
        retain=retain, folds=folds, rounds=rounds, epochs=epochs, level=level, rule=rule, layout=layout, init=init,
        model=model,
        hidden=_numbers(hidden, int, "hidden"), rng=rng, command=_command(),
    )  # fmt: skip
    problem = open_problem(
        data, target=target, cluster=cluster, time=time, site=site, group=group, task=task, score=score
    )
    factory = None if model in NAMES else resolve_factory(model)
    folder = out if out is not None else Path("runs") / _folder_name(problem.name)
    development, test = split_test(problem, randomness.stream(randomness.entropy(rng), "test set"))
    table = describe(problem, development, test)
    say(
        data_block(
            {
                "name": problem.name,
                "rows": problem.rows,
                "inputs": problem.width,
                "classes": problem.classes,
                "table": [row for row in table if row[0] != "note"],
                "notes": [text for label, text in table if label == "note"],
            },
            colour=colour,
        )
    )
    with Progress() as progress:

        def listen(event: str, details: dict[str, Any]) -> None:
            if event == "plan":
                plan = {**details, "planned_power": details["power"]}
                rows = [PlanRow(r["candidates"], r["densities"], r["runs"], r["seconds"]) for r in details["rows"]]
                say(plan_block(plan, rows, score=details["score"], colour=colour))
            else:
                progress.update(
                    details["done"], details["total"], details["seconds_left"], details["now"],
                    f"smallest passed: {details['smallest']}" if details["smallest"] else "",
                )  # fmt: skip

        result = fit_problem(problem, request, folder, workers=workers, factory=factory, listen=listen)
    say(result_block(result.verdict, colour=colour))
    say(verdict_block(result.verdict, folder, colour=colour))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder that sparsefire fit wrote.")],
    data: Annotated[Path, typer.Argument(help="New rows: CSV, TSV, Parquet or NPZ with the same inputs.")],
    model: Annotated[str | None, typer.Option(help="package.module:factory, if the network is your own.")] = None,
) -> None:
    """Print predictions for new rows as CSV, one line per row."""
    import pandas as pd

    from sparsefire.deploy import load_model
    from sparsefire.estimators import resolve_factory

    loaded = load_model(run, factory=resolve_factory(model) if model else None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = loaded.features(data)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            typer.echo(f"warning: {warning.message}", err=True)
    name = str(loaded.schema.get("target") or "prediction")
    table = loaded.table(features)
    pd.DataFrame({name if k == "prediction" else k: v for k, v in table.items()}).to_csv(sys.stdout, index=False)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder that sparsefire fit wrote.")]) -> None:
    """Rebuild report.html from the stored results."""
    from sparsefire.report import write_report

    typer.echo(str(write_report(run)))


@app.command()
def cascade(
    edges: Annotated[Path, typer.Argument(help="Edge list with column names: CSV, TSV (.gz) or Parquet.")],
    model: Annotated[
        str, typer.Option(help="independent, linear-threshold, threshold or load-redistribution.")
    ] = "independent",
    probability: Annotated[
        str | None, typer.Option(help="independent: chance of each edge, a number or a column.")
    ] = None,
    influence: Annotated[str | None, typer.Option(help="linear-threshold: column; 1 / in-degree by default.")] = None,
    threshold: Annotated[str | None, typer.Option(help="threshold: a number, uniform, or normal:MEAN,SD.")] = None,
    load: Annotated[
        str | None,
        typer.Option(help="threshold: exposure, damage, a number or a column; load-redistribution: of every unit."),
    ] = None,
    capacity: Annotated[
        str | None, typer.Option(help="load-redistribution: a number, uniform:LOW,HIGH or normal:MEAN,SD.")
    ] = None,
    sharing: Annotated[str | None, typer.Option(help="load-redistribution: local or global.")] = None,
    sources: Annotated[
        str | None, typer.Option(help="Who starts: labels as in the file, comma separated, or a chance such as 1%.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="auto, exact, tree, tree-approximation, mean-field or monte-carlo.")
    ] = "auto",
    runs: Annotated[int, typer.Option(help="Cascades to sample, where there is no exact way.")] = 100_000,
    workers: Annotated[int | None, typer.Option(help="Threads; all cores by default. Results do not change.")] = None,
    rng: Annotated[int, typer.Option(help="Number that decides all random choices.")] = 0,
    undirected: Annotated[bool, typer.Option("--undirected", help="Every edge acts both ways.")] = False,
    senders: Annotated[str | None, typer.Option(help="Column of the units that act; the first by default.")] = None,
    receivers: Annotated[str | None, typer.Option(help="Column of the units acted on; the second by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; runs/cascade-NAME by default.")] = None,
) -> None:
    """Find how far cascades go on a network: the whole law of their size, and who is reached."""
    from sparsefire.cascade_command import CascadeRequest, run
    from sparsefire.report.terminal import printable, use_colour

    request = CascadeRequest(
        edges, model=model, probability=probability, influence=influence, threshold=threshold, load=load,
        capacity=capacity, sharing=sharing, sources=sources, method=method, runs=runs, workers=workers, rng=rng,
        undirected=undirected, senders=senders, receivers=receivers, command=_command(),
    )  # fmt: skip
    folder = out if out is not None else Path("runs") / f"cascade-{_folder_name(edges.name.split('.')[0])}"
    try:
        run(request, folder, lambda text: typer.echo(printable(text + "\n", sys.stdout)), colour=use_colour(sys.stdout))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; no file was left half written.\n")
        raise typer.Exit(130) from None


@app.command()
def diagnose(
    model: Annotated[str, typer.Argument(help="mlp, a folder that fit wrote, or package.module:factory.")],
    shape: Annotated[str | None, typer.Option(help="Shape of one row, comma separated: 784 or 1,28,28.")] = None,
    outputs: Annotated[int | None, typer.Option(help="Outputs of the network.")] = None,
    hidden: Annotated[str | None, typer.Option(help="mlp: widths of the hidden layers, comma separated.")] = None,
    inputs: Annotated[Path | None, typer.Option(help=".npy file of prepared rows; normal numbers by default.")] = None,
    density: Annotated[float | None, typer.Option(help="Mask the network first: share of weights kept.")] = None,
    layout: Annotated[
        str | None, typer.Option(help="Density over layers: erk, balanced, critical, critical-signs, …")
    ] = None,
    init: Annotated[str | None, typer.Option(help="own, he, in-degree, signs, typical or typical-signs.")] = None,
    redraws: Annotated[int, typer.Option(help="Redraws of the weights for the predicted ranges; 0 for none.")] = 32,
    rng: Annotated[int, typer.Option(help="Number that decides all random choices.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the whole table: .csv or .parquet.")] = None,
) -> None:
    """Tell before training whether a network can learn, and what to mend."""
    from sparsefire.diagnose_command import DiagnoseRequest, run
    from sparsefire.report.terminal import printable, use_colour

    request = DiagnoseRequest(
        model, shape=_numbers(shape, int, "shape"), outputs=outputs, hidden=_numbers(hidden, int, "hidden"),
        inputs=inputs, density=density, layout=layout, init=init, redraws=redraws, rng=rng,
    )  # fmt: skip
    run(request, out, lambda text: typer.echo(printable(text, sys.stdout)), colour=use_colour(sys.stdout))


@app.command()
def convergence(
    rule: Annotated[
        str, typer.Option(help="sgd, forward-gradient, two-query, one-query, hebbian, node- or weight-perturbation.")
    ] = "forward-gradient",
    dimension: Annotated[str, typer.Option(help="Numbers of parameters, comma separated.")] = "10,20,50,100",
    samples: Annotated[str, typer.Option(help="Samples of each run, each used once: 1e6.")] = "1e6",
    runs: Annotated[str, typer.Option(help="Independent runs of each dimension.")] = "1000",
    law: Annotated[
        str, typer.Option(help="Law of directions: normal, rademacher, sphere, uniform or coordinates.")
    ] = "normal",
    directions: Annotated[int, typer.Option(help="Directions averaged in one step.")] = 1,
    repeats: Annotated[int, typer.Option(help="Steps on the same sample, each with a fresh direction.")] = 1,
    baseline: Annotated[str, typer.Option(help="one-query, hebbian: none, previous or mean.")] = "none",
    noise: Annotated[float, typer.Option(help="Standard deviation of the noise of the answers.")] = 1.0,
    start: Annotated[float, typer.Option(help="Risk at the start.")] = 1.0,
    design: Annotated[
        str, typer.Option(help="Law of inputs: normal, rademacher, student, sparse or sphere.")
    ] = "normal",
    step_size: Annotated[str, typer.Option(help="auto, a number, or c/(k+k0) with numbers: 1/(k+144).")] = "auto",
    workers: Annotated[int | None, typer.Option(help="Threads; all cores by default. Results do not change.")] = None,
    rng: Annotated[int, typer.Option(help="Number that decides all random choices.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write; runs/convergence-RULE by default.")] = None,
) -> None:
    """Find how fast a rule learns: risk against samples and dimension, simulated and exact."""
    from sparsefire.convergence_command import ConvergenceRequest, run
    from sparsefire.report.terminal import printable, use_colour

    request = ConvergenceRequest(
        rule=rule, dimension=dimension, samples=samples, runs=runs, law=law, directions=directions, repeats=repeats,
        baseline=baseline, noise=noise, start=start, design=design, step_size=step_size, workers=workers, rng=rng,
        command=_command(),
    )  # fmt: skip
    folder = out if out is not None else Path("runs") / f"convergence-{_folder_name(rule)}"
    try:
        run(request, folder, lambda text: typer.echo(printable(text + "\n", sys.stdout)), colour=use_colour(sys.stdout))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; finished dimensions are kept, the same command resumes.\n")
        raise typer.Exit(130) from None


def main() -> None:
    """Run the command line; wrong input ends with one message and exit code 2, Ctrl-C with 130."""
    sys.exit(_guarded(app))


def _guarded(run: Callable[..., Any]) -> int:
    try:
        code = run(standalone_mode=False)
        return int(code or 0) if isinstance(code, int) else 0
    except UserError as error:
        from sparsefire.report.terminal import error_text, printable, use_colour

        sys.stderr.write(printable(error_text(error, colour=use_colour(sys.stderr)) + "\n", sys.stderr))
        return 2
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\nstopped; finished runs are kept, the same command resumes.\n")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer raises for wrong options
            raise
        expected = "the options that --help lists"
        sys.stderr.write(f"error: {error.format_message()}\n  expected  {expected}\n  try       sparsefire --help\n")
        return 2


def _command() -> str:
    return shlex.join(["sparsefire", *sys.argv[1:]])


def _folder_name(name: str) -> str:
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-")
    return safe or "data"


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str | None, kind: Callable[[str], Any], name: str) -> list[Any] | None:
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            f"--{name} is not a list of numbers.", came=text, expected="numbers with commas between them"
        ) from None

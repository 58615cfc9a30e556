"""
readpath calibrate: its verbs and their options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.options import AsJson
from sim.cli.usage import Verbs

app = typer.Typer(cls=Verbs, help="Refit the constants of a profile from records.", no_args_is_help=True)


@app.command("costs")
def calibrate_costs(
    records: Annotated[
        Path,
        typer.Option(
            "--records", metavar="DIR", help="A folder of recordings, as results/kernel/README.md has it."
        ),
    ] = Path("results/kernel/linux-6.1.192"),
    times: Annotated[
        Path | None,
        typer.Option(
            "--times", metavar="FILE", help="Times, as `make truth-ns` writes [native-ns.jsonl of DIR]."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PROFILE", help="The machine profile [standard output]."),
    ] = None,
    judge: Annotated[
        bool,
        typer.Option("--judge", help="Write no profile: leave out each kind of case, and judge the fit."),
    ] = False,
    runs: Annotated[
        bool,
        typer.Option(
            "--runs", help="Write no profile: run recorded cases as experiments, beside the records."
        ),
    ] = False,
    writes: Annotated[
        bool,
        typer.Option("--writes", help="The profile of what writing costs, from the folder's writes/."),
    ] = False,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Simulate the recorded cases again: after a change of the model."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the costs of kernel symbols to recordings; --judge, --runs: exit 1 if a bar is not held."""
    from sim.cli.calibrate import fit_profile, fit_write_profile, judge_costs, judge_runs

    if runs:
        raise typer.Exit(judge_runs(records, times, as_json))
    if judge:
        raise typer.Exit(judge_costs(records, times, simulate, as_json))
    if writes:
        fit_write_profile(records, output)
    else:
        fit_profile(records, times, output, simulate)


@app.command("device")
def calibrate_device(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULT.json]...", help="Results of fio --output-format=json, as --fio."),
    ] = None,
    fio: Annotated[
        list[Path] | None, typer.Option("--fio", metavar="RESULT.json", help="A result of fio. Repeatable.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="TARGET", help="Run fio: read a device or file, never write to it."),
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="TIME", help="Of --run, how long each job reads.")
    ] = "1s",
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="FILE", help="Of --run, where fio's result is kept.")
    ] = None,
    rest: Annotated[
        str, typer.Option("--rest", metavar="PROFILE", help="Where what the data do not tell is from: nvme.")
    ] = "",
    give: Annotated[
        list[str] | None,
        typer.Option("--give", metavar="NAME=VALUE", help="A constant: page_bytes=16KiB. Repeatable."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="TIME", help="What the host takes of a read [fio's CPU times].")
    ] = "",
    buffered: Annotated[
        bool, typer.Option("--buffered", help="Take jobs without direct=1 too: nothing was cached.")
    ] = False,
    judge: Annotated[
        list[Path] | None,
        typer.Option("--judge", metavar="OTHER.json", help="Hold the fit against other results. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PROFILE", help="The device profile [standard output]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit a device profile to results of fio, read-only; what they do not tell is named, not guessed."""
    from sim.cli.calibrate_device import Asked, calibrate

    asked = Asked(
        [*(fio or []), *(results or [])],
        run,
        runtime,
        keep,
        rest,
        give or [],
        host,
        buffered,
        judge or [],
        output,
    )
    calibrate(asked, as_json)

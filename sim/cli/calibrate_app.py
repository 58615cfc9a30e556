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

"""
The verbs that give results away: export, compare, history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.cli import complete
from sim.cli.options import AsJson, CurrencyWord, RunFolder, Where
from sim.cli.quiet import Quiet


def export(
    folder: RunFolder,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="fio-json, fio-json+, fio-log, blktrace, blkparse, perfetto or collapsed.",
            autocompletion=complete.export_formats,
        ),
    ],
    where: Where = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where it goes [results/export/RUN-FORMAT]."),
    ] = None,
    currency: CurrencyWord = "",
    between: Annotated[
        tuple[str, str] | None,
        typer.Option("--between", metavar="A B", help="Of perfetto, only what begins then: 2ms 2.5ms."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write cells of a run in the words of other tools: fio, blktrace, Perfetto, flame graphs."""
    from sim.cli.export import export_run

    export_run(folder, form, where or [], output, currency, between, as_json, quiet)


def add_verbs(app: typer.Typer) -> None:
    """Give the command these verbs."""
    app.command("export")(export)

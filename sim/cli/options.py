"""
Arguments and options that many verbs have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.cli import complete

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run directory, as `readpath run` made it.", autocompletion=complete.runs
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="svg or png [both]. Repeatable.",
        autocompletion=complete.formats,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="AXIS=LABEL",
        help="Only these cells: path=mpage. Repeatable.",
        autocompletion=complete.labels,
    ),
]

Diff = Annotated[
    tuple[str, str] | None,
    typer.Option("--diff", metavar="A B", help="What A costs more than B: path=buffer_head path=page_io."),
]
CurrencyWord = Annotated[
    str, typer.Option("--currency", metavar="CURRENCY", help="ns or instructions [the run's own].")
]


def formats_of(asked: list[str] | None) -> list[str]:
    """Return the formats of figures: those asked for, or both."""
    return list(dict.fromkeys(asked or ["svg", "png"]))

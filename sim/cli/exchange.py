"""
The verbs that give results away: export, compare, history, report; and schema, for editors, doctor, and
trace, for what others give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.cli import complete
from sim.cli.options import AsJson, CurrencyWord, Formats, RunFolder, Where, formats_of
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


Metric = Annotated[
    str, typer.Option("--metric", metavar="NAME", help="A column of metrics.parquet [CPU per 4 KiB].")
]
Threshold = Annotated[
    float, typer.Option("--threshold", metavar="RATIO", help="A change by less than this is none.")
]


def compare(
    first: RunFolder,
    second: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run that is judged.", autocompletion=complete.runs)
    ],
    metric: Metric = "",
    threshold: Threshold = 1.05,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare two runs cell by cell, the second with the first; exit 1 if a cell is worse."""
    from sim.cli.compare import compare_runs

    raise typer.Exit(compare_runs(first, second, metric, threshold, as_json, as_markdown, quiet))


def history(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of run directories.")],
    experiment: Annotated[
        str, typer.Option("--experiment", metavar="NAME", help="Whose runs [of the only one there].")
    ] = "",
    metric: Metric = "",
    threshold: Threshold = 1.05,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the figure goes.")
    ] = Path("results/history"),
    formats: Formats = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw a metric over the runs in a folder, with the steps in it."""
    from sim.cli.history import show_history

    wanted = formats_of(formats)
    show_history(folder, experiment, metric, threshold, output, wanted, as_json, quiet)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run directories, as `readpath run` made them.",
            autocompletion=complete.runs,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The page [results/reports/RUN.html]."),
    ] = None,
    claims: Annotated[Path, typer.Option("--claims", metavar="DIR", help="The folder of claims.")] = Path(
        "experiments/claims"
    ),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write runs as one HTML page: answer, figures, tables, flame graph, configuration, sources."""
    from sim.cli.report import report_runs

    report_runs(folders, output, claims, as_json, quiet)


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[experiment|claims|machine|device]",
            help="The kind of document.",
            autocompletion=complete.schemas,
        ),
    ] = "experiment",
    _as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the JSON Schema of experiments, claims, or profiles of machines and devices."""
    from sim.cli.schema import show_schema

    show_schema(kind, quiet and not _as_json)


def doctor(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Say what is there and what is missing: programs, fonts, room, folders; each with what it is for."""
    from sim.cli.doctor import show_findings

    show_findings(as_json, quiet)


def trace(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="A trace; several become one.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="fio-iolog, blkparse, darshan-dxt, strace or csv [told from its first lines].",
            autocompletion=complete.trace_formats,
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="WHAT=NAME", help="Of a CSV: offset=Offset. Repeatable."),
    ] = None,
    header: Annotated[
        str, typer.Option("--header", metavar="A,B,...", help="Of a CSV whose first line is data.")
    ] = "",
    time_unit: Annotated[
        str | None, typer.Option("--time-unit", metavar="UNIT", help="Of a CSV: s, ms, us, ns, 100ns.")
    ] = None,
    block: Annotated[bool, typer.Option("--block", help="A CSV of a block device, not of files.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is in a trace that could be replayed: counts, sizes, order; what is skipped, and why."""
    from sim.cli.trace import show_trace

    show_trace(files, form, columns or [], header, time_unit, block, as_json, quiet)


def add_verbs(app: typer.Typer) -> None:
    """Give the command these verbs."""
    for verb in (export, compare, history, report, schema, doctor, trace):
        app.command(verb.__name__)(verb)

"""
Tables and progress on a terminal, with rich.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

import rich.table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sim.experiment.runner import Progress as Step
from sim.experiment.runner import Watcher
from sim.report.tables import Table


class _Console(Console):
    """A console that leaves it to the guard what a reader gone away comes to; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Return the console of standard output: as wide as needed when that is not a terminal."""
    return _Console() if sys.stdout.isatty() else _Console(width=200)


def print_table(table: Table, to: Console, title: str = "") -> None:
    """
    Print a table: text to the left, numbers to the right, a rule between sections.

    On a narrow terminal text is folded; no digit is cut, whatever that does to the lines.
    """
    drawn = rich.table.Table(
        title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False
    )
    texts = [table.text(row) for row in table.rows]
    for at, column in enumerate(table.columns):
        if column.form:
            least = max(len(text[at]) for text in texts) if texts else 0
            drawn.add_column(column.heading, justify="right", no_wrap=True, min_width=least)
        else:
            drawn.add_column(column.heading, overflow="fold")
    for text, row, after in zip_longest(texts, table.rows, table.rows[1:]):
        drawn.add_row(*map(rich.markup.escape, text))
        if after is not None and table.section(after) != table.section(row):
            drawn.add_section()
    to.print(drawn, crop=False)


@contextmanager
def progress(wanted: bool) -> Iterator[Watcher]:
    """Yield a watcher that draws progress with the time left on standard error, if that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _step: None
        return
    columns = (
        TextColumn("{task.description:>7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, rich.progress.TaskID] = {}

        def watch(step: Step) -> None:
            if step.what not in tasks:
                tasks[step.what] = bars.add_task(
                    step.what, total=step.total, completed=step.done - 1, name=""
                )
            bars.update(tasks[step.what], completed=step.done, name=step.name)

        yield watch

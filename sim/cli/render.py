"""
Tables and progress on a terminal, with rich.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

import rich.table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sim.experiment.runner import Progress as Step
from sim.experiment.runner import Watcher
from sim.report.table import Table


class _Console(Console):
    """A console that leaves it to the guard what a reader gone away comes to; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Return the console of standard output: as wide as needed when that is not a terminal."""
    return _Console() if sys.stdout.isatty() else _Console(width=200)


GAP, EDGES, LEAST_TEXT = 3, 2, 24
"""Letters between two columns, and left and right of all; and what a text gets on a narrow terminal."""


def print_table(table: Table, to: Console, title: str = "") -> None:
    """
    Print a table: text to the left, numbers to the right, a rule between sections.

    Where the terminal is too narrow the columns are spread over several tables with the same rows, and long
    texts are folded; no digit is cut, whatever that does to the lines.
    """
    parts = [table]
    if _drawn(table, title).__rich_measure__(to, to.options.update(width=_UNBOUND)).maximum > to.width:
        parts = table.split(to.width - EDGES, GAP, LEAST_TEXT)
    for number, part in enumerate(parts):
        to.print(_drawn(part, "" if number else title, narrow=part is not table), crop=False)


_UNBOUND = 10_000


def _drawn(table: Table, title: str, narrow: bool = False) -> rich.table.Table:
    """Return a table for the console. narrow: headings of numbers are broken into lines."""
    drawn = rich.table.Table(
        title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False
    )
    texts = [table.text(row) for row in table.rows]
    for at, column in enumerate(table.columns):
        longest = max(len(text[at]) for text in texts) if texts else 0
        if column.form:
            words = column.heading.split()
            width = max(longest, *map(len, words)) if narrow and words else len(column.heading)
            heading = "\n".join(textwrap.wrap(column.heading, width or 1, break_on_hyphens=False))
            drawn.add_column(heading, justify="right", no_wrap=True, min_width=longest)
        else:
            drawn.add_column(column.heading, overflow="fold", min_width=min(longest, LEAST_TEXT))
    for text, row, after in zip_longest(texts, table.rows, table.rows[1:]):
        drawn.add_row(*map(rich.markup.escape, text))
        if after is not None and table.section(after) != table.section(row):
            drawn.add_section()
    return drawn


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

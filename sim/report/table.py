"""
A table: rows of numbers, how a column is written, and how columns are spread where there is little room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import takewhile
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column: its heading (with unit), the key of its values, and a format of numbers ("" = text).

    suffix: what follows each number.
    """

    heading: str
    key: str
    form: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """
    Columns, and rows as dicts from a column's key to a number, a text, or None (does not apply).

    sections: keys; a new section begins where one of their values changes. labels: keys of the columns that
    say which row it is; without, the texts before the first number, or else the last text.
    """

    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    sections: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def labelling(self) -> tuple[Column, ...]:
        """Return the columns that say which row it is."""
        if self.labels:
            return tuple(column for column in self.columns if column.key in self.labels)
        leading = tuple(takewhile(lambda column: not column.form, self.columns))
        return leading or tuple(column for column in self.columns if not column.form)[-1:]

    def split(self, width: int, gap: int, most: int) -> list[Table]:
        """
        Return tables of some columns each, none wider than `width` if that can be; each has the labels.

        gap: letters between two columns. most: a text is given so many letters; what is longer is folded.
        """
        kept = self.labelling()
        texts = [self.text(row) for row in self.rows]
        least = {
            column: _least_width(column, [text[at] for text in texts], most)
            for at, column in enumerate(self.columns)
        }
        room = free = width - sum(least[column] + gap for column in kept)
        parts: list[list[Column]] = [[]]
        for column in self.columns:
            if column in kept:
                continue
            if parts[-1] and least[column] > free:
                parts.append([])
                free = room
            parts[-1].append(column)
            free -= least[column] + gap
        return [
            replace(self, columns=tuple(c for c in self.columns if c in kept or c in part)) for part in parts
        ]

    def text(self, row: Mapping[str, Any]) -> list[str]:
        """Return one row as it is written, column by column."""
        return [_written(row[column.key], column) for column in self.columns]

    def section(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what the rows of one section have in common."""
        return tuple(row[key] for key in self.sections)

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        head = "".join(f"<th>{escape(column.heading)}</th>" for column in self.columns)
        align = ["right" if column.form else "left" for column in self.columns]
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{side}">{escape(text)}</td>'
                for side, text in zip(align, self.text(row), strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<table><tr>{head}</tr>{body}</table>"


def _least_width(column: Column, texts: Sequence[str], most: int) -> int:
    """Return how many letters a column needs: whole numbers, and the longest word of the heading."""
    longest = max(map(len, texts), default=0)
    word = max(map(len, column.heading.split()), default=0)
    return max(longest, word) if column.form else max(min(longest, most), word)


def _written(value: Any, column: Column) -> str:
    if value is None:
        return "-"
    return f"{format(value, column.form)}{column.suffix}" if column.form else str(value)

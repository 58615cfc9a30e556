"""
Long tables of a traced run, column by column: numbers packed, words by their number.
"""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any


@dataclass(slots=True)
class Words:
    """A column of words of which there are few: each by its place in `names`."""

    names: list[str] = field(default_factory=list)
    codes: array[int] = field(default_factory=lambda: array("i"))
    _places: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def append(self, word: str) -> None:
        """Add a word."""
        place = self._places.get(word)
        if place is None:
            place = self._places[word] = len(self.names)
            self.names.append(word)
        self.codes.append(place)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str:
        return self.names[self.codes[row]]


if TYPE_CHECKING:
    Column = array[int] | Words
else:
    Column = array | Words  # an array is generic only from Python 3.12 on
Columns = dict[str, Column]
"""Column -> its values, all columns of one length."""


def numbers() -> array[int]:
    """Return an empty column of numbers."""
    return array("q")


def length(columns: Columns) -> int:
    """Return the number of rows."""
    return len(next(iter(columns.values()))) if columns else 0


def in_order(columns: Columns, rows: Sequence[int]) -> Columns:
    """Return the rows of these numbers, in this order."""
    found: Columns = {}
    for name, column in columns.items():
        if isinstance(column, Words):
            found[name] = Words(column.names, array("i", [column.codes[row] for row in rows]))
        else:
            found[name] = array("q", [column[row] for row in rows])
    return found


def packed(columns: Columns) -> dict[str, Any]:
    """Return a table as values that JSON takes."""
    return {
        name: [column.names, _packed(column.codes)] if isinstance(column, Words) else _packed(column)
        for name, column in columns.items()
    }


def unpacked(said: dict[str, Any]) -> Columns:
    """Return the table that packed() made these values of; ValueError, TypeError if it did not."""
    found: Columns = {}
    for name, column in said.items():
        if isinstance(column, list):
            found[name] = Words(column[0], _unpacked("i", column[1]))
        else:
            found[name] = _unpacked("q", column)
    return found


def _packed(column: array[int]) -> str:
    return b64encode(zlib.compress(column.tobytes(), 1)).decode()


def _unpacked(kind: str, text: str) -> array[int]:
    try:
        return array(kind, zlib.decompress(b64decode(text)))
    except zlib.error as error:
        raise ValueError(str(error)) from None

"""
A sentence of README.md with numbers in it, and where these come from.

A sentence is found by its words, whatever its numbers are now; one that is not found is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_FIELD = re.compile(r"\{[^}]*\}")
_NUMBER = r"(-?[\d,]*\.?\d+)"


class Quote(NamedTuple):
    """A sentence with a field of str.format() for each number, and what gives these."""

    text: str
    values: Callable[[], Sequence[float]]

    @property
    def pattern(self) -> re.Pattern[str]:
        """The sentence with any numbers, and with its words broken into lines anyhow."""
        parts = [re.escape(part) for part in _FIELD.split(self.text)]
        return re.compile(re.sub(r"(\\ )+", r"\\s+", _NUMBER.join(parts)))

    def numbers(self) -> list[str]:
        """Return the numbers as they are to be printed."""
        fields = _FIELD.findall(self.text)
        return [field.format(value) for field, value in zip(fields, self.values(), strict=True)]


def written(readme: str, quotes: Sequence[Quote]) -> str:
    """Return the text with the numbers that its sentences should have; ValueError for a lost sentence."""
    for quote in quotes:
        found = list(quote.pattern.finditer(readme))
        if len(found) != 1:
            raise ValueError(f"README.md has {len(found)} times: {quote.text}")
        for group, number in reversed(list(enumerate(quote.numbers(), start=1))):
            start, end = found[0].span(group)
            readme = readme[:start] + number + readme[end:]
    return readme

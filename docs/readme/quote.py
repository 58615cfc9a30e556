"""
A sentence of README.md, or of a document, with numbers in it, and where these come from.

A sentence is found by its words, whatever its numbers are now; one that is not found is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("experiments", "how-we-know", "checksums")),
]
"""Where the sentences are; each is in one of them."""

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


def read_pages() -> list[str]:
    """Return the text of each of PAGES."""
    return [page.read_text(encoding="utf-8") for page in PAGES]


def written(pages: Sequence[str], quotes: Sequence[Quote]) -> list[str]:
    """Return the texts with the numbers that their sentences should have; ValueError for a lost sentence."""
    texts = list(pages)
    for quote in quotes:
        found = [(at, match) for at, text in enumerate(texts) for match in quote.pattern.finditer(text)]
        if len(found) != 1:
            raise ValueError(f"the pages have {len(found)} times: {quote.text}")
        ((at, match),) = found
        for group, number in reversed(list(enumerate(quote.numbers(), start=1))):
            start, end = match.span(group)
            texts[at] = texts[at][:start] + number + texts[at][end:]
    return texts

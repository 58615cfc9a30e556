"""
Values that many tables have: sizes, times, and references to files beside the experiment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field

from sim.config.table import Model, custom
from sim.errors import ConfigError
from sim.units import NS_PER_S, parse_size, parse_time


def _size(value: object) -> int:
    try:
        return parse_size("", value)
    except ConfigError as error:
        raise custom(error.problem, error.allowed) from None


def _time(value: object, most_s: int = 1) -> int:
    try:
        time_ns = parse_time("", value)
    except ConfigError as error:
        raise custom(error.problem, error.allowed) from None
    if time_ns > most_s * NS_PER_S:
        raise custom(f"{value!r} is too long", f"up to {most_s}s")
    return time_ns


TimeNs = Annotated[int, BeforeValidator(_time)]
"""Up to a second: a thousand million of them still are 64 bits."""
IntervalNs = Annotated[int, BeforeValidator(lambda value: _time(value, 300)), Field(ge=1)]
"""The interval of a timer."""
SizeBytes = Annotated[int, BeforeValidator(_size)]
PositiveBytes = Annotated[int, BeforeValidator(_size), Field(ge=1)]


class CodeRef(Model):
    """Code of the user's own: `name` in a Python file beside the experiment, and the file's digest."""

    file: str
    name: str
    sha256: str

    @property
    def word(self) -> str:
        """As an experiment writes it."""
        return f"{self.file}:{self.name}"


def one_of(known: Iterable[str]) -> BeforeValidator:
    """Return the check of a value that is one of `known`, or code of the user's own."""
    names = tuple(known)

    def check(value: object) -> object:
        if isinstance(value, CodeRef) or (isinstance(value, str) and value in names):
            return value
        raise custom(f"{value!r} is not known", f"{', '.join(names)}, or FILE.py:NAME")

    return BeforeValidator(check)


class FileRef(Model):
    """A file beside the experiment: `path` as written there, `sha256` of its content; the loader fills it."""

    path: str
    sha256: str

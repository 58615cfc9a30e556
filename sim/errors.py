"""
The error types of readpath.

Every error a user can cause is a `ReadpathError`: one line that names the place, the value and what is
allowed. The command line prints that line and exits with code 2. Mistakes of one file may come together, a
line each.
"""

from __future__ import annotations

from collections.abc import Sequence


class ReadpathError(Exception):
    """
    A user's mistake or a damaged input, told in one line.

    place: where it was found ("experiments/a.toml: volume.block_size", "disk.img: inode 12").
    problem: what is wrong there, with the offending value.
    allowed: what would have been right; may be empty.
    """

    def __init__(self, place: str, problem: str, allowed: str = "") -> None:
        self.place = place
        self.problem = problem
        self.allowed = allowed
        super().__init__(place, problem, allowed)

    def __str__(self) -> str:
        tail = f"; allowed: {self.allowed}" if self.allowed else ""
        return " ".join(f"{self.place}: {self.problem}{tail}".split())


class ConfigError(ReadpathError):
    """An experiment, profile, job or option that cannot be used."""


class MistakesError(ConfigError):
    """Several mistakes of one file, a line each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].place, errors[0].problem, errors[0].allowed)
        self.errors = tuple(errors)
        self.args = (self.errors,)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise what is wrong, all at once, if anything is; what is said twice, once."""
    distinct = list({str(error): error for error in errors}.values())
    if len(distinct) == 1:
        raise distinct[0]
    if distinct:
        raise MistakesError(distinct)


class ImageError(ReadpathError):
    """A file system image that is damaged, or uses what we do not read."""


class CryptoError(ReadpathError):
    """A key, context or ciphertext that cannot be used."""


class InvariantError(AssertionError):
    """The simulator contradicted itself: a bug in readpath, never the user's fault."""

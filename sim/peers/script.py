"""
A recorded script as requests: what a program does, phase by phase.

A line is a verb and its words; `mark NAME` begins a counted phase, `mark -` ends it. Source of the
language: the program of the recordings, see results/kernel/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sim.errors import ConfigError
from sim.units import MIB

MOST_BYTES: Final = 4 * MIB
"""The program splits what is larger."""
UNCOUNTED: Final = "-"
SYNCS: Final = ("", "fsync", "fdatasync")
"""A writing line's last word: what follows each write."""


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is asked for: `kind` is read, write, fsync, fdatasync, or the verb of any other line, whose words are
    in `words`. fd: of which file; offset, length: bytes.
    """

    kind: str
    fd: int = 0
    offset: int = 0
    length: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A request, and the phase that it falls into: its name, or UNCOUNTED."""

    phase: str
    request: Request


def steps(script: Sequence[str], at: str) -> Iterator[Step]:
    """Yield the requests of a script in order. Raises ConfigError, with `at`, for a line that is none."""
    phase = UNCOUNTED
    for line in script:
        words = tuple(line.split())
        if not words:
            raise ConfigError(at, "an empty line in the script", "a verb and its words")
        if words[0] == "mark":
            phase = words[1]
            continue
        try:
            for request in requests(words):
                yield Step(phase, request)
        except (IndexError, ValueError) as error:
            raise ConfigError(f"{at}: script", repr(line), "a line of the recordings' language") from error


def requests(words: tuple[str, ...]) -> Iterator[Request]:
    """Yield what a line asks for."""
    verb = words[0]
    if verb in ("r", "w"):
        fd, offset, length = _numbers(words[1:4])
        yield from _cut("read" if verb == "r" else "write", fd, offset, length)
    elif verb in ("rseq", "wseq"):
        fd, offset, length, total = _numbers(words[1:5])
        sync = SYNCS[int(words[5])] if verb == "wseq" else ""
        for at in range(0, total, length):
            size = length if verb == "rseq" else min(length, total - at)
            yield from _cut("read" if verb == "rseq" else "write", fd, offset + at, size)
            if sync:
                yield Request(sync, fd)
    elif verb == "wl":
        fd, length, how, *offsets = _numbers(words[1:])
        for offset in offsets:
            yield from _cut("write", fd, offset, length)
            if SYNCS[how]:
                yield Request(SYNCS[how], fd)
    elif verb in ("fsync", "fdatasync", "syncfs", "random", "close"):
        yield Request(verb, int(words[1]))
    else:
        yield Request(verb, words=words[1:])


def _cut(kind: str, fd: int, offset: int, length: int) -> Iterator[Request]:
    for at in range(0, length, MOST_BYTES):
        yield Request(kind, fd, offset + at, min(MOST_BYTES, length - at))


def _numbers(words: Sequence[str]) -> list[int]:
    return [int(word) for word in words]

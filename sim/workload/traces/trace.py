"""
A trace as all formats give it: accesses in order, and what became of every line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, NamedTuple

from sim.errors import ConfigError

Kind = Literal["file", "block"]

UNKNOWN = -1


class Access(NamedTuple):
    """
    One read(2) of a file trace, one bio of a block trace.

    stream: who asked, an index of Trace.streams. handle: through which open file, an index of Trace.handles.
    offset, length: bytes asked for. got: bytes delivered. at_ns: when, from the trace's first access on;
    UNKNOWN without times. took_ns: until it returned; UNKNOWN where the trace does not tell.
    """

    stream: int
    handle: int
    offset: int
    length: int
    got: int
    at_ns: int = UNKNOWN
    took_ns: int = UNKNOWN
    write: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """
    What was read of a trace.

    files: path (of a block trace: device) -> bytes it has at least, of those that are accessed, in order.
    named: all that the trace names. handles: the path of each open file. calls: how many lines were read, by
    what they say. skipped: how many were not, by reason.
    """

    format: str
    kind: Kind
    accesses: list[Access]
    streams: list[str]
    files: dict[str, int]
    named: frozenset[str]
    handles: list[str]
    calls: Counter[str]
    skipped: Counter[str]

    @property
    def lines(self) -> int:
        """All lines that are not blank."""
        return self.calls.total() + self.skipped.total()

    @property
    def timed(self) -> bool:
        """Whether it tells when each access came."""
        return bool(self.accesses) and self.accesses[0].at_ns != UNKNOWN


class OpenPath:
    """
    An open file while a trace is read. position: where it is read next. size: bytes it has at least.
    direct: with O_DIRECT.
    """

    __slots__ = ("direct", "number", "path", "position", "size")

    def __init__(self, path: str, direct: bool = False) -> None:
        self.path = path
        self.direct = direct
        self.position = 0
        self.size = 0
        self.number = UNKNOWN


@dataclass(slots=True)
class Builder:
    """
    A trace in the making. Each line of the input is told to `used` or to `skip`, once.

    place: the file, for errors. An open file that nothing is read of is not in the trace.
    """

    place: str
    format: str
    kind: Kind = "file"
    prefix: str = ""
    _accesses: list[Access] = field(default_factory=list)
    _streams: dict[str, int] = field(default_factory=dict)
    _handles: list[OpenPath] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)
    _calls: Counter[str] = field(default_factory=Counter)
    _skipped: Counter[str] = field(default_factory=Counter)

    def used(self, what: str, lines: int = 1) -> None:
        """Count lines that were read, by what they say."""
        self._calls[what] += lines

    def skip(self, reason: str, lines: int = 1) -> None:
        """Count lines that were not."""
        self._skipped[reason] += lines

    def open(self, path: str, direct: bool = False) -> OpenPath:
        """Return an open file of a path that the trace names."""
        self._named.add(path)
        return OpenPath(path, direct)

    def access(
        self,
        stream: str,
        opened: OpenPath,
        offset: int,
        length: int,
        got: int | None = None,
        at_ns: int = UNKNOWN,
        took_ns: int = UNKNOWN,
        write: bool = False,
    ) -> None:
        """Add an access; `got`: as much as was asked for, if not said."""
        if opened.number == UNKNOWN:
            opened.number = len(self._handles)
            self._handles.append(opened)
        who = self._streams.setdefault(self.prefix + stream, len(self._streams))
        delivered = length if got is None else got
        opened.size = max(opened.size, offset + delivered)
        self._accesses.append(Access(who, opened.number, offset, length, delivered, at_ns, took_ns, write))

    def refuse(self, line: int, problem: str, allowed: str) -> ConfigError:
        """Return the error of a line, counted from 1."""
        return ConfigError(f"{self.place}:{line}", problem, allowed)

    def trace(self) -> Trace:
        """Return the trace, its times counted from its first access; raise ConfigError if it has none."""
        if not self._accesses:
            why = ", ".join(f"{count} {reason}" for reason, count in self._skipped.items()) or "no line"
            raise ConfigError(self.place, f"no access in it ({why})", f"a trace of format {self.format}")
        self._accesses.sort(key=attrgetter("at_ns"))  # stable: as written where there are no times
        first = max(self._accesses[0].at_ns, 0)
        accesses = [each._replace(at_ns=each.at_ns - first) for each in self._accesses] if first else None
        files: dict[str, int] = {}
        for opened in self._handles:
            files[opened.path] = max(files.get(opened.path, 0), opened.size)
        return Trace(
            self.format,
            self.kind,
            accesses or self._accesses,
            list(self._streams),
            files,
            frozenset(self._named),
            [opened.path for opened in self._handles],
            self._calls,
            self._skipped,
        )


def joined(traces: Iterable[Trace]) -> Trace:
    """Return several traces as one: each with streams of its own, all from one moment on."""
    first, *others = traces
    for other in others:
        if other.kind != first.kind or other.timed != first.timed:
            said = f"a {other.kind} trace with a {first.kind} trace"
            if other.kind == first.kind:
                said = "a trace with times and one without"
            raise ConfigError("workload.replay.file", said, "traces of one kind")
    accesses: list[Access] = []
    streams: list[str] = []
    handles: list[str] = []
    files: dict[str, int] = {}
    named: frozenset[str] = frozenset()
    calls: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for each in (first, *others):
        accesses += [
            access._replace(stream=access.stream + len(streams), handle=access.handle + len(handles))
            for access in each.accesses
        ]
        streams += each.streams
        handles += each.handles
        named |= each.named
        for path, size in each.files.items():
            files[path] = max(files.get(path, 0), size)
        calls += each.calls
        skipped += each.skipped
    return Trace(first.format, first.kind, accesses, streams, files, named, handles, calls, skipped)

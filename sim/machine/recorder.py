"""
What a traced run keeps besides its bios and reads: block events, work of the cores, read windows, gauges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.config.traced import Columns, Words, numbers
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import CallRow, Ledger
from sim.machine.block_log import BlockLog, Pids
from sim.machine.cpu_log import CpuLog


class Recorder:
    """The trace of one machine. block: the tracer of its queue. gauges: name -> what to ask for its value."""

    def __init__(self) -> None:
        pids, inside = Pids(), dict[int, int]()
        self.block = BlockLog(pids, inside)
        self._cpu = CpuLog(pids)
        self._windows = Windows(pids, inside)
        self.gauges = self._cpu.gauges

    def watched(self, path: ReadPath) -> ReadPath:
        """Return a read path whose windows are kept."""
        return _WatchedPath(path, self._windows)

    def attach(self, cpu: Cpu, ledger: Ledger, queue: Any) -> None:
        """Keep what these do."""
        self.block.attach(queue, cpu)
        self._cpu.attach(cpu.cores, ledger)

    def columns(self, now: int, callers: Callable[[], Callable[[str, str], str]]) -> dict[str, Columns]:
        """
        Return the tables by name; once, when the run is over at `now`, before anything reads the ledger.

        callers: asked when it may be read, gives what makes a stack whole, of a context and a stack.
        """
        self._cpu.finish(now)
        whole = callers()
        return {
            "block": self.block.columns(),
            "bursts": self._cpu.columns(),
            "burst_calls": _calls_of(self._cpu.kinds(), whole),
            "windows": self._windows.columns(),
            "gauges": self._cpu.gauge_columns(),
        }


class Windows:
    """Read windows: what a read path was asked for at once, and when its submission began and ended."""

    def __init__(self, pids: Pids, inside: dict[int, int]) -> None:
        self._pids = pids
        self._inside = inside
        self._pid, self._begin, self._end = numbers(), numbers(), numbers()
        self._first, self._pages = numbers(), numbers()
        self._comm, self._kind = Words(), Words()

    def enter(self, task: Task, kind: str, first: int, pages: int) -> tuple[int, int, int]:
        """A task begins a window; return what leave() is to be given."""
        pid, number = self._pids.of(task), len(self._pid)
        before = self._inside.get(pid, -1)
        self._inside[pid] = number
        self._pid.append(pid)
        self._comm.append(task.name)
        self._kind.append(kind)
        self._first.append(first)
        self._pages.append(pages)
        self._begin.append(task.time_ns)
        self._end.append(task.time_ns)
        return pid, number, before

    def leave(self, task: Task, entered: tuple[int, int, int]) -> None:
        """All of a window is submitted."""
        pid, number, before = entered
        self._end[number] = task.time_ns
        self._inside[pid] = before

    def columns(self) -> Columns:
        """Return the windows in the order in which they began."""
        return {
            "window": numbers_from(len(self._pid)),
            "pid": self._pid,
            "comm": self._comm,
            "call": self._kind,
            "page": self._first,
            "pages": self._pages,
            "begin_ns": self._begin,
            "end_ns": self._end,
        }


def numbers_from(count: int) -> Any:
    """Return the column 0, 1, ..."""
    column = numbers()
    column.extend(range(count))
    return column


class _WatchedPath(ReadPath):
    """A read path that tells of its windows."""

    def __init__(self, path: ReadPath, windows: Windows) -> None:
        self._path = path
        self._windows = windows

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """->readahead, or ->read_folio page by page."""
        first, end = ranges[0][0], ranges[-1][1]
        pages = sum(stop - start for start, stop in ranges)
        entered = self._windows.enter(task, "read_pages", first, pages if len(ranges) > 1 else end - first)
        yield from self._path.read_pages(task, file, ranges)
        self._windows.leave(task, entered)

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """->read_folio."""
        entered = self._windows.enter(task, "read_folio", page, 1)
        yield from self._path.read_folio(task, file, page)
        self._windows.leave(task, entered)


def _calls_of(kinds: list[list[CallRow]], whole: Callable[[str, str], str]) -> Columns:
    """Return the symbols of all kinds of stretches, a row each."""
    kind, calls, ps, mi = numbers(), numbers(), numbers(), numbers()
    context, symbol, stack = Words(), Words(), Words()
    for number, rows in enumerate(kinds):
        for row in rows:
            kind.append(number)
            context.append(row.context)
            symbol.append(row.symbol)
            stack.append(whole(row.context, row.stack))
            calls.append(row.calls)
            ps.append(row.ps)
            mi.append(row.mi)
    return {
        "kind": kind,
        "context": context,
        "symbol": symbol,
        "stack": stack,
        "calls": calls,
        "ps": ps,
        "milli_instructions": mi,
    }

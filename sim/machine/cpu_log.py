"""
Every stretch of work on a core, with the symbols it was charged for.

A stretch that is interrupted is several pieces. Stretches that were charged the same are of one kind, and the
kinds have the symbols (charges.py says which stretch was charged for what).
"""

from __future__ import annotations

from collections.abc import Callable

from sim.config.traced import Columns, Words, in_order, numbers
from sim.engine.cpu import Core, CpuWatch, Task
from sim.engine.ledger import IRQ, KWORKER, TASK, CallRow, Ledger
from sim.engine.tally import Passed
from sim.engine.worker import Worker
from sim.machine.block_log import FIRST_KWORKER, Pids
from sim.machine.charges import Charges


class _Stretch:
    """Work on a core that is not over: its number, whose it is, its pieces [start, end) in ns."""

    __slots__ = ("comm", "context", "kind", "number", "pid", "pieces")

    def __init__(
        self, number: int, context: str, pid: int, comm: str, kind: int, piece: tuple[int, int]
    ) -> None:
        self.number = number
        self.context = context
        self.pid = pid
        self.comm = comm
        self.kind = kind
        self.pieces = [piece]

    def push_back(self, at: int, ns: int) -> None:
        """Other work of `ns` comes at a time before its end: the rest of this waits for it."""
        first, last = self.pieces[-1]
        if first >= at:
            self.pieces[-1] = first + ns, last + ns
        else:
            self.pieces[-1] = first, at
            self.pieces.append((at + ns, last + ns))


class CpuLog(CpuWatch):
    """All work of a machine's cores, since it was attached. gauges: looked at whenever work is put there."""

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self._charges: Charges
        self._open: list[list[_Stretch]] = []
        self._kinds: dict[Passed, int] = {}
        self._number = 0
        self._burst, self._cpu, self._pid, self._kind = numbers(), numbers(), numbers(), numbers()
        self._start, self._ns = numbers(), numbers()
        self._context, self._comm = Words(), Words()
        self.gauges: dict[str, Callable[[], int]] = {}
        self._seen: dict[str, int] = {}
        self._when, self._gauge, self._value = numbers(), Words(), numbers()

    def attach(self, cores: list[Core], ledger: Ledger) -> None:
        """See what these cores do."""
        self._charges = Charges(ledger)
        self._open = [[] for _ in cores]
        for core in cores:
            core.watch = self

    def ran(
        self, core: int, context: str, task: Task | None, now: int, start: int, ns: int, first: bool
    ) -> None:
        """Work is put on a core."""
        passed = self._charges.of(context, ns)
        open_here = self._open[core]
        if ns and first:
            at = start if context == KWORKER or isinstance(task, Worker) else now
            for stretch in open_here:
                pushed = stretch.context == TASK or (context == IRQ and stretch.context == KWORKER)
                if pushed and stretch.pieces[-1][1] > at:
                    stretch.push_back(at, ns)
        self._look(now)
        if open_here:
            self._close(core, now)
        if not passed and not ns:
            return
        kind = self._kinds.setdefault(passed, len(self._kinds))
        pid, comm = self._who(core, context, task)
        self._open[core].append(_Stretch(self._number, context, pid, comm, kind, (start, start + ns)))
        self._number += 1

    def queued(self, context: str) -> None:
        """Work was queued."""
        self._charges.queued(context)

    def _look(self, now: int) -> None:
        """Write down which gauges have changed."""
        for name, gauge in self.gauges.items():
            value = gauge()
            if value != self._seen.get(name, 0):
                self._seen[name] = value
                self._when.append(now)
                self._gauge.append(name)
                self._value.append(value)

    def gauge_columns(self) -> Columns:
        """Return each change of a gauge."""
        return {"time_ns": self._when, "gauge": self._gauge, "value": self._value}

    def _who(self, core: int, context: str, task: Task | None) -> tuple[int, str]:
        if task is not None:
            return self._pids.of(task), task.name
        return (FIRST_KWORKER + core, f"kworker/{core}") if context == KWORKER else (0, f"swapper/{core}")

    def _close(self, core: int, now: int) -> None:
        """Write down what is over."""
        left = []
        for stretch in self._open[core]:
            if stretch.pieces[-1][1] > now:
                left.append(stretch)
            else:
                self._write(core, stretch)
        self._open[core] = left

    def _write(self, core: int, stretch: _Stretch) -> None:
        last = len(stretch.pieces) - 1
        for at, (start, end) in enumerate(stretch.pieces):
            if end == start and last and (at < last or self._burst[-1] == stretch.number):
                continue  # an empty piece beside others
            self._burst.append(stretch.number)
            self._cpu.append(core)
            self._context.append(stretch.context)
            self._pid.append(stretch.pid)
            self._comm.append(stretch.comm)
            self._start.append(start)
            self._ns.append(end - start)
            self._kind.append(stretch.kind)

    def finish(self, now: int) -> None:
        """
        The run is over; what was charged and takes less than a ns is a stretch of its own.
        """
        self._look(now)
        if rest := self._charges.rest():
            kind = self._kinds.setdefault(rest, len(self._kinds))
            self._open[0].append(_Stretch(self._number, TASK, 0, "swapper/0", kind, (now, now)))
        for core, stretches in enumerate(self._open):
            for stretch in stretches:
                self._write(core, stretch)
            self._open[core] = []

    def columns(self) -> Columns:
        """Return the pieces in the order of their starts, then of their stretches."""
        columns: Columns = {
            "burst": self._burst,
            "cpu": self._cpu,
            "context": self._context,
            "pid": self._pid,
            "comm": self._comm,
            "start_ns": self._start,
            "ns": self._ns,
            "kind": self._kind,
        }
        rows = range(len(self._burst))
        return in_order(columns, sorted(rows, key=lambda row: (self._start[row], self._burst[row])))

    def kinds(self) -> list[list[CallRow]]:
        """Return the charges of each kind."""
        return [self._charges.rows(passed) for passed in self._kinds]

"""
Whose charges are whose: the steps of a ledger, dealt out to the stretches of work that were charged for.

Most work is charged right before it is put on a core. What a worker does is charged when it is queued, by the
interrupt that queues it, and is kept here until the worker runs. Items that are queued together are charged
together; each then gets of every symbol as much as its part of the time, rounded so that nothing is lost.
"""

from __future__ import annotations

from sim.engine.costs import PS_PER_NS
from sim.engine.ledger import Ledger
from sim.engine.tally import Passed, Tally


class _Waiting:
    """A step whose work is still to come."""

    __slots__ = ("passed", "ps")

    def __init__(self, passed: Passed, ps: int) -> None:
        self.passed = passed
        self.ps = ps


class Charges:
    """The charges of one ledger since it was made."""

    def __init__(self, ledger: Ledger) -> None:
        self._tally = Tally(ledger)
        self.rows = self._tally.rows
        self._waiting: dict[str, list[_Waiting]] = {}
        self._pending: Passed = ()

    def queued(self, context: str) -> None:
        """All that was charged in this context since the last stretch is for later."""
        step, others = list[tuple[int, int, int]](), list[tuple[int, int, int]]()
        for entry in self._pending + self._tally.take():
            (step if self._tally.site(entry[0]).context == context else others).append(entry)
        self._pending = tuple(others)
        self._wait(context, step)

    def _wait(self, context: str, entries: list[tuple[int, int, int]]) -> None:
        if entries:
            step = tuple(entries)
            self._waiting.setdefault(context, []).append(_Waiting(step, self._tally.ps_of(step)))

    def of(self, context: str, ns: int) -> Passed:
        """Return what a stretch of `ns` in this context, which is put on a core now, was charged for."""
        passed, tally = self._pending + self._tally.take(), self._tally
        self._pending = ()
        ps = tally.ps_of(passed)
        if abs(ps - ns * PS_PER_NS) < PS_PER_NS:
            return passed
        by_context: dict[str, list[tuple[int, int, int]]] = {}
        for entry in passed:
            by_context.setdefault(tally.site(entry[0]).context, []).append(entry)
        own = by_context.pop(context, [])
        for other, entries in by_context.items():
            self._wait(other, entries)
        missing = ns * PS_PER_NS - tally.ps_of(tuple(own))
        itself = self._of_itself(own, ns) if missing <= -PS_PER_NS else None
        if itself is not None:
            own.remove(itself)
            self._pending = tuple(own)  # what a task has done and not settled when it wakes another
            return (itself,)
        return _sum([*own, *self._earlier(context, missing)]) if missing >= PS_PER_NS else tuple(own)

    def _of_itself(self, entries: list[tuple[int, int, int]], ns: int) -> tuple[int, int, int] | None:
        """Return the one of several charges that a stretch of `ns` is made of, if there is one."""
        for entry in entries:
            if abs(self._tally.ps_of((entry,)) - ns * PS_PER_NS) < PS_PER_NS:
                return entry
        return None

    def _earlier(self, context: str, missing: int) -> list[tuple[int, int, int]]:
        """Return charges of a context that wait, the first first, worth `missing` ps."""
        waiting, found = self._waiting.get(context, []), list[tuple[int, int, int]]()
        while waiting and missing >= PS_PER_NS:
            step = waiting[0]
            if step.ps - missing < PS_PER_NS:
                found += step.passed
                missing -= step.ps
                del waiting[0]
                continue
            taken = tuple(
                (number, round(passes * missing / step.ps), round(units * missing / step.ps))
                for number, passes, units in step.passed
            )
            left = [
                (number, passes - off[1], units - off[2])
                for (number, passes, units), off in zip(step.passed, taken, strict=True)
            ]
            step.passed = tuple(entry for entry in left if entry[1] or entry[2])
            step.ps = self._tally.ps_of(step.passed)
            found += taken
            break
        return found

    def rest(self) -> Passed:
        """Return what was charged and never put on a core."""
        entries = [*self._pending, *self._tally.take()]
        for waiting in self._waiting.values():
            for step in waiting:
                entries += step.passed
        self._waiting = {}
        return _sum(entries)


def _sum(entries: list[tuple[int, int, int]]) -> Passed:
    """Return the entries with one for each site."""
    sums: dict[int, list[int]] = {}
    for number, passes, units in entries:
        entry = sums.setdefault(number, [0, 0])
        entry[0] += passes
        entry[1] += units
    return tuple((number, passes, units) for number, (passes, units) in sums.items() if passes or units)

"""
A script of requests run on a model: what each of its phases counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim.peers.script import UNCOUNTED, Step
from sim.peers.tally import Tally


def run_counted(
    steps: Iterable[Step], tally: Tally, do: Callable[[Step], None], phases: Iterable[str] = ()
) -> dict[str, Tally]:
    """
    Return what each phase counts, by its name, in order.

    do: does what a step asks for, counting in `tally`. phases: those that are run; none named: all
    that are counted.
    """
    wanted = frozenset(phases)
    counted: dict[str, Tally] = {}
    for step in steps:
        if step.phase == UNCOUNTED or (wanted and step.phase not in wanted):
            continue
        calls, bios = tally.calls.copy(), len(tally.bios)
        do(step)
        phase = counted.setdefault(step.phase, Tally())
        phase.calls.update(tally.calls - calls)
        phase.bios += tally.bios[bios:]
    return counted

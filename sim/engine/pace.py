"""
How fast a machine is, and what a constant takes at that pace: its instructions, and the bytes of a `rep`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MILLI: Final = 1000
"""Thousandths of an instruction in one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Picoseconds an instruction, and a byte of a `rep` (None: not stated)."""

    instruction_ps: float
    byte_ps: float | None = None

    def times(self, factor: float) -> Pace:
        """Return the pace of a machine that much slower."""
        byte_ps = None if self.byte_ps is None else self.byte_ps * factor
        return Pace(self.instruction_ps * factor, byte_ps)


def paced(ps: int, mi: int, rep_bytes: int, new: Pace, old: Pace | None) -> int:
    """Return what a constant of `ps` at the pace `old` takes at `new`; its bytes go at their own."""
    others = max(mi / MILLI - rep_bytes, 0.0)
    if old is None:  # only instructions are known to be right
        return round(others * new.instruction_ps + (ps if rep_bytes else 0))
    at_work = min(others * old.instruction_ps, ps) if rep_bytes else ps
    moved = ps - at_work
    if old.byte_ps and new.byte_ps:
        moved *= new.byte_ps / old.byte_ps
    return round(at_work * new.instruction_ps / old.instruction_ps + moved)


def in_proportion(ps: int, mi: int, now_mi: int | None, pace: Pace) -> int:
    """Return what a constant of `ps` and `mi` takes when it has other instructions (None: the same)."""
    if now_mi is None:
        return ps
    return round(ps * now_mi / mi) if mi else round(now_mi * pace.instruction_ps / MILLI)

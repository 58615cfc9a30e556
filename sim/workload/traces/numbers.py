"""
Numbers of traces: times in decimal words, in a stated unit, without rounding up.
"""

from __future__ import annotations

import re

from sim.units import NS_PER_MS, NS_PER_S, NS_PER_US

TIME_UNITS = {"s": NS_PER_S, "ms": NS_PER_MS, "us": NS_PER_US, "ns": 1, "100ns": 100}
"""ns of each unit; 100ns is that of Windows' file times."""

_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?")
_WHOLE = re.compile(r"[0-9]{1,18}")


def time_ns(text: str, unit_ns: int) -> int | None:
    """Return a decimal number of units in ns, cut to whole ones; None if it is no such number."""
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        return None
    fraction = match[2] or ""
    digits, divisor = int(match[1] + fraction), int(10 ** len(fraction))
    return digits * unit_ns // divisor


def whole(text: str) -> int | None:
    """Return a number >= 0 below 10^18; None if it is none."""
    word = text.strip()
    return int(word) if _WHOLE.fullmatch(word) else None

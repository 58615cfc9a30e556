"""
Units: bytes, sectors and integer nanoseconds, and the words people write them in.

A name without a unit is in blocks or pages and says so; `_bytes`, `_sectors` and `_ns` end the others.
"""

from __future__ import annotations

import re
from typing import Final

from sim.documents import short
from sim.errors import ConfigError

SECTOR_BYTES: Final = 512
PAGE_BYTES: Final = 4096
PAGE_SECTORS: Final = PAGE_BYTES // SECTOR_BYTES

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

_SIZE_WORDS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _SIZE_WORDS[_letter] = _SIZE_WORDS[f"{_letter}ib"] = 1 << (10 * _power)
    _SIZE_WORDS[f"{_letter}b"] = 10 ** (3 * _power)

_TIME_WORDS = {"ns": 1, "us": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S}

_QUANTITY = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([A-Za-z]*)\s*")
MOST_QUANTITY: Final = (1 << 62) - 1
"""The largest quantity: two of them can be added in the 64 bits of a table's column."""


def _quantity(place: str, value: object, words: dict[str, int], allowed: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigError(place, f"{short(value)} is not a quantity", allowed)
    if isinstance(value, int):
        if value < 0:
            raise ConfigError(place, f"{short(value)} is negative", allowed)
        return _bounded(place, value, value, allowed)
    match = _QUANTITY.fullmatch(value)
    factor = words.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ConfigError(place, f"{short(value)} is not understood", allowed)
    whole, _, fraction = match[1].partition(".")
    scaled: int = int(whole + fraction) * factor
    amount, rest = divmod(scaled, int(10 ** len(fraction)))
    if rest:
        raise ConfigError(place, f"{value!r} is not a whole number of units", allowed)
    return _bounded(place, value, amount, allowed)


def _bounded(place: str, value: object, amount: int, allowed: str) -> int:
    if amount > MOST_QUANTITY:
        raise ConfigError(place, f"{short(value)} is too large", f"{allowed}; up to 2^62")
    return amount


def parse_size(place: str, value: object) -> int:
    """
    Return a size in bytes from 4096, "4096", "4k", "4KiB" (binary) or "4KB" (decimal).

    Case does not matter. `place` is named in the ConfigError of a value that is not a whole,
    non-negative number of bytes.
    """
    return _quantity(place, value, _SIZE_WORDS, "bytes, or a number with k, KiB, KB, M, MiB, ... P")


def parse_time(place: str, value: object) -> int:
    """
    Return a time in ns from 120 (ns), "120us", "1.5 ms" or "2s".

    `place` is named in the ConfigError of a value that is not a whole, non-negative number of ns.
    """
    return _quantity(place, value, {"": 1, **_TIME_WORDS}, "ns, or a number with ns, us, ms, s")


def format_size(size_bytes: int) -> str:
    """Return the shortest exact binary form of a size in bytes: 65536 -> "64KiB"."""
    for factor, word in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{word}"
    return f"{size_bytes}B"


def format_time(time_ns: float) -> str:
    """Return a time in ns in the unit that leaves one to three digits before the point, three figures."""
    for factor, word in ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "us")):
        if abs(time_ns) >= factor:
            return f"{time_ns / factor:.3g} {word}"
    return f"{time_ns:.3g} ns"

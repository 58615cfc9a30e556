"""
The values of fio options: numbers with fio's suffixes, times, percentages, splits of block sizes.

Suffixes mean what they mean in fio (kb_base=1024): `4k`, `4kb` and `4ki` are 4096 bytes, but `4KiB` is 4000.
A fraction is refused where fio would cut it (`1.5k` is 1 byte there).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sim.units import NS_PER_MS, NS_PER_S, NS_PER_US

Fields = dict[str, Any]
"""Fields of a Job, by name, that one option sets."""


class OptionValueError(Exception):
    """A value of an option that is not understood: (problem, allowed)."""


_NUMBER = re.compile(r"(0x[0-9a-fA-F]+|[0-9]+)([A-Za-z]*)")
_SIZE_FACTORS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    # fio's kb_base=1024: the short forms are binary and the long "KiB" is decimal, for history's sake.
    _SIZE_FACTORS |= dict.fromkeys((_letter, f"{_letter}b", f"{_letter}i"), 1024**_power)
    _SIZE_FACTORS[f"{_letter}ib"] = 1000**_power
_TIME_FACTORS = {"us": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S}
_SIZE_WORDS = "bytes, or a whole number with k, m, g, t"
_ALL_PERCENT = 100


def _scaled(value: str, factors: Mapping[str, int], allowed: str) -> int:
    match = _NUMBER.fullmatch(value)
    factor = factors.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise OptionValueError(f"{value!r} is not understood", allowed)
    return int(match[1], 0 if match[1].startswith("0x") else 10) * factor


def size(value: str) -> int:
    """Return a size in bytes."""
    return _scaled(value, _SIZE_FACTORS, _SIZE_WORDS)


def positive_size(value: str) -> int:
    """Return a size in bytes, at least 1."""
    number = size(value)
    if number < 1:
        raise OptionValueError(f"{value!r} is out of range", ">= 1")
    return number


def time_us(value: str) -> int:
    """Return a time in ns; without a unit it is in microseconds."""
    return _scaled(value, {"": NS_PER_US, **_TIME_FACTORS}, "us, or a whole number with us, ms, s, m, h")


def time_s(value: str) -> int:
    """Return a time in ns; without a unit it is in seconds."""
    return _scaled(value, {"": NS_PER_S, **_TIME_FACTORS}, "s, or a whole number with us, ms, s, m, h")


def positive_time_s(value: str) -> int:
    """Return a time in ns, at least 1; without a unit it is in seconds."""
    time_ns = time_s(value)
    if time_ns < 1:
        raise OptionValueError(f"{value!r} is out of range", "> 0")
    return time_ns


def count(value: str) -> int:
    """Return a whole number, at least 1."""
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise OptionValueError(f"{value!r} is out of range", "a whole number >= 1")
    return int(value)


def percent(value: str, least: int = 0) -> int:
    """Return a percentage, `least` to 100, written without its sign."""
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= _ALL_PERCENT:
        raise OptionValueError(f"{value!r} is out of range", f"a whole number from {least} to 100")
    return int(value)


def word(value: str, *allowed: str) -> str:
    """Return `value`, which must be one of `allowed`."""
    if value not in allowed:
        raise OptionValueError(f"{value!r} is not modelled", ", ".join(allowed))
    return value


def flag(value: str) -> bool:
    """Return a boolean, 0 or 1."""
    return word(value, "0", "1") == "1"


def bare_flag(value: str) -> bool:
    """Return a boolean that may also be set by its name alone."""
    return value == "" or flag(value)


def filename(value: str) -> str:
    """Return the name of one file; fio's lists of files ("a:b") are not modelled."""
    if not value or ":" in value:
        raise OptionValueError(
            f"{value!r} is not one file", "the name of one file of the volume, without ':'"
        )
    return value


def size_or_percent(name: str, parser: Callable[[str], int], least: int) -> Callable[[str], Fields]:
    """
    Return a parser of bytes or "N%" for the pair of fields `name`_bytes, `name`_percent.

    parser: of the bytes. least: the smallest percentage. Of the two fields one is set, the other unset.
    """

    def parse(value: str) -> Fields:
        if value.endswith("%"):
            return {f"{name}_percent": percent(value[:-1], least), f"{name}_bytes": None}
        return {f"{name}_bytes": parser(value), f"{name}_percent": None}

    return parse


def size_range(value: str) -> tuple[int, int]:
    """Return the smallest and largest block size in bytes of "1k-4k"."""
    low, dash, high = value.partition("-")
    if not dash:
        raise OptionValueError(f"{value!r} is not a range", "smallest-largest, as in 1k-4k")
    least, most = positive_size(low), positive_size(high)
    if least > most:
        raise OptionValueError(f"{value!r} is not a range", "smallest-largest, as in 1k-4k")
    return least, most


def size_split(value: str) -> tuple[tuple[int, int], ...]:
    """
    Return the (bytes, percent) of "4k/60:64k/40", in order.

    Sizes without a percentage share what the others leave, in whole percents. fio takes a sum below 100 and
    gives the rest to the last size; here it is refused.
    """
    allowed = "sizes with percentages that add up to 100, as in 4k/60:64k/40"
    sizes: list[tuple[int, int | None]] = []
    for entry in value.split(":"):
        number, _, share = entry.partition("/")
        sizes.append((positive_size(number), percent(share, 1) if share else None))
    given = sum(share for _, share in sizes if share is not None)
    blanks = sum(share is None for _, share in sizes)
    if given > _ALL_PERCENT or (not blanks and given < _ALL_PERCENT):
        raise OptionValueError(f"{value!r} adds up to {given} percent", allowed)
    each = (_ALL_PERCENT - given) // blanks if blanks else 0
    if blanks and not each:
        raise OptionValueError(f"{value!r} leaves no percent for a size", allowed)
    return tuple((number, each if share is None else share) for number, share in sizes)


_ZIPF_THETA = 1.1  # fio's default


def distribution(value: str) -> Fields:
    """Return the fields of random_distribution: "random", "zipf" or "zipf:theta"."""
    allowed = "random, zipf, zipf:theta with theta >= 0 and not 1"
    kind, colon, number = value.partition(":")
    if kind not in ("random", "zipf") or (kind == "random" and colon):
        raise OptionValueError(f"{value!r} is not modelled", allowed)
    theta = _ZIPF_THETA
    if colon:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) or float(number) == 1:
            raise OptionValueError(f"{value!r} is not modelled", allowed)
        theta = float(number)
    return {"random_distribution": kind, "zipf_theta": theta if kind == "zipf" else None}

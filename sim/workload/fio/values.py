"""
The values of fio options: numbers with fio's suffixes, times, percentages, words, ranges.

Suffixes mean what they mean in fio: with kb_base=1024, the default, `4k`, `4kb` and `4ki` are 4096 bytes, but
`4KiB` is 4000; with kb_base=1000 it is the other way round. What fio would take and misread is refused: a
fraction (`1.5k` is 1 byte there), blanks before a number with a suffix (` 8k` is 8 bytes), words behind it
(`1min` is 1 us).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sim.units import NS_PER_MS, NS_PER_S, NS_PER_US
from sim.workload.fio.table import Option


class OptionValueError(Exception):
    """A value of an option that is not understood: (problem, allowed)."""


_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([A-Za-z]*)")
_TIME_FACTORS = {
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": 86400 * NS_PER_S,
}
_TIME_WORDS = "a whole number with us, ms, s, m, h, d"
_SIZE_WORDS = "a whole number, also with k, m, g, t"
DEFAULT_KB_BASE = 1024
ALL_PERCENT = 100
_MOST = (1 << 63) - 1
_MOST_DIGITS = 40
"""Python refuses to convert more than 4,300, and takes long before that; leading zeros are digits too."""
_MOST_TIME_NS = 1000 * _TIME_FACTORS["d"]
"""A hundred times in a row, and the clock's 63 bits are used up."""
_PATTERN = r"""("[^"]*"|'[^']*'|0[xX][0-9a-fA-F]+|-?[0-9]{{1,18}}{})+"""
_DIRECTIONS = 3
"""Values after commas: for reads, writes, trims."""


def _size_factors(kb_base: int) -> dict[str, int]:
    short, long = (1024, 1000) if kb_base == DEFAULT_KB_BASE else (1000, 1024)
    factors = {"": 1, "b": 1}
    for power, letter in enumerate("kmgtp", start=1):
        factors |= dict.fromkeys((letter, f"{letter}b", f"{letter}i"), short**power)
        factors[f"{letter}ib"] = long**power
    return factors


_SIZE_FACTORS = {base: _size_factors(base) for base in (1000, 1024)}


def _scaled(value: str, factors: Mapping[str, int], allowed: str) -> int:
    match = _NUMBER.fullmatch(value)
    if match is None and (bare := _NUMBER.fullmatch(value.strip())) and not bare[2]:
        match = bare  # fio skips the blanks
    factor = factors.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise OptionValueError(f"{value!r} is not understood", allowed)
    number = whole_number(match[1]) * factor
    if number > _MOST:
        raise OptionValueError(f"{value!r} is out of range", "63 bits")
    return number


def whole_number(digits: str) -> int:
    """Return the number that decimal digits say, or 0x and hexadecimal ones; raise for too many."""
    if len(digits) > _MOST_DIGITS:
        raise OptionValueError(f"a number of {len(digits)} digits", "63 bits")
    return int(digits, 16 if digits[:2].lower() == "0x" else 10)


def size(value: str, kb_base: int = DEFAULT_KB_BASE) -> int:
    """Return a number, or a size in bytes."""
    return _scaled(value, _SIZE_FACTORS[kb_base], _SIZE_WORDS)


def time_us(value: str) -> int:
    """Return a time in ns; without a unit it is in microseconds."""
    return _time(value, {"": NS_PER_US, **_TIME_FACTORS}, f"us, or {_TIME_WORDS}")


def time_s(value: str) -> int:
    """Return a time in ns; without a unit it is in seconds."""
    return _time(value, {"": NS_PER_S, **_TIME_FACTORS}, f"s, or {_TIME_WORDS}")


def _time(value: str, factors: Mapping[str, int], allowed: str) -> int:
    time_ns = _scaled(value, factors, allowed)
    if time_ns > _MOST_TIME_NS:
        raise OptionValueError(f"{value!r} is out of range", "up to 1000 days")
    return time_ns


def within(number: int, least: int, most: int | None, value: str) -> int:
    """Return `number`, which `value` says; raise OptionValueError unless least <= number <= most."""
    if number < least or (most is not None and number > most):
        allowed = f">= {least}" if most is None else f"a whole number from {least} to {most}"
        raise OptionValueError(f"{value!r} is out of range", allowed)
    return number


def percent(value: str, least: int = 0) -> int:
    """Return a percentage, `least` to 100, written without its sign."""
    if not value.isascii() or not value.isdigit():
        raise OptionValueError(f"{value!r} is out of range", f"a whole number from {least} to 100")
    return within(whole_number(value), least, ALL_PERCENT, value)


def flag(value: str) -> bool:
    """Return a boolean: 0 or 1."""
    plain = value.strip()
    if plain not in ("0", "1"):
        raise OptionValueError(f"{value!r} is not understood", "0, 1")
    return plain == "1"


def for_reads(value: str) -> str:
    """Return the first of one to three values with commas between, those for reads, writes and trims."""
    values = value.split(",")
    if len(values) > _DIRECTIONS:
        raise OptionValueError(f"{value!r} is not understood", "reads,writes,trims")
    return values[0]


def low_and_high(value: str, number: Callable[[str], int]) -> tuple[int, int]:
    """Return the ends, the lower one first, of "low-high" or "low:high"; of one number, it twice."""
    ends = re.split("[-:,]", value)
    if len(ends) > 2 or not all(ends):
        raise OptionValueError(f"{value!r} is not a range", "a number, or smallest-largest")
    low, high = sorted((number(ends[0]), number(ends[-1])))
    return low, high


def size_range(value: str, kb_base: int = DEFAULT_KB_BASE) -> tuple[int, int]:
    """Return the smallest and largest block size in bytes of "1k-4k"."""
    allowed = "smallest-largest, as in 1k-4k"
    if not re.search("[-:]", value):
        raise OptionValueError(f"{value!r} is not a range", allowed)
    low, high = low_and_high(value, lambda end: size(end, kb_base))
    return within(low, 1, None, value), high


def word(option: Option, value: str) -> tuple[str, str]:
    """
    Return the word of an option, and what follows it behind a colon.

    Raises OptionValueError for what is none of the option's words.
    """
    head, _, tail = value.partition(":")
    if head not in option.words:
        raise OptionValueError(f"{value!r} is not understood", ", ".join(option.words))
    return head, tail


def checked(option: Option, value: str, kb_base: int = DEFAULT_KB_BASE) -> str:
    """
    Return a value of an option whose meaning is not needed, as plain as it can be told: "1", "none".

    Raises OptionValueError for a value that fio does not take, or misreads.
    """
    match option.takes:
        case "word":
            return word(option, value)[0]
        case "bool":
            return str(int(flag(for_reads(value))))
        case "flag":
            return str(size(value))
        case "int":
            return str(_whole(option, for_reads(value), kb_base))
        case "bytes":
            last = for_reads(value)
            return last if last.endswith("%") and percent(last[:-1]) >= 0 else str(size(last, kb_base))
        case "us":
            return str(time_us(for_reads(value)))
        case "time":
            return str(time_s(for_reads(value)))
        case "floats":
            return _floats(option, value)
        case "words":
            return ",".join(word(option, part)[0] for part in value.split(","))
        case "pattern" if not re.fullmatch(_PATTERN.format("".join(f"|{w}" for w in option.words)), value):
            raise OptionValueError(f"{value!r} is not understood", "numbers, and texts in quotes")
        case "text" if not value:
            raise OptionValueError("an empty value", "a value")
    return value


def _whole(option: Option, value: str, kb_base: int) -> int:
    if option.least < 0 and value.startswith("-"):
        return within(-size(value[1:], kb_base), option.least, option.most, value)
    return within(size(value, kb_base), option.least, option.most, value)


def _floats(option: Option, value: str) -> str:
    for number in value.split(":"):
        if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", number):
            raise OptionValueError(f"{number!r} is not a number", "numbers with colons between")
        if option.most is not None and float(number) > option.most:
            raise OptionValueError(f"{number!r} is out of range", f"0 to {option.most}")
    return value


def size_split(value: str, kb_base: int = DEFAULT_KB_BASE) -> tuple[tuple[int, int], ...]:
    """
    Return the (bytes, percent) of "4k/60:64k/40", in order.

    Sizes without a percentage share what the others leave, in whole percents; what percentages leave over
    goes to the last size, as in fio.
    """
    allowed = "sizes with percentages that add up to 100, as in 4k/60:64k/40"
    sizes: list[tuple[int, int | None]] = []
    for entry in for_reads(value).split(":"):
        number, _, share = entry.partition("/")
        length = within(size(number, kb_base), 1, None, number)
        sizes.append((length, percent(share, 1) if share else None))
    given = sum(share for _, share in sizes if share is not None)
    blanks = sum(share is None for _, share in sizes)
    if given > ALL_PERCENT:
        raise OptionValueError(f"{value!r} adds up to {given} percent", allowed)
    each = (ALL_PERCENT - given) // blanks if blanks else 0
    if blanks and not each:
        raise OptionValueError(f"{value!r} leaves no percent for a size", allowed)
    return tuple((number, each if share is None else share) for number, share in sizes)

"""
What each modelled option of fio sets in a Job.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from sim.workload.fio.table import Option
from sim.workload.fio.values import (
    OptionValueError,
    checked,
    for_reads,
    low_and_high,
    percent,
    size,
    size_range,
    size_split,
    time_s,
    time_us,
    whole_number,
    within,
    word,
)

Fields = dict[str, Any]
"""Fields of a Job, by name, that one option sets."""

Parser = Callable[[Option, str, int], Fields]
"""(the option, its value, kb_base) -> fields; raises OptionValueError."""

_WORD_BITS = 64


def _flag(name: str) -> Parser:
    return lambda option, value, base: {name: checked(option, value, base) != "0"}


def _text(name: str) -> Parser:
    return lambda option, value, base: {name: checked(option, value, base)}


def _word(name: str) -> Parser:
    return lambda option, value, _base: {name: word(option, value)[0]}


def _whole(name: str, least: int = 0, zero: int | None = 0) -> Parser:
    """A whole number, `least` or more, the one for reads if there are several; `zero`: what 0 means."""

    def parse(option: Option, value: str, base: int) -> Fields:
        first = for_reads(value)
        if not first and "," in value:
            return {}  # only writes are spoken of
        number = int(checked(option, first, base))
        return {name: within(number, least, option.most, value) or zero}

    return parse


def _bytes(name: str, least: int, least_percent: int) -> Parser:
    """Bytes or "N%" for the pair of fields `name`_bytes, `name`_percent, of which one is set."""

    def parse(_option: Option, value: str, base: int) -> Fields:
        said = for_reads(value)
        if said.endswith("%"):
            return {f"{name}_percent": percent(said[:-1], least_percent), f"{name}_bytes": None}
        return {f"{name}_bytes": within(size(said, base), least, None, said), f"{name}_percent": None}

    return parse


def _bytes_or_0(name: str) -> Parser:
    parse = _bytes(name, 0, 0)

    def parse_or_0(option: Option, value: str, base: int) -> Fields:
        fields = parse(option, value, base)
        return {**fields, f"{name}_bytes": fields[f"{name}_bytes"] or 0}

    return parse_or_0


_ORDERS = {
    "read": ("read", "read"),
    "randread": ("randread", "read"),
    "write": ("read", "write"),
    "randwrite": ("randread", "write"),
    "rw": ("read", "mixed"),
    "readwrite": ("read", "mixed"),
    "randrw": ("randread", "mixed"),
}
"""rw -> the order of a job, and what it does in it."""


def _rw(option: Option, value: str, base: int) -> Fields:
    """read:8k leaves 8k out between reads, randread:8 jumps once in 8 reads."""
    head, tail = word(option, value)
    order, ddir = _ORDERS[head]
    fields: Fields = {"rw": order, "ddir": ddir, "stride_bytes": 0, "sequence": 1}
    if not tail:
        return fields
    if order == "read":
        backwards = tail.startswith("-")
        stride = size(tail.removeprefix("-"), base)
        return {**fields, "stride_bytes": -stride if backwards else stride}
    if not tail.isascii() or not tail.isdigit():
        raise OptionValueError(f"{value!r} is not understood", f"{head}:N, one jump in N reads")
    return {**fields, "sequence": whole_number(tail)}


_ZIPF_THETA, _PARETO_POWER = 1.1, 0.2  # fio's defaults
_DISTRIBUTION_FIELDS = dict.fromkeys(("zipf_theta", "pareto_power", "deviation", "center", "zones"))


def _distribution(option: Option, value: str, base: int) -> Fields:
    kind, tail = word(option, value)
    fields: Fields = {**_DISTRIBUTION_FIELDS, "random_distribution": kind}
    if kind == "random":
        return fields
    if kind in ("zoned", "zoned_abs"):
        return {**fields, "zones": _zones(value, kind == "zoned_abs", base)}
    number, _, center = tail.partition(":")
    if center:
        fields["center"] = _number(value, center, lambda at: 0 <= at <= 1, "0 <= center <= 1")
    match kind:
        case "zipf":
            fields["zipf_theta"] = _number(value, number or _ZIPF_THETA, lambda at: at != 1, "theta not 1")
        case "pareto":
            fields["pareto_power"] = _number(
                value, number or _PARETO_POWER, lambda at: 0 < at < 1, "0 < power < 1"
            )
        case "normal":
            fields["deviation"] = _number(value, number or 0.0, lambda at: 0 <= at < 100, "0 to 99 percent")
    return fields


def _number(value: str, number: str | float, fits: Callable[[float], bool], allowed: str) -> float:
    if isinstance(number, str) and not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", number):
        raise OptionValueError(f"{value!r} is not understood", allowed)
    if not math.isfinite(float(number)) or not fits(float(number)):
        raise OptionValueError(f"{value!r} is out of range", allowed)
    return float(number)


def _zones(value: str, absolute: bool, base: int) -> tuple[tuple[int, int], ...]:
    """
    Return (percent of reads, percent of the region or bytes) of zoned:60/10:30/20:10.

    Sizes that are left out share the percents that are left; those of zoned_abs may not be left out.
    """
    allowed = "zoned_abs:60/20g:40/100g" if absolute else "zoned:60/10:30/20:10/70"
    zones: list[tuple[int, int | None]] = []
    for entry in for_reads(value.partition(":")[2]).split(":"):
        share, _, length = entry.partition("/")
        if absolute and not length:
            raise OptionValueError(f"{value!r} leaves a size out", allowed)
        zones.append((percent(share, 1), _zone_size(length, absolute, base)))
    if sum(share for share, _ in zones) != 100:
        raise OptionValueError(f"{value!r}: shares of reads that are not 100 percent together", allowed)
    given = sum(length for _, length in zones if length is not None)
    blanks = sum(length is None for _, length in zones)
    each = (100 - given) // blanks if blanks else 0
    if not absolute and (given > 100 or (blanks and each < 1)):
        raise OptionValueError(f"{value!r}: zones that are more than 100 percent together", allowed)
    return tuple((share, each if length is None else length) for share, length in zones)


def _zone_size(length: str, absolute: bool, base: int) -> int | None:
    if not length:
        return None
    return within(size(length, base), 1, None, length) if absolute else percent(length, 1)


def _service(option: Option, value: str, _base: int) -> Fields:
    kind, tail = word(option, value)
    reads = (
        within(whole_number(tail), 1, None, value) if tail.isascii() and tail.isdigit() else 0 if tail else 1
    )
    if not reads:
        raise OptionValueError(f"{value!r} is not understood", f"{kind}:N, N reads of each file")
    return {"file_service_type": kind, "file_service_reads": reads}


def _startdelay(_option: Option, value: str, _base: int) -> Fields:
    low, high = low_and_high(value, time_s)
    return {"startdelay_ns": low, "startdelay_high_ns": high if high > low else None}


def _runtime(_option: Option, value: str, _base: int) -> Fields:
    return {"runtime_ns": time_s(value) or None}


def _filesize(_option: Option, value: str, base: int) -> Fields:
    low, high = low_and_high(value, lambda end: size(end, base))
    return {"filesize_bytes": (within(low, 1, None, value), high)}


def _cpumask(option: Option, value: str, base: int) -> Fields:
    mask = int(checked(option, value, base))
    return {"cpus": tuple(bit for bit in range(_WORD_BITS) if mask >> bit & 1)}


def _cpus_allowed(_option: Option, value: str, _base: int) -> Fields:
    cpus: set[int] = set()
    for entry in re.split("[,:]", value):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", entry.strip())
        if match is None:
            raise OptionValueError(f"{value!r} is not understood", "cores, as in 0-3,6")
        low, high = sorted((int(match[1]), int(match[2] or match[1])))
        cpus |= set(range(low, high + 1))
    return {"cpus": tuple(sorted(cpus))}


_SCHEDULERS = {"none": "none", "noop": "none", "mq-deadline": "mq-deadline", "deadline": "mq-deadline"}


def _ioscheduler(_option: Option, value: str, _base: int) -> Fields:
    if value not in _SCHEDULERS:
        raise OptionValueError(f"{value!r} is not modelled", ", ".join(_SCHEDULERS))
    return {"ioscheduler": _SCHEDULERS[value]}


def _nothing(option: Option, value: str, base: int) -> Fields:
    """The values that can be used are fio's defaults."""
    checked(option, value, base)
    return {}


_SYNCS = {"none": "none", "0": "none", "sync": "sync", "1": "sync", "dsync": "dsync"}


def _last(value: str) -> str:
    """Return the last of values with commas between that says anything: fio 3.33 reads one over the other."""
    return next((said for said in reversed(value.split(",")) if said), value)


def _percent(option: Option, value: str, base: int) -> int:
    """A whole number up to 100."""
    return within(int(checked(option, value, base)), 0, option.most, value)


PARSERS: dict[str, Parser] = {
    "name": _text("title"),
    "wait_for": _text("wait_for"),
    "filename": _text("filename"),
    "directory": _text("directory"),
    "filename_format": _text("filename_format"),
    "rw": _rw,
    "bs": _whole("bs_bytes", least=1),
    "ba": _whole("blockalign_bytes", least=1),
    "bsrange": lambda _option, value, base: {"bs_range_bytes": size_range(for_reads(value), base)},
    "bssplit": lambda _option, value, base: {"bs_split": size_split(value, base)},
    "bs_unaligned": _flag("bs_unaligned"),
    "randrepeat": _flag("randrepeat"),
    "randseed": _whole("randseed"),
    "norandommap": _flag("norandommap"),
    "rw_sequencer": _word("rw_sequencer"),
    "continue_on_error": lambda option, value, _base: {
        "continue_on_read_error": word(option, value)[0] in ("read", "io", "all", "1")
    },
    "ioengine": _nothing,
    "rwmixread": lambda option, value, base: {"rwmixread": _percent(option, _last(value), base)},
    "rwmixwrite": lambda option, value, base: {"rwmixread": 100 - _percent(option, _last(value), base)},
    "overwrite": _flag("overwrite"),
    "fallocate": lambda option, value, _base: {
        "preallocates": word(option, value)[0] not in ("none", "truncate", "0"),
        "grows": word(option, value)[0] in ("none", "0"),
    },
    "create_on_open": _flag("create_on_open"),
    "allow_file_create": _flag("allow_file_create"),
    "unlink": _flag("unlink"),
    "unlink_each_loop": _flag("unlink_each_loop"),
    "fsync": _whole("fsync_every"),
    "fdatasync": _whole("fdatasync_every"),
    "end_fsync": _flag("end_fsync"),
    "fsync_on_close": _flag("fsync_on_close"),
    "sync": lambda option, value, _base: {"sync": _SYNCS[word(option, value)[0]]},
    "size": _bytes("size", 1, 1),
    "io_size": _bytes("io_size", 1, 1),
    "filesize": _filesize,
    "offset": _bytes_or_0("offset"),
    "offset_increment": _bytes_or_0("offset_increment"),
    "offset_align": _whole("offset_align_bytes"),
    "number_ios": _whole("number_ios"),
    "random_generator": lambda option, value, _base: {"lfsr": word(option, value)[0] == "lfsr"},
    "random_distribution": _distribution,
    "percentage_random": _whole("percentage_random"),
    "allrandrepeat": lambda option, value, base: (
        {"randrepeat": True} if checked(option, value, base) == "1" else {}
    ),
    "nrfiles": _whole("nrfiles", least=1),
    "file_service_type": _service,
    "openfiles": _whole("openfiles"),
    "fadvise_hint": _word("fadvise_hint"),
    "direct": _nothing,
    "buffered": _nothing,
    "loops": _whole("loops", zero=1),
    "numjobs": _whole("numjobs", least=1),
    "startdelay": _startdelay,
    "runtime": _runtime,
    "time_based": _flag("time_based"),
    "ramp_time": lambda _option, value, _base: {"ramp_ns": time_s(value)},
    "ioscheduler": _ioscheduler,
    "thinktime": lambda _option, value, _base: {"thinktime_ns": time_us(for_reads(value))},
    "thinktime_blocks": _whole("thinktime_blocks", least=1),
    "rate": _whole("rate_bytes_s", zero=None),
    "rate_process": _word("rate_process"),
    "rate_ignore_thinktime": _flag("rate_ignore_thinktime"),
    "rate_iops": _whole("rate_iops", zero=None),
    "invalidate": _flag("invalidate"),
    "pre_read": _flag("pre_read"),
    "cpumask": _cpumask,
    "cpus_allowed": _cpus_allowed,
    "exitall": _flag("exitall"),
    "exit_what": _word("exit_what"),
    "stonewall": _flag("stonewall"),
    "new_group": _flag("new_group"),
    "group_reporting": _flag("group_reporting"),
    "kb_base": _nothing,
}
"""Every option that is modelled, and what it sets; kb_base and ioengine are taken up by the draft."""

"""Numbers, times and words mean what fio takes them for; what fio misreads is refused."""

from __future__ import annotations

import re
import subprocess

import pytest
from fio_log import fio_takes, needs_fio

from sim.units import NS_PER_US
from sim.workload.fio.table import find
from sim.workload.fio.values import OptionValueError, checked, low_and_high, size, time_s, time_us

SIZES = [
    "4k",
    "4K",
    "4kb",
    "4ki",
    "4KiB",
    "4096",
    "4096b",
    "0x1000",
    "0X1f",
    "512",
    "1KiB",
    "1m",
    "1MiB",
    " 7",
    "2T",
]
TIMES = ["5", "60s", "60S", "2ms", "3us", "1m", "1M", "2h", "1d", "1D", "0", " 7"]


def _read_by_fio(folder, option: str, values: list[str], before: str = "") -> list[int]:
    """What fio makes of values of an option: its own trace of the parser."""
    lines = "".join(f"{option}={value}\n" for value in values)
    (folder / "x.fio").write_text(f"[a]\n{before}{lines}")
    run = ["fio", "--debug=parse", "--parse-only", "x.fio"]
    said = subprocess.run(run, capture_output=True, text=True, check=True, cwd=folder).stdout
    return [int(number) for number in re.findall(rf"__handle_option={option}, .*\n.*out=([0-9]+)", said)]


@needs_fio
@pytest.mark.parametrize("kb_base", [1024, 1000])
def test_sizes_are_fios(tmp_path, kb_base):
    """A size means as many bytes as fio takes it for, with either base: "4KiB" is 4000 with 1024."""
    fio = _read_by_fio(tmp_path, "bs", SIZES, f"kb_base={kb_base}\n")
    assert fio == [size(value, kb_base) for value in SIZES]


@needs_fio
def test_times_are_fios(tmp_path):
    """A time means as long as fio takes it for: seconds, or microseconds where that is the unit."""
    runtimes = [number * NS_PER_US for number in _read_by_fio(tmp_path, "runtime", TIMES)]
    assert runtimes == [time_s(value) for value in TIMES]
    thinks = [number * NS_PER_US for number in _read_by_fio(tmp_path, "thinktime", TIMES)]
    assert thinks == [time_us(value) for value in TIMES]


MISREAD = [
    ("bs", "1.5k", 1),
    ("bs", " 8k", 8),
    ("bs", "4*1024", 4),
    ("runtime", "1min", 1),
    ("runtime", "60sec", 60),
]


@needs_fio
@pytest.mark.parametrize(("option", "value", "fio"), MISREAD)
def test_what_fio_misreads_is_refused(tmp_path, option, value, fio):
    """fio takes these for something else than they look like; here they are refused."""
    assert [fio] == _read_by_fio(tmp_path, option, [value])
    number = size if option == "bs" else time_s
    with pytest.raises(OptionValueError):
        number(value)


def _is_taken(option: str, value: str) -> bool:
    found = find(option, "psync")
    assert found is not None
    try:
        checked(found, value)
    except OptionValueError:
        return False
    return True


WRONG = [
    ("loops", "abc"),
    ("loops", ""),
    ("direct", "2"),
    ("invalidate", "yes"),
    ("thread", "abc"),
    ("thread", ""),
    ("loops", "99999999999999999999"),
    ("buffer_pattern", "abc"),
    ("verify_pattern", "1,2"),
    ("sync_file_range", "4k"),
    ("percentage_random", "101"),
    ("rw", "reads"),
    ("rw", ""),
    ("fallocate", "yes"),
    ("nice", "20"),
    ("log_entries", "1"),
    ("percentile_list", "101"),
    ("percentile_list", ""),
    ("runtime", "abc"),
    ("description", ""),
    ("iodepth", "0"),
    ("zonemode", "some"),
    ("latency_percentile", "100.5"),
]


@needs_fio
@pytest.mark.parametrize(("option", "value"), WRONG)
def test_what_fio_refuses_is_refused(tmp_path, option, value):
    """A value that fio does not take is not taken here either, whatever the option does here."""
    assert not fio_takes(tmp_path, f"[a]\n{option}={value}\n")
    assert not _is_taken(option, value)


RIGHT = [
    ("nice", "-5"),
    ("percentile_list", "50:99.9:99.99"),
    ("fallocate", "0"),
    ("sync", "dsync"),
    ("iodepth", "32,16"),
    ("log_avg_msec", "500"),
    ("write_bw_log", ""),
    ("latency_target", "2ms"),
    ("thread", "2"),
    ("buffer_pattern", '0xdeadbeef"x"-12'),
    ("verify_pattern", "0xff%o"),
    ("sync_file_range", "write:4,wait_after"),
    ("disable_lat", "1"),
    ("max_latency", "20ms"),
    ("verify", "crc32c-intel"),
    ("unified_rw_reporting", "both"),
    ("io_size", "50%"),
]


@needs_fio
@pytest.mark.parametrize(("option", "value"), RIGHT)
def test_what_fio_takes_is_taken(tmp_path, option, value):
    """A value that fio takes is one that the table's kind takes."""
    assert fio_takes(tmp_path, f"[a]\n{option}={value}\n")
    assert _is_taken(option, value)


def test_ranges_have_their_ends_in_order():
    """A range may be written from its larger end, with a dash, a colon or a comma; one number is both."""
    assert (
        (1024, 4096)
        == low_and_high("4k-1k", size)
        == low_and_high("1k:4k", size)
        == low_and_high("1k,4k", size)
    )
    assert (5, 5) == low_and_high("5", size)
    for wrong in ("", "-", "1-2-3", "1-"):
        with pytest.raises(OptionValueError):
            low_and_high(wrong, size)

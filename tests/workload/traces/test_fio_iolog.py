"""fio's I/O logs: what fio itself writes, and logs by hand."""

from __future__ import annotations

import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from tools import found

from sim.errors import ConfigError
from sim.workload.traces.formats import read_trace
from sim.workload.traces.trace import UNKNOWN, Access

VERSION_2 = """\
fio version 2 iolog
/tmp/f add
/tmp/f open
/tmp/f read 0 4096
/tmp/f wait 250 0
/tmp/f read 8192 4096
/tmp/f write 0 4096
/tmp/f sync 0 0
/tmp/f close
"""


def test_version_2():
    """Waits add up to the time of what follows; writes and syncs are skipped by their reason."""
    trace = read_trace(VERSION_2, "a.log")
    assert [Access(0, 0, 0, 4096, 4096, 0), Access(0, 0, 8192, 4096, 4096, 250_000)] == trace.accesses
    assert {"/tmp/f": 12288} == trace.files
    assert Counter(header=1, add=1, open=1, read=2, wait=1, close=1) == trace.calls
    assert 2 == trace.skipped.total()
    assert 9 == trace.lines


def test_version_2_without_waits_has_no_times():
    """A log of bare reads tells no time, so none is made up."""
    trace = read_trace("fio version 2 iolog\nf add\nf open\nf read 0 512\n", "a.log")
    assert [UNKNOWN] == [access.at_ns for access in trace.accesses]
    assert not trace.timed


def test_version_3_counts_microseconds_from_its_first_access():
    """Times are those of the log, from the first access on."""
    text = "fio version 3 iolog\n24 f add\n112 f open\n119 f read 0 4096\n5366 f read 4096 4096\n"
    assert [0, 5_247_000] == [access.at_ns for access in read_trace(text, "a.log").accesses]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("f read 0", "a.log:4: 'f read 0' is not understood"),
        ("f fly 0 1", "a.log:4: 'f fly 0 1' is not understood"),
        ("g read 0 1", "a.log:4: g is read and not open"),
        ("f read -1 1", "a.log:4: 'f read -1 1' is not understood"),
    ],
)
def test_what_is_no_action_is_an_error(line, problem):
    """A log that fio would not read is refused at its line."""
    with pytest.raises(ConfigError) as caught:
        read_trace(f"fio version 2 iolog\nf add\nf open\n{line}\n", "a.log")
    assert str(caught.value).startswith(problem)


def test_a_line_of_version_3_needs_a_time():
    """In version 3 each line begins with one."""
    with pytest.raises(ConfigError, match=r"a\.log:2: 'f add' has no time"):
        read_trace("fio version 3 iolog\nf add\n", "a.log")


def test_the_log_of_a_real_fio(tmp_path: Path):
    """fio's own log of random reads with pauses: all its reads, at the times that its pauses make."""
    fio = found("fio")
    if fio is None:
        pytest.skip("fio is not installed")
    log = tmp_path / "log"
    job = f"--name=a --rw=randread --bs=4k --size=64k --thinktime=2000 --filename={tmp_path}/f"
    subprocess.run([fio, *job.split(), f"--write_iolog={log}"], check=True, capture_output=True)
    trace = read_trace(log.read_text(), str(log))
    assert set(range(0, 65536, 4096)) == {access.offset for access in trace.accesses}
    assert {f"{tmp_path}/f": 65536} == trace.files
    assert len(log.read_text().splitlines()) == trace.lines
    times = [access.at_ns for access in trace.accesses]
    assert all(later - earlier >= 2_000_000 for earlier, later in pairwise(times))
    assert times[-1] < 60e9

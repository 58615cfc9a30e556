"""Darshan's extended traces: a small one by hand, and a real one in exact integers."""

from __future__ import annotations

import pytest
from darshan_text import HEADING, dxt_text, example_log

from sim.errors import ConfigError
from sim.workload.traces.formats import read_trace
from sim.workload.traces.summary import summary
from sim.workload.traces.trace import Access

SMALL = f"""\
# darshan log version: 3.41

# DXT, file_id: 16457598720760448348, file_name: /tmp/test/testFile
# DXT, rank: 0, hostname: host
# DXT, write_count: 1, read_count: 2
# DXT, mnt_pt: /, fs_type: ext4
{HEADING}
 X_MPIIO       0   read        0               0         8192      0.0020      0.0041
 X_POSIX       0  write        0               0       262144      0.0029      0.0032
 X_POSIX       0   read        0            4096         4096      0.0040      0.0041
 X_POSIX       0   read        1               0         4096      0.0030      0.0035

# DXT, file_id: 9, file_name: /tmp/b
# DXT, rank: 1, hostname: host
{HEADING}
 X_POSIX       1   read        0               0          100      1.0000      1.5000
"""


def test_a_small_trace():
    """Reads in the order of their times, a stream for each rank; MPI-IO's are told by their POSIX reads."""
    trace = read_trace(SMALL, "dxt.txt")
    assert "darshan-dxt" == trace.format
    assert [
        Access(0, 1, 0, 4096, 4096, 0, 500_000),
        Access(0, 1, 4096, 4096, 4096, 1_000_000, 100_000),
        Access(1, 0, 0, 100, 100, 997_000_000, 500_000_000),
    ] == [access._replace(handle=1 - access.handle) for access in trace.accesses]
    assert ["rank 0", "rank 1"] == trace.streams
    assert {"/tmp/test/testFile": 8192, "/tmp/b": 100} == trace.files
    assert {"comment": 9, "read": 3} == dict(trace.calls)
    assert {"write: only reads are replayed": 1, "X_MPIIO: its POSIX calls are replayed": 1} == dict(
        trace.skipped
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (" X_POSIX 0 read 0 -5 4096 0.1 0.2", "dxt.txt:7: 'X_POSIX 0 read 0 -5 4096 0.1 0.2' is no row"),
        (" X_POSIX 0 read 0 5", "dxt.txt:7: 'X_POSIX 0 read 0 5' is no row"),
    ],
)
def test_a_row_that_is_none(row, said):
    """It is refused at its line."""
    with pytest.raises(ConfigError) as caught:
        read_trace("\n".join([*SMALL.splitlines()[:6], HEADING, row][1:]), "dxt.txt")
    assert str(caught.value).startswith(said)


def test_a_heading_without_the_unit_is_an_error():
    """Times are in seconds because the heading says so."""
    with pytest.raises(ConfigError, match="a row before its file and columns"):
        read_trace(SMALL.replace("(s)", ""), "dxt.txt")


def test_a_real_trace():
    """
    dxt.darshan, which comes with the darshan package: 169 files, 6,126 reads and 1,497 writes of one process.

    Counted by Darshan's own library as well as by hand from the text.
    """
    trace = read_trace(dxt_text(example_log("dxt.darshan")), "dxt.txt")
    found = summary(trace)
    assert (169, 99, 1) == (found.files, found.files_accessed, found.streams)
    assert (6126, 22_517_726) == (found.reads, found.bytes)
    assert (3166, 1485, 1376) == (found.sequential, found.forward, found.backward)
    assert (6094 * 4096, 11_328) == (found.working_set_bytes, found.page_accesses)
    assert (982, 598, 10) == tuple(found.sizes[size] for size in (10_240, 30, 0))
    assert {"comment": 169 * 4, "read": 6126} == dict(trace.calls)
    assert {"write: only reads are replayed": 1497} == dict(trace.skipped)

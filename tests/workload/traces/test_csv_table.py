"""Tables: named columns, and a unit for each time."""

from __future__ import annotations

import pytest

from sim.errors import ConfigError
from sim.workload.traces.csv_table import Table
from sim.workload.traces.formats import read_trace
from sim.workload.traces.trace import UNKNOWN, Access

MSR = "128166372003061629,usr,0,Read,4096,8192,500\n128166372003061729,usr,0,Write,0,512,10\n"
MSR_HEADER = ("Timestamp", "Hostname", "DiskNumber", "Type", "Offset", "Size", "ResponseTime")


def test_columns_by_their_own_names():
    """A table with our names needs nothing said; what is no read is skipped."""
    text = "process,file,op,offset,length\np,a,read,0,10\np,a,w,0,5\nq,b,Read,4096,1\np,a,trim,0,1\n"
    trace = read_trace(text, "t.csv")
    assert [Access(0, 0, 0, 10, 10), Access(1, 1, 4096, 1, 1)] == trace.accesses
    assert {"header": 1, "read": 2} == dict(trace.calls)
    assert {"write: only reads are replayed": 1, "op trim: no read or write": 1} == dict(trace.skipped)


def test_a_block_trace_without_a_header():
    """MSR Cambridge's form: file times of Windows, no first line, a device's writes too."""
    columns = {
        "offset": "Offset",
        "length": "Size",
        "op": "Type",
        "time": "Timestamp",
        "took": "ResponseTime",
    }
    table = Table(columns, "100ns", MSR_HEADER, "block")
    trace = read_trace(MSR, "msr.csv", None, table)
    assert [
        Access(0, 0, 4096, 8192, 8192, 0, 50_000),
        Access(0, 0, 0, 512, 512, 10_000, 1_000, write=True),
    ] == trace.accesses
    assert "block" == trace.kind


def test_times_are_cut_not_rounded():
    """Half a nanosecond is none."""
    trace = read_trace("time,offset,length\n0,0,1\n0.0000000019,0,1\n", "t.csv", None, Table({}, "s"))
    assert [0, 1] == [access.at_ns for access in trace.accesses]


def test_without_times():
    """No column of times, no times."""
    assert UNKNOWN == read_trace("offset,length\n0,1\n", "t.csv").accesses[0].at_ns


@pytest.mark.parametrize(
    ("text", "table", "said"),
    [
        ("offset,length,time\n0,1,2\n", Table(), "t.csv:1: column 'time' is a time without a unit"),
        ("offset,size\n0,1\n", Table(), "t.csv:1: no column length"),
        ("offset,size\n0,1\n", Table({"length": "bytes"}), "t.csv:1: no column 'bytes' for length"),
        ("offset,length\n0,1,2\n", Table(), "t.csv:2: 3 values"),
        ("offset,length\n0,x\n", Table(), "t.csv:2: length 'x'"),
        ("offset,length,took\n0,1,1\n", Table({}, "s"), "t.csv:1: took without time"),
        ("offset,length\n", Table(), "t.csv: no access in it"),
        ("", Table(), "t.csv:1: no column offset"),
    ],
)
def test_what_is_wrong_is_told_at_its_line(text, table, said):
    """One line: place, value, what is allowed."""
    with pytest.raises(ConfigError) as caught:
        read_trace(text, "t.csv", None, table)
    assert str(caught.value).startswith(said)

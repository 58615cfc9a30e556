"""A format is told by its first lines, or asked for."""

from __future__ import annotations

from typing import get_args

import pytest

from sim.config.workload import Column, Format, TimeUnit
from sim.errors import ConfigError
from sim.workload.traces.csv_table import COLUMNS, Table
from sim.workload.traces.formats import FORMATS, read_trace
from sim.workload.traces.numbers import TIME_UNITS
from sim.workload.traces.trace import joined


def test_an_experiment_may_say_what_there_is():
    """The words of [workload] replay are those that are read."""
    assert get_args(Format) == FORMATS
    assert get_args(Column) == COLUMNS
    assert get_args(TimeUnit) == tuple(TIME_UNITS)


@pytest.mark.parametrize("text", ["", "hello\n", "offset,length\n0,1\n"])
def test_what_is_not_known_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(ConfigError, match="its format is not known by its first lines"):
        read_trace(text, "notes.txt")


def test_a_log_of_another_format():
    """What is asked for must be there."""
    with pytest.raises(ConfigError, match="'hello' is no header"):
        read_trace("hello\n", "a", "fio-iolog")
    with pytest.raises(ConfigError, match="columns of a trace of format strace"):
        read_trace("hello\n", "a", "strace", Table())


def test_several_are_one_with_streams_of_their_own():
    """Two logs of two jobs: two streams, two open files of one path, which is as large as both need."""
    one = read_trace("offset,length\n0,10\n", "a.csv")
    two = read_trace("offset,length\n90,10\n", "b.csv")
    both = joined([one, two])
    assert [(0, 0), (1, 1)] == [(each.stream, each.handle) for each in both.accesses]
    assert {"file": 100} == both.files
    assert 4 == both.lines


def test_a_timed_trace_does_not_go_with_one_without():
    """Nobody could say when."""
    timed = read_trace("time,offset,length\n0,0,10\n", "a.csv", None, Table({}, "s"))
    with pytest.raises(ConfigError, match="a trace with times and one without"):
        joined([timed, read_trace("offset,length\n0,10\n", "b.csv")])

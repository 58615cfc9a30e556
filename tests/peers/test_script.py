"""A recorded script as requests."""

from __future__ import annotations

import pytest

from sim.errors import ConfigError
from sim.peers.phases import run_counted
from sim.peers.script import Request, Step, steps
from sim.peers.tally import Tally


def test_lines_and_their_requests() -> None:
    """Phases, rows of reads and writes, what follows each write, lines that are not requests."""
    script = [
        "open 0 /mnt/f c",
        "mark write",
        "wseq 0 4096 1000 2500 1",
        "wl 0 4096 0 8192 0",
        "mark -",
        "r 1 0 16",
    ]
    assert [
        Step("-", Request("open", words=("0", "/mnt/f", "c"))),
        Step("write", Request("write", 0, 4096, 1000)),
        Step("write", Request("fsync", 0)),
        Step("write", Request("write", 0, 5096, 1000)),
        Step("write", Request("fsync", 0)),
        Step("write", Request("write", 0, 6096, 500)),
        Step("write", Request("fsync", 0)),
        Step("write", Request("write", 0, 8192, 4096)),
        Step("write", Request("write", 0, 0, 4096)),
        Step("-", Request("read", 1, 0, 16)),
    ] == list(steps(script, "here"))


def test_rows_of_reads_and_large_writes() -> None:
    """rseq reads whole pieces; more than 4 MiB is written in two."""
    assert [(0, 4096), (4096, 4096)] == [
        (s.request.offset, s.request.length) for s in steps(["rseq 0 0 4096 8000"], "here")
    ]
    assert [4 << 20, 1 << 20] == [s.request.length for s in steps([f"w 0 0 {5 << 20}"], "here")]


@pytest.mark.parametrize("line", ["r 0", "w 0 x 1", "wseq 0 0 4096 8192 7", "wl 0 4096 9 0"])
def test_a_line_that_is_none(line: str) -> None:
    """Its place and its text."""
    with pytest.raises(ConfigError, match=f"here: script.*{line}"):
        list(steps([line], "here"))


def test_phases_count_what_falls_into_them() -> None:
    """Each by its name; what lies before the first one, or in none that is wanted, is not run."""
    tally = Tally()
    seen = []

    def do(step: Step) -> None:
        seen.append(step.request.kind)
        tally.call(step.request.kind)
        tally.queue("null", len(seen), 8, 0)

    script = ["r 0 0 1", "mark a", "w 0 0 1", "fsync 0", "mark b", "r 0 0 1", "mark a", "r 0 0 1", "mark -"]
    found = run_counted(steps(script, "here"), tally, do, ("a",))
    assert ["write", "fsync", "read"] == seen
    assert {
        "a": {"write": 1, "fsync": 1, "read": 1, "submit_bio_noacct_nocheck": 3, "block_bio_queue": 3}
    } == {name: dict(phase.calls) for name, phase in found.items()}
    assert [1, 2, 3] == [bio.sector for bio in found["a"].bios]
    assert ["a", "b"] == list(run_counted(steps(script, "here"), tally, do))

"""readpath trace: what is in a trace, in a table and in JSON; wrong calls in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.main import app

MSR = "128166372003061629,usr,0,Read,4096,8192,500\n128166372003061729,usr,0,Write,0,512,10\n"
MSR_WORDS = ["--header", "Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime", "--block"]
MSR_WORDS += ["--column", "offset=Offset", "--column", "length=Size", "--column", "op=Type"]
MSR_WORDS += ["--column", "time=Timestamp", "--time-unit", "100ns"]


@pytest.fixture(name="msr")
def _msr(tmp_path: Path) -> Path:
    path = tmp_path / "msr.csv"
    path.write_text(MSR)
    return path


def test_a_table_says_what_is_in_it(msr: Path) -> None:
    """Counts, sizes, order, and each skipped line."""
    done = CliRunner().invoke(app, ["trace", str(msr), *MSR_WORDS])
    assert 0 == done.exit_code, done.output
    said = " ".join(done.stdout.split())
    for words in (
        "csv, of a block device",
        "lines 2: 2 read, 0 skipped",
        "reads 1, 1 writes",
        "time 10 us",
        "0 go on, 0 jump ahead, 1 back",
        "working set 12,288 bytes",
        "8KiB 1",
    ):
        assert words in said


def test_json_has_exact_numbers(msr: Path) -> None:
    """The same, for programs."""
    done = CliRunner().invoke(app, ["trace", str(msr), *MSR_WORDS, "--json"])
    found = json.loads(done.stdout)
    assert ("csv", "block", 2) == (found["format"], found["kind"], found["lines"])
    assert {"read": 1, "write": 1} == found["read"]
    assert {"512": 1, "8192": 1} == found["sizes"]
    assert (1.0, 12_288, 10_000) == (found["reuse"], found["working_set_bytes"], found["duration_ns"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "dtrace"], "--format: 'dtrace' is not known; allowed: fio-iolog, blkparse"),
        (["--time-unit", "h"], "--time-unit: 'h' is not known; allowed: s, ms, us, ns, 100ns"),
        (["--column", "where=Offset"], "--column: 'where=Offset' is not understood; allowed: offset|length"),
        ([], "msr.csv:1: no column offset"),
        (["--format", "strace"], "msr.csv: no access in it (2 no call of strace -ttt)"),
    ],
)
def test_a_wrong_call_is_one_line(msr: Path, words: list[str], said: str) -> None:
    """Exit code 2."""
    done = CliRunner().invoke(app, ["trace", str(msr), *words])
    assert 2 == done.exit_code
    assert 1 == len(done.stderr.splitlines())
    assert said in done.stderr

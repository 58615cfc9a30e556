"""Tables: ratios, counts per page and shares, against sums done by hand."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from fabricated import fabricated_cell, no_image
from rich.console import Console

from sim.cli.render import print_table
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.report.table import Column, Table
from sim.report.tables import difference, select, short_axes, summary, symbols, wrong_data

TEXT = """\
title = "t"
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
path = ["buffer_head", "page_io"]
data = ["real", "off"]
[run]
seeds = [0, 256]
"""


@pytest.fixture
def run(tmp_path) -> Run:
    """A run of the fabricated core: 256 pages, two paths, two seeds."""
    return _run(tmp_path, TEXT)


def _run(tmp_path: Path, text: str) -> Run:
    (tmp_path / "e.toml").write_text(text)
    experiment = load_experiment(tmp_path / "e.toml")
    return execute(experiment, tmp_path / "out", fabricated_cell, no_image, draw=lambda *_run, **_each: None)


def test_summary(run):
    """Means over seeds; the ratio is taken seed by seed to page_io of the same other labels."""
    table = summary(run)
    first, last = table.rows[0], table.rows[-1]
    # buffer_head: 100 + 4 x 50 ns a page; page_io: 100 + 50 / 32; seed 256 adds 256 ns over 256 pages
    assert first["cpu_ns_per_4k"] == pytest.approx(300.5)
    assert first["ratio"] == pytest.approx((300 / 101.5625 + 301 / 102.5625) / 2)
    assert first["maps_per_page"] == 4
    assert last["ratio"] == 1
    assert last["requests"] == 8
    assert [c.heading for c in table.columns][:5] == ["path", "data", "CPU ns/4K", "instr/4K", "x page_io"]
    assert table.text(last) == ["page_io", "off", "102", "1,021", "1.00", "0.031", "0.031", "8", "3,906"]


def test_summary_without_page_io(tmp_path):
    """Where there is nothing to compare with, the ratio is absent, not 1 or 0."""
    table = summary(_run(tmp_path, TEXT.replace('"buffer_head", "page_io"', '"mpage"')))
    assert [row["ratio"] for row in table.rows] == [None, None]
    assert table.text(table.rows[0])[4] == "-"


def test_ratios_and_shares_are_in_the_currency_asked_for(tmp_path):
    """A run whose experiment asks for instructions is shown in them: ten a ns, less the seed's, here."""
    text = TEXT.replace("[device]", '[machine]\ncurrency = "instructions"\n[device]')
    run = _run(tmp_path, text)
    assert ("instructions", "ns") == (run.currency, _run(tmp_path / "..", TEXT).currency)
    for call in run.calls:
        if call["symbol"] == "ext4_map_blocks":
            call["instructions"] *= 2
    for row in run.metrics:
        row["instructions_per_4k"] *= 3 if row["path"] == "buffer_head" else 1
    assert summary(run).rows[0]["ratio"] == pytest.approx(3 * (300 / 101.5625 + 301 / 102.5625) / 2)
    asked = {"path": "buffer_head", "data": "real"}
    top = symbols(run, asked, currency="instructions").rows[0]
    assert (top["instructions_per_4k"], top["share"]) == (4000, pytest.approx(100 * 4000 / 5005))
    assert symbols(run, asked).rows[0]["share"] == pytest.approx(100 * 200 / 300.5)
    more = difference(run, {"data": "real"}, {"path": "buffer_head"}, {"path": "page_io"}, "instructions")
    assert [round(row["more"], 1) for row in more.rows] == [4000 - 2 * 15.6, 0.0, 0.0]


def test_symbols(run):
    """Calls and times are summed over the chosen cells, costliest first, shares of 100 percent."""
    table = symbols(run, {"path": "buffer_head", "data": "real"})
    assert [row["symbol"] for row in table.rows] == ["ext4_map_blocks", "copy_page_to_iter", "bio_endio"]
    top = table.rows[0]
    assert (top["calls"], top["calls_per_page"], top["ns_per_4k"]) == (2048, 4, 200)
    assert sum(row["share"] for row in table.rows) == pytest.approx(100)
    assert symbols(run, {}, stacks=True).rows[0]["symbol"] == "read;ext4_map_blocks"


def test_wrong_data(run, tmp_path):
    """Only cells that compared their bytes can be wrong."""
    assert wrong_data(run) == []
    wrong = wrong_data(_run(tmp_path, TEXT.replace('"data"', '"wrong"', 1)))
    assert {row["data"] for row in wrong} == {"real"}


def test_select_names_what_there_is(run):
    """An axis or label that the run has not is an error that lists those it has."""
    with pytest.raises(ConfigError, match="no axis 'layout'; allowed: path, data"):
        select(run, {"layout": "x"})
    with pytest.raises(ConfigError, match="path is never 'mpage'; allowed: buffer_head, page_io"):
        select(run, {"path": "mpage"})


def test_short_axes():
    """The last part of a key is enough unless two axes share it."""
    assert short_axes(["a.x", "b.x", "c.y"]) == {"a.x": "a.x", "b.x": "b.x", "c.y": "y"}


def test_a_narrow_terminal_cuts_no_digit():
    """On 40 columns text is folded; every number is there whole, and no sign of one that was cut."""
    columns = (Column("path", "path"), *(Column(f"n{at}", f"n{at}", ",.3f") for at in range(5)))
    row = {"path": "buffer_head with a long name", **{f"n{at}": 1234.567 + at for at in range(5)}}
    for width in (40, 80, 200):
        out = Console(width=width, file=StringIO())
        print_table(Table(columns, (row,)), out)
        said = out.file.getvalue()
        assert all(f"1,23{4 + at}.567" in said for at in range(5))
        assert "\u2026" not in said


def _lines(table: Table, width: int) -> list[str]:
    out = Console(width=width, file=StringIO())
    print_table(table, out, "a title")
    return out.file.getvalue().splitlines()


def test_what_does_not_fit_is_spread_over_tables_with_the_same_rows(tmp_path):
    """On 80 columns no line is longer, every label and number of every table of a run is there."""
    run = _run(tmp_path, TEXT)
    for table in (summary(run), symbols(run, {}), symbols(run, {}, stacks=True)):
        lines = _lines(table, 80)
        assert [] == [line for line in lines if len(line) > 80]
        words = " ".join(lines).split()
        for row in table.rows:
            for column, text in zip(table.columns, table.text(row), strict=True):
                assert not column.form or text in words, (column.heading, text)
    parts = summary(run).split(50, 3, 24)
    assert len(parts) > 1
    assert {("path", "data")} == {tuple(column.key for column in part.columns[:2]) for part in parts}
    assert [column.key for column in summary(run).columns[2:]] == [
        column.key for part in parts for column in part.columns[2:]
    ]
    assert all(part.rows == summary(run).rows for part in parts)


def test_a_table_that_fits_stays_whole():
    """One table where the terminal has the room; a heading is broken only where it must be."""
    columns = (Column("path", "path"), Column("of these every one exact", "n", ",d"))
    table = Table(columns, ({"path": "mpage", "n": 7},))
    assert "of these every one exact" in "\n".join(_lines(table, 80))
    narrow = _lines(table, 24)
    assert any(line.split() == ["mpage", "7"] for line in narrow)
    assert "exact" in " ".join(narrow)

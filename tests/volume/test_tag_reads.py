"""The page has what `readpath image reads` counted, and the counts are those of the layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from verbs_kit import run

from sim.cli.image.reads import reads_table
from sim.volume.tag_reads import BLOCKS, RANDOM_READS, run_reads

PAGE = Path(__file__).parents[2] / "docs" / "integrity.md"


@pytest.fixture(scope="module")
def counts():
    """All counts, by layout, file and pattern."""
    return {(one.said, one.file, one.pattern): one for one in run_reads()}


def test_the_page_has_what_was_counted(counts) -> None:
    """The table between its marks is what is printed."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- readpath image reads -->\n")[2].partition("\n<!-- end of reads -->")[0]
    assert shown == reads_table(list(counts.values()))


def test_what_a_run_costs_a_random_reader(counts) -> None:
    """Never more than the file; the longer a run may be, the more; extents of 16 bound it from there on."""
    lists = [(0, 1), (0, 4), (0, 16), (0, 64), (0, 0)]
    for file in ("contiguous", "extents of 16"):
        more = [
            counts[("per_extent", "checksum", "crc32c", most), file, "random"].more_blocks
            for _zero, most in lists
        ]
        assert more == sorted(more)
        assert 0 == more[0] < more[1]
        assert more[-1] + RANDOM_READS <= BLOCKS + RANDOM_READS
        if file != "contiguous":
            assert len(set(more[2:])) == 1
    for said in {key[0] for key in counts} - {s for s in {key[0] for key in counts} if s[0] == "per_extent"}:
        for file in ("contiguous", "extents of 16"):
            assert 0 == counts[said, file, "random"].more_blocks
            assert BLOCKS == counts[said, file, "in order"].data_blocks


def test_the_verb() -> None:
    """As JSON."""
    rows = json.loads(run("reads", "--json").stdout)
    assert {"before", "with", "after"} == {row["when"] for row in rows}
    assert 36 == len(rows)

"""readpath validate: verdicts, exit codes, files it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.main import app

RECORDED = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
CASE = "nullmq_bs4096/bs4096/mpage/contig/seq128k/warm"


def first_record() -> dict[str, object]:
    """Return the record of CASE."""
    lines = (RECORDED / "counts.jsonl").read_text().splitlines()
    return next(record for record in map(json.loads, lines) if record["case"] == CASE)


def run(*words: str) -> tuple[int, str]:
    """Run the verb; return exit code and all output."""
    result = CliRunner().invoke(app, ["validate", *words])
    return result.exit_code, result.output


def test_equal_cases_exit_with_0() -> None:
    """A recorded case that agrees is listed as equal and exact."""
    code, output = run(str(RECORDED / "counts.jsonl"), "--case", CASE, "--json")
    assert 0 == code
    (found,) = json.loads(output)
    assert (CASE, "equal", True, []) == tuple(found[k] for k in ("case", "verdict", "exact", "differences"))
    assert ["__blk_mq_alloc_requests", "bvec_alloc", "filemap_get_pages"] == sorted(found["left_out"])
    assert found["compared"] > found["nulls"] > 0


def test_a_difference_exits_with_1_and_names_the_counter(tmp_path: Path) -> None:
    """A file of one's own with another count is told apart, with both numbers."""
    record = first_record()
    counts = dict(record["counts"]) | {"ext4_map_blocks": 127}  # type: ignore[call-overload]
    (tmp_path / "mine.jsonl").write_text(json.dumps(record | {"counts": counts}) + "\n")
    code, output = run(str(tmp_path / "mine.jsonl"), "--layouts", str(RECORDED / "layouts"))
    assert 1 == code
    assert f"{CASE}: ext4_map_blocks: kernel 127, simulator 128" in output


def test_what_is_not_compared_is_said() -> None:
    """A case behind an elevator is equal, and the table is followed by what was left out and why."""
    case = "matrix_bs4096/bs4096/ext4/contig/seq128k/warm/deadline"
    code, output = run(str(RECORDED / "matrix.jsonl"), "--case", case)
    assert 0 == code
    assert "not compared in 1 case: getrq, rq_issue, rq_complete, __blk_mq_alloc_requests" in output
    assert "an elevator merges" in output


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    """--figure draws what was compared, as SVG or PNG; another suffix is an error before any work."""
    counts = str(RECORDED / "counts.jsonl")
    assert 0 == run(counts, "--case", CASE, "--figure", str(tmp_path / "k.svg"))[0]
    assert "mapping calls" in (tmp_path / "k.svg").read_text()
    code, output = run(counts, "--case", CASE, "--figure", str(tmp_path / "k.gif"))
    assert 2 == code
    assert "'gif' is not known; allowed: svg, png" in output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "mine.jsonl:1: is not JSON"),
        ('{"case": "x"}', "mine.jsonl:1: "),
        (
            json.dumps(first_record() | {"path": "xfs"}),
            "mine.jsonl:1: path: 'xfs' is not one of",
        ),
        (json.dumps(first_record() | {"es": "hot"}), "mine.jsonl:1: es: 'hot' is not one of"),
        (json.dumps(first_record() | {"access": "all"}), "mine.jsonl:1: access: 'all' is not one of"),
        (
            json.dumps(first_record() | {"access": "stride"}),
            "'read_bytes' is a required property",
        ),
        (
            json.dumps(first_record() | {"block_size": 1024}),
            "layouts/layout_nullmq_bs4096_contig.json: block_size: 4096; allowed: 1024, the record's",
        ),
    ],
)
def test_what_is_no_recording_exits_with_2(tmp_path: Path, line: str, message: str) -> None:
    """A damaged or foreign file gives one line that names the place."""
    (tmp_path / "mine.jsonl").write_text(line + "\n")
    code, output = run(str(tmp_path / "mine.jsonl"), "--layouts", str(RECORDED / "layouts"))
    assert 2 == code
    assert message in output
    assert 1 == len(output.splitlines())


def test_a_pattern_without_cases_exits_with_2() -> None:
    """Comparing nothing is a mistake, not a success."""
    assert 2 == run(str(RECORDED / "counts.jsonl"), "--case", "nothing*")[0]


def test_what_is_left_out_stands_in_an_order_of_its_own() -> None:
    """The document of write cases and peers is the same to the byte under any PYTHONHASHSEED."""
    files = [RECORDED / "writes" / "bdev.jsonl", RECORDED / "peers" / "fs-verity.jsonl"]
    code, output = run(*map(str, files), "--json")
    assert 0 == code
    left_out = [list(case["left_out"]) for case in json.loads(output)]
    assert any(len(names) > 2 for names in left_out)
    assert [sorted(names) for names in left_out] == left_out

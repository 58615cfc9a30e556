"""Records that say something false: each is told, as wrong input, as a difference, or as a contradiction."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim.engine.costs import load_costs
from sim.errors import ConfigError
from sim.machine.machine import Machine
from sim.records.counters import LEAST, NOT_COMPARED
from sim.records.kernel_case import Case, load_case, load_cases, read_lines, run_case
from sim.records.kernel_compare import FirstBios, Outcome, find_tree_pages, judge_machine, validate

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
COSTS = load_costs("linux-6.1-epyc")
TEN = {
    "counts.jsonl": (
        "nullmq_bs4096/bs4096/ext4/contig/rand4k/warm",
        "nullmq_bs1024/bs1024/buffer/frag4/seq4k/all_cold",
        "fscrypt_v2_xts_bs4096/bs4096/ext4/sparse/seq4k/warm",
        "dmcrypt_bs4096/bs4096/mpage/frag1/rand4k/warm",
    ),
    "matrix.jsonl": (
        "matrix_bs1024/bs1024/ext4/frag2/backward4k/all_cold",
        "matrix_bs1024/bs1024/mpage/contig/seq128k/warm/ra1024",
        "matrix_bs4096/bs4096/buffer/contig/seq128k/warm/deadline",
        "matrix_bs1024/bs1024/buffer/contig/seq128k/warm/rewritten-one9",
    ),
    "matrix-xfs.jsonl": (
        "xfs_bs1024/bs1024/iomap/frag2/seq4k/warm/rewritten-most4",
        "xfs_bs1024/bs1024/iomap/tail/seq128k/warm",
    ),
}
"""Ten records: with trees, writes beside the reads, clones, splits, an elevator, rewritten pages, XFS."""


def _records() -> list[Case]:
    cases = [case for name in TEN for case in load_cases(DATA / name, DATA / "layouts")]
    wanted = {name for names in TEN.values() for name in names}
    found = [case for case in cases if case.name in wanted]
    assert 10 == len(found)
    return found


CASES = _records()


def _judge(record: dict[str, Any]) -> Outcome:
    (outcome,) = validate([load_case(record, DATA / "layouts", "mine:1")], COSTS, workers=1)
    return outcome


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_counter_one_more_or_less_is_told(case: Case) -> None:
    """Every counter of the record +1 and -1: a difference, or it stands among what is not compared."""
    honest = _judge(case.record)
    assert (honest.verdict, honest.differences) == ("equal", ())
    left_out = dict(honest.left_out)
    silent = []
    for part in ("counts", "blk"):
        for counter, value in case.record[part].items():
            if not isinstance(value, int):
                continue
            for step in (1, -1):
                if value + step < 0:
                    continue
                false = deepcopy(case.record)
                false[part][counter] = value + step
                if not _told(case, false) and counter not in NOT_COMPARED and counter not in left_out:
                    silent.append((counter, step))
    assert [] == silent


def _told(case: Case, record: dict[str, Any]) -> bool:
    """Compare a changed record with the machine of the honest one, which does not hang on counts."""
    changed = Case(record, case.extents, case.tree_blocks)
    return bool(judge_machine(changed, *_machine(case)).differences)


@cache
def _simulated(number: int) -> tuple[Machine, FirstBios]:
    case, bios = CASES[number], FirstBios()
    pages = find_tree_pages([case], COSTS).get(case.record["layout_file"])
    return run_case(case, COSTS, pages, bios), bios


def _machine(case: Case) -> tuple[Machine, FirstBios]:
    return _simulated(CASES.index(case))


def _plain() -> dict[str, Any]:
    return deepcopy(CASES[0].record)


def test_extents_elsewhere_are_told() -> None:
    """All extents of the layout 7,777 blocks further on: the first bios lie elsewhere."""
    case = CASES[0]
    moved = [extent._replace(physical=extent.physical + 7777) for extent in case.extents]
    (outcome,) = validate([Case(case.record, moved, case.tree_blocks)], COSTS, workers=1)
    assert ["positions"] == [difference.kind for difference in outcome.differences]


def test_more_bios_queued_than_any_probe_saw() -> None:
    """bio_queue one more, as if one write ran beside: the probe of submit_bio_noacct() contradicts it."""
    record = _plain()
    record["blk"]["bio_queue"] += 1
    outcome = _judge(record)
    assert "record" in {difference.kind for difference in outcome.differences}
    assert any("submit_bio_noacct" in difference.counter for difference in outcome.differences)


def test_probes_that_lost_hits_are_told_as_such() -> None:
    """A probe below its own tracepoint: the record is at fault, not the simulator."""
    record = _plain()
    record["counts"]["blk_mq_end_request"] -= 5
    told = [d.counter for d in _judge(record).differences if d.kind == "record"]
    assert ["blk_mq_end_request against its tracepoint rq_complete (probes lose hits in interrupts)"] == told


def test_another_devices_name() -> None:
    """A record of null_blk that says it was virtio-blk: the driver's probe contradicts it."""
    outcome = _judge(_plain() | {"device": "virtio-blk"})
    assert any("null_queue_rq on device 'virtio-blk'" in d.counter for d in outcome.differences)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": {}}, "counts: 'filemap_read' is missing; allowed: at least filemap_read, read_pages"),
        ({"ok": 0}, "ok: 1 was expected; allowed: 1"),
        (
            {"block_size": 8192},
            "block_size: 8192 is not one of [1024, 2048, 4096]; allowed: 1024, 2048",
        ),
        ({"pages_raed": 1}, "Additional properties are not allowed ('pages_raed' was unexpected)"),
        ({"file_bytes": "8MiB"}, "file_bytes: '8MiB' is not of type 'integer'; allowed: integer"),
        ({"file_bytes": 10**12}, "file_bytes: 1000000000000 is greater than the maximum of 4294967296"),
        ({"blk": 7}, "blk: 7 is not of type 'object'"),
    ],
)
def test_wrong_form_is_wrong_input(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A record that is not of the schema's form is refused with file, line, field and what is allowed."""
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(_plain() | change) + "\n")
    with pytest.raises(ConfigError) as error:
        load_cases(file, DATA / "layouts")
    assert str(error.value).startswith(f"{file}:1: ")
    assert message in str(error.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are no recording."""
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine\.jsonl: cannot be read \(not UTF-8\)"):
        load_cases(file, DATA / "layouts")


def test_a_record_that_asks_for_no_read() -> None:
    """A random order of no page has nothing to compare."""
    with pytest.raises(ConfigError, match="no read in 7 bytes; allowed: at least one page"):
        _judge(_plain() | {"access": "rand4k", "file_bytes": 7})


@pytest.mark.parametrize("field", ["device", "es", "access", "pages_read", "layout_file", "blk"])
def test_missing_fields_are_wrong_input(tmp_path: Path, field: str) -> None:
    """No field that a case needs can be left out."""
    record = _plain()
    del record[field]
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(record) + "\n")
    with pytest.raises(ConfigError):
        load_cases(file, DATA / "layouts")


def test_symbols_that_are_misspelled_or_missing(tmp_path: Path) -> None:
    """A symbol nobody knows, or one of the least set missing, is wrong input."""
    file = tmp_path / "mine.jsonl"
    for symbol in LEAST:
        record = _plain()
        record["counts"][symbol + "s"] = record["counts"].pop(symbol)
        file.write_text(json.dumps(record) + "\n")
        with pytest.raises(ConfigError, match=f"{symbol!r} is missing"):
            load_cases(file, DATA / "layouts")
    record = _plain()
    record["counts"]["ext4_mapp_blocks"] = 1
    file.write_text(json.dumps(record) + "\n")
    with pytest.raises(ConfigError, match="'ext4_mapp_blocks' is not known"):
        load_cases(file, DATA / "layouts")


def test_the_shipped_schema_is_the_documented_one() -> None:
    """The package's copy of the schema is that of results/kernel."""
    import sim.records

    shipped = Path(sim.records.__file__).parent / "case-schema.json"
    assert (DATA.parent / "schema.json").read_bytes() == shipped.read_bytes()
    assert read_lines(DATA / "counts.jsonl")

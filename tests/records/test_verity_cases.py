"""Recorded reads of files with fs-verity on 6.1: every counter and every bio of the phases that read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.cli.validate import RECORDED, VERITY_FILE
from sim.errors import ConfigError
from sim.records.verity_case import compare_verity_case, is_verity_file, load_verity_cases

FILE = RECORDED / VERITY_FILE


def test_all_are_equal() -> None:
    """In order and at random: 29 counters and the bios of two phases each, nothing differs."""
    outcomes = [compare_verity_case(case) for case in load_verity_cases(FILE)]
    assert [60, 60] == [outcome.compared for outcome in outcomes]
    assert [] == [difference for outcome in outcomes for difference in outcome.differences]
    assert {"enable", "umount"} == set(outcomes[0].left_out)


def falsified(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return a file with the first record changed."""
    lines = FILE.read_text().splitlines()
    record = json.loads(lines[0])
    change(record)
    (folder / "verity.jsonl").write_text("\n".join([json.dumps(record, separators=(",", ":")), *lines[1:]]))
    return folder / "verity.jsonl"


@pytest.mark.parametrize(
    ("change", "counter"),
    [
        (lambda record: record["phases"][1]["counts"].update(fsverity_hash_page=516), "fsverity_hash_page"),
        (lambda record: record["phases"][2]["counts"].update(verify_page=1), "verify_page"),
        (lambda record: record["phases"][1]["blk"].pop("plug"), "plug"),
        (lambda record: record["bios"].pop(2), "bios"),
    ],
)
def test_a_number_that_is_another_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], counter: str
) -> None:
    """One counter, one event, one bio: that one differs, and no other."""
    first, second = map(compare_verity_case, load_verity_cases(falsified(tmp_path, change)))
    assert [counter] == [difference.counter for difference in first.differences]
    assert () == second.differences


def test_what_is_no_such_record_is_told(tmp_path: Path) -> None:
    """Its file, line, and what it lacks."""
    path = falsified(tmp_path, lambda record: record.pop("files"))
    assert is_verity_file(path)
    with pytest.raises(ConfigError, match=r"verity\.jsonl:1: has no 'files'; allowed: a record of fs-verity"):
        load_verity_cases(path)
    assert not is_verity_file(tmp_path / "nothing")

"""Recorded write cases against the simulator: every counter of every phase, every bio."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim.cli.validate_writes import WRITE_GROUPS
from sim.engine.mode import compiled
from sim.errors import ConfigError, InvariantError
from sim.records.write_case import WriteCase
from sim.records.write_compare import (
    WriteDifference,
    compare_write_case,
    load_write_cases,
    validate_writes,
)
from sim.records.write_counters import NOT_COMPARED

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192" / "writes"
GOLDEN = {
    ("over", 0, 3): (27, 4365),
    ("over", 1, 3): (27, 4353),
    ("over", 2, 3): (26, 4342),
    ("append", 0, 3): (16, 3563),
    ("append", 1, 3): (15, 2952),
    ("append", 2, 3): (15, 2327),
    ("grow", 0, 1): (9, 2110),
    ("falloc", 0, 1): (5, 850),
    ("hole", 0, 1): (29, 5912),
    ("shortfree", 0, 1): (11, 2204),
    ("crypt", 0, 1): (21, 3683),
    ("path", 0, 3): (28, 4840),
    ("path", 1, 3): (28, 4702),
    ("path", 2, 3): (28, 4903),
    ("csum", 0, 1): (8, 1209),
    ("dev", 0, 1): (25, 3386),
    ("again", 0, 1): (2, 306),
    ("many", 0, 1): (10, 1658),
    ("bdev", 0, 1): (14, 1015),
}
"""(group, piece, pieces, for several cores): cases, and numbers that are compared in them."""
COSTS_ONLY = {"instructions", "symbols", "native-ns"}
"""Recordings without counters: what costs are fitted to and judged with."""
CASE = "over_bs1024/od/own/contig/seq4k-64k/cold/fsync"


@cache
def cases_of(group: str) -> list[WriteCase]:
    """Return the cases of a group."""
    return load_write_cases(DATA / f"{group}.jsonl")


def broken(change: Callable[[dict[str, Any]], None], name: str = CASE) -> tuple[WriteDifference, ...]:
    """Return how the simulator differs from a record that is not the kernel's any more."""
    case = next(case for case in cases_of(name.partition("_")[0]) if case.name == name)
    record = deepcopy(case.record)
    change(record)
    return compare_write_case(WriteCase(record, case.volume, case.at, case.probes)).differences


def counts(record: dict[str, Any], phase: str) -> dict[str, int]:
    """Return the counts of a record's phase."""
    found: dict[str, int] = next(each["counts"] for each in record["phases"] if each["name"] == phase)
    return found


@pytest.mark.parametrize(("group", "piece", "pieces"), GOLDEN)
def test_every_case_is_equal(group: str, piece: int, pieces: int) -> None:
    """No counter of a phase and no bio of data is another than the kernel's; and none went missing."""
    cases = cases_of(group)[piece::pieces]
    outcomes = validate_writes(cases, lambda _: None)
    assert [difference for outcome in outcomes for difference in outcome.differences] == []
    numbers = len(outcomes), sum(outcome.compared for outcome in outcomes)
    assert numbers == GOLDEN[group, piece, pieces]


def test_every_recording_is_run_or_said_not_to_be() -> None:
    """A file of recordings that validate does not know of is seen here."""
    files = {path.stem for path in DATA.glob("*.jsonl")}
    assert files == {*WRITE_GROUPS, *COSTS_ONLY}
    assert {group for group, *_ in GOLDEN} == set(WRITE_GROUPS)


def test_what_is_left_out_has_a_reason() -> None:
    """Every counter that is not compared says why; those of one phase have its name."""
    outcome = compare_write_case(next(case for case in cases_of("over") if case.name == CASE))
    assert outcome.left_out == NOT_COMPARED
    assert all(why for why in outcome.left_out.values())
    late = compare_write_case(next(case for case in cases_of("over") if case.name.endswith("64k/cold/sfr")))
    assert {"umount: flushes", "umount: blkdev_issue_flush"} <= late.left_out.keys() - NOT_COMPARED.keys()
    assert {name.partition(": ")[0] for name in late.left_out.keys() - NOT_COMPARED.keys()} == {"umount"}


@pytest.mark.parametrize(
    ("phase", "counter", "by"),
    [
        ("write", "mark_buffer_dirty", 1),
        ("write", "ext4_da_write_begin", -1),
        ("sync", "ext4_bio_write_page", 1),
        ("sync", "jbd2_journal_write_metadata_buffer", -1),
        ("sync", "blk_mq_submit_bio", 1),
    ],
)
def test_a_false_count_is_told(phase: str, counter: str, by: int) -> None:
    """A count that is off by one is a difference, and the only one; so is one that is not there at all."""

    def off(record: dict[str, Any]) -> None:
        counts(record, phase)[counter] += by

    def gone(record: dict[str, Any]) -> None:
        del counts(record, phase)[counter]

    (one,) = broken(off)
    assert (one.case, one.phase, one.counter, one.kernel - one.simulator) == (CASE, phase, counter, by)
    (one,) = broken(gone)
    assert (one.phase, one.counter, one.kernel) == (phase, counter, 0)


def test_a_count_that_the_simulator_has_not_is_told() -> None:
    """A symbol that the kernel called and the simulator did not."""

    def more(record: dict[str, Any]) -> None:
        counts(record, "sync")["ext4_issue_zeroout"] = 2

    (one,) = broken(more)
    assert (one.counter, one.kernel, one.simulator) == ("ext4_issue_zeroout", 2, 0)


def data_bio(record: dict[str, Any]) -> list[Any]:
    """Return the first bio of a record that writes data."""
    found: list[Any] = next(bio for bio in record["bios"] if bio[5] == "d" and bio[3] & 4)
    return found


@pytest.mark.parametrize(("field", "by"), [(1, 8), (2, 8), (2, -8)])
def test_a_false_bio_is_told(field: int, by: int) -> None:
    """A bio at another sector, or of another size, is a difference."""

    def elsewhere(record: dict[str, Any]) -> None:
        data_bio(record)[field] += by

    (one,) = broken(elsewhere)
    assert (one.phase, one.counter) == ("sync", "bios")
    assert one.kernel != one.simulator


@pytest.mark.parametrize(
    ("whose", "flag"), [("d", 8), ("d", 256), ("j", 1), ("j", 16), ("j", 32), ("j", 128)]
)
def test_a_false_flag_is_told(whose: str, flag: int) -> None:
    """Data with or without SYNC, BACKGROUND; blocks of the log with or without META, FUA, PREFLUSH, IDLE."""

    def other(record: dict[str, Any]) -> None:
        next(bio for bio in record["bios"] if bio[5] == whose and bio[3] & 4)[3] ^= flag

    (one,) = broken(other)
    assert (one.phase, one.counter) == ("sync", "bios")


def test_a_bio_too_many_or_too_few_is_told() -> None:
    """The list of bios is compared whole: one twice, or one left out."""

    def twice(record: dict[str, Any]) -> None:
        record["bios"].append(list(data_bio(record)))

    def without(record: dict[str, Any]) -> None:
        record["bios"].remove(data_bio(record))

    assert [one.counter for one in broken(twice)] == ["bios"]
    assert [one.counter for one in broken(without)] == ["bios"]


def test_a_bio_in_another_phase_is_told() -> None:
    """Written by write(2) or by fsync(2) is not the same."""

    def earlier(record: dict[str, Any]) -> None:
        data_bio(record)[0] = 0

    assert [(one.phase, one.counter) for one in broken(earlier)] == [
        ("write", "bios"),
        ("sync", "bios"),
    ]


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    """A record of no volume, or without a field, in one line; nothing is run."""
    for name in ("volumes.json", "probes.txt"):
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
    record = dict(cases_of("over")[0].record)
    path = tmp_path / "over.jsonl"
    path.write_text(json.dumps(record | {"image": "none"}) + "\n")
    with pytest.raises(ConfigError, match=r"over.jsonl:1: image: 'none'; allowed: .*w4096"):
        load_write_cases(path)
    for field in ("case", "script", "phases", "bios", "mount"):
        path.write_text(json.dumps({key: value for key, value in record.items() if key != field}) + "\n")
        with pytest.raises(ConfigError, match=rf"over.jsonl:1: has no '{field}'"):
            load_write_cases(path)


@pytest.mark.skipif(compiled(), reason="replaces a method of a compiled class")
def test_a_script_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is never let go would else leave nothing to compare, and so nothing that differs."""
    monkeypatch.setattr("sim.engine.rwsem.RwSemaphore.up_write", lambda _semaphore: None)
    with pytest.raises(InvariantError, match="waits for what never comes"):
        validate_writes(cases_of("shortfree")[:1], lambda _: None)

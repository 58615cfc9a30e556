"""Recorded cases of peers against their models: every counter of every phase, every bio."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim.cli.validate_peers import PEER_GROUPS
from sim.errors import ConfigError
from sim.records.peer_case import EVENTS, PeerCase, is_of_peers, load_peer_cases, rows_of
from sim.records.peer_compare import MODELS, PeerDifference, compare_peer_case, validate_peers
from sim.records.peer_devices import predict_device
from sim.records.write_counters import NOT_COMPARED

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192" / "peers"
GOLDEN = {
    "dm-integrity": (26, 814),
    "dm-crypt-aead": (4, 170),
    "btrfs": (16, 812),
    "xfs-reflink": (7, 265),
    "fs-verity": (2, 113),
}
"""Group: cases, and numbers that are compared in them."""
READ = "dmint_D_4096/direct/read4k"
WRITE = "xfs/shared/write-once-4k/fsync_each"


@cache
def cases_of(group: str) -> list[PeerCase]:
    """Return the cases of a group."""
    return load_peer_cases(DATA / f"{group}.jsonl")


def case_of(name: str) -> PeerCase:
    """Return a case by its name."""
    return next(case for group in PEER_GROUPS for case in cases_of(group) if case.name == name)


def broken(change: Callable[[dict[str, Any]], None], name: str) -> tuple[PeerDifference, ...]:
    """Return how the model differs from a record that is not the kernel's any more."""
    case = case_of(name)
    record = deepcopy(case.record)
    change(record)
    return compare_peer_case(PeerCase(record, case.at)).differences


@pytest.mark.parametrize("group", GOLDEN)
def test_every_case_is_equal(group: str) -> None:
    """No counter of a phase and no bio is another than the kernel's; and none went missing."""
    outcomes = validate_peers(cases_of(group), lambda _: None)
    assert [difference for outcome in outcomes for difference in outcome.differences] == []
    assert GOLDEN[group] == (len(outcomes), sum(outcome.compared for outcome in outcomes))


def test_what_goes_on_beside_a_flush_may_end_later() -> None:
    """
    Areas of 256 sectors: the flush of 1 MiB commits enough to have it copied. Whether that falls into the
    phase of the flush or the next one, the case is equal; the border is named.
    """
    table = "0 N integrity /dev/nullb0 0 - J 4 internal_hash:crc32c block_size:4096 interleave_sectors:256"
    script = ["mark io", "w 0 4194304 1048576", "mark sync", "fsync 0", "mark settle", "sleep 1500", "mark -"]
    bare = {"case": "a/b", "group": "dm-integrity", "table": table, "script": script, "files": [], "bios": []}
    phases = predict_device(PeerCase(bare, "here")).phases
    for early in (True, False):
        copied = "sync" if early else "settle"
        counts = {name: dict(phase.calls) for name, phase in phases.items()}
        writer = counts["sync"].pop("integrity_writer")
        counts[copied]["integrity_writer"] = writer
        bios = [
            [number, bio.sector, bio.sectors, RECORDED[bio.opf], 0, bio.device]
            for number, name in enumerate(("io", "sync", "settle"))
            for bio in phases[name].bios
        ]
        blk = {name: {event: of.pop(f"block_{event}", 0) for event in EVENTS} for name, of in counts.items()}
        entries = [{"name": name, "counts": counts[name], "blk": blk[name]} for name in counts]
        outcome = compare_peer_case(PeerCase(bare | {"bios": bios, "phases": entries}, "here"))
        assert () == outcome.differences
        assert "border of sync+settle" in outcome.left_out


@pytest.mark.parametrize(
    ("mode", "length", "together"),
    [("D", 1 << 20, ("io", "sync")), ("B", 1 << 20, ("io", "sync")), ("D", 131_072, ()), ("J", 131_072, ())],
)
def test_tags_in_several_buffers_may_go_out_early(mode: str, length: int, together: tuple[str, ...]) -> None:
    """One request over areas of 128 KiB: workers change tags beside it, so only the sum is compared."""
    table = (
        f"0 N integrity /dev/nullb0 0 - {mode} 4 internal_hash:crc32c block_size:4096 interleave_sectors:256"
    )
    script = ["mark io", f"w 0 4194304 {length}", "mark sync", "fsync 0", "mark -"]
    record = {"group": "dm-integrity", "table": table, "script": script}
    assert together == predict_device(PeerCase(record, "here")).together


RECORDED = {0: 0, 1: 4, 2: 8, 11: 44, 17: 20, 19: 28, 35: 140}
"""Our flags of a bio -> a record's."""


def test_every_recording_is_run() -> None:
    """A file of recordings that validate does not know of is seen here."""
    assert {path.stem for path in DATA.glob("*.jsonl")} == set(PEER_GROUPS) == set(MODELS) == set(GOLDEN)
    assert all(is_of_peers(path) for path in DATA.glob("*.jsonl"))
    assert not is_of_peers(DATA.parent / "matrix.jsonl")
    assert not is_of_peers(DATA.parent / "writes" / "over.jsonl")
    assert not is_of_peers(DATA / "none.jsonl")


def test_nothing_is_left_out_in_silence() -> None:
    """Of devices all is compared but what other tasks do; of file systems the rest has its reasons."""
    for group in ("dm-integrity", "dm-crypt-aead"):
        for outcome in map(compare_peer_case, cases_of(group)):
            assert {"queue_work_on", "block events of requests"} == outcome.left_out.keys()
            assert NOT_COMPARED["queue_work_on"] == outcome.left_out["queue_work_on"]
    left = {name: compare_peer_case(case_of(name)).left_out for name in (WRITE, BTRFS_WRITE)}
    assert "phase umount" in left[WRITE]
    assert "write: xfs_trans_commit" in left[WRITE]
    assert {"sync: btrfs_search_slot", "commit: btrfs_search_slot"} <= left[BTRFS_WRITE].keys()
    assert all(why for reasons in left.values() for why in reasons.values())


BTRFS_WRITE = "btrfs16k/new/write-seq4k-64k/fsync"


@pytest.mark.parametrize(
    ("name", "phase", "counter"),
    [
        (READ, "io", "integrity_sector_checksum"),
        ("dmint_J_4096/direct/write4k", "sync", "bio_add_page"),
        ("dmcrypt-gcm_J_4096/direct/write1m", "io", "__journal_read_write"),
        ("btrfs16k/contig-16384k/read-seq128k/cold", "read", "btrfs_lookup_csum"),
        (BTRFS_WRITE, "sync", "crypto_shash_digest"),
        (WRITE, "write", "xfs_trans_alloc"),
        ("xfs/clone-2048k", "clone", "xfs_trans_commit"),
    ],
)
def test_a_false_count_is_told(name: str, phase: str, counter: str) -> None:
    """A count that is off by one is a difference, and the only one; so is one that is not there at all."""

    def counts(record: dict[str, Any]) -> dict[str, int]:
        return next(each["counts"] for each in record["phases"] if each["name"] == phase)

    def off(record: dict[str, Any]) -> None:
        counts(record)[counter] += 1

    def gone(record: dict[str, Any]) -> None:
        del counts(record)[counter]

    for change in (off, gone):
        (one,) = broken(change, name)
        assert (name, phase, counter) == (one.case, one.phase, one.counter)


@pytest.mark.parametrize(
    ("name", "field", "by"), [(READ, 1, 8), (READ, 2, 8), (READ, 3, 16), (WRITE, 3, 8), (BTRFS_WRITE, 1, 8)]
)
def test_a_false_bio_is_told(name: str, field: int, by: int) -> None:
    """A bio of data at another place, of another size, with another flag; it names the one that is odd."""

    def change(record: dict[str, Any]) -> None:
        # The last bio but the superblock's and flush's: data, whatever else a phase has.
        rows = [row for row in record["bios"] if row[5] == "null" and not row[3] & 1 and row[2]]
        rows[0][field] ^= by

    found = broken(change, name)
    assert "bios" in {one.counter for one in found}
    assert "bios, one of" in next(one.kernel for one in found if one.counter == "bios")


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        (READ, "group", "zfs", "group: 'zfs'; allowed: dm-integrity"),
        (READ, "table", "0 8 linear", "table: '0 8 linear'"),
        (
            READ,
            "table",
            "0 8 integrity /dev/sda 0 - D 1 internal_hash:md5",
            "internal_hash: 'md5'; allowed: crc32c",
        ),
        (READ, "script", ["r 0"], "script: 'r 0'"),
        (BTRFS_WRITE, "image", "btrfs8k", "image: 'btrfs8k'; allowed: btrfs16k"),
        (WRITE, "files", [], "files: no 'after' of /mnt/f"),
    ],
)
def test_a_record_that_no_model_has(name: str, key: str, value: Any, said: str) -> None:
    """One line with its place, what it has and what is allowed."""
    case = case_of(name)
    with pytest.raises(ConfigError) as error:
        compare_peer_case(PeerCase(case.record | {key: value}, case.at))
    assert said in str(error.value)
    assert case.at in str(error.value)


def test_pages_of_which_fiemap_says_nothing() -> None:
    """Where the allocator put data is the record's: without it there is nothing to compare."""
    for name in (WRITE, BTRFS_WRITE):
        case = case_of(name)
        files = [entry | {"extents": [[1 << 30, 1 << 30, 4096, 0]]} for entry in case.record["files"]]
        with pytest.raises(ConfigError, match="no extent has page 0"):
            compare_peer_case(PeerCase(case.record | {"files": files}, case.at))


def test_a_case_without_fiemap_has_one_extent() -> None:
    """From the first bio of data on, as long as what is asked for."""
    case = case_of("xfs/read-shared/source")
    assert [[0, 98_304, 2 << 20, 0]] == rows_of(case, "before", "/mnt/f")
    with pytest.raises(ConfigError, match="no data moved"):
        rows_of(PeerCase(case.record | {"bios": []}, "here"), "before", "/mnt/f")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A record without a key, by its line."""
    path = tmp_path / "peers.jsonl"
    path.write_text('{"case": "a", "group": "btrfs", "setup": ""}\n')
    with pytest.raises(ConfigError, match=r"peers\.jsonl:1: has no 'script'"):
        load_peer_cases(path)
    whole = case_of(READ).record
    path.write_text(json.dumps(whole | {"phases": [{"name": "io", "counts": {}}]}) + "\n")
    with pytest.raises(ConfigError, match=r"peers\.jsonl:1: phases\[0\] has no 'blk'"):
        load_peer_cases(path)

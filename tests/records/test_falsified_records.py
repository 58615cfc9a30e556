"""Records that say something false: each is told, as a difference or as a contradiction."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from kernel_records import DATA, case_of, record_of

from sim.engine.costs import load_costs
from sim.machine.machine import Machine
from sim.records.counters import AT_LEAST, NOT_COMPARED, PER_REQUEST, VIRTIO, WRITES_TOO
from sim.records.kernel_case import run_case
from sim.records.kernel_compare import FirstBios, Outcome, judge_machine, validate
from sim.records.left_out import NOT_RECORDED, STILL_EXACT, WRITES
from sim.records.tree_pages import find_tree_pages
from sim.records.write_back import writes_beside

COSTS = load_costs("linux-6.1-epyc")
TEN = (
    "nullmq_bs4096/bs4096/ext4/contig/rand4k/warm",
    "nullmq_bs1024/bs1024/buffer/frag4/seq4k/all_cold",
    "fscrypt_v2_xts_bs4096/bs4096/ext4/sparse/seq4k/warm",
    "dmcrypt_bs4096/bs4096/mpage/frag1/rand4k/warm",
    "matrix_bs1024/bs1024/ext4/frag2/backward4k/all_cold",
    "matrix_bs1024/bs1024/mpage/contig/seq128k/warm/ra1024",
    "matrix_bs4096/bs4096/buffer/contig/seq128k/warm/deadline",
    "matrix_bs1024/bs1024/buffer/contig/seq128k/warm/rewritten-one9",
    "xfs_bs1024/bs1024/iomap/frag2/seq4k/warm/rewritten-most4",
    "xfs_bs1024/bs1024/iomap/tail/seq128k/warm",
)
"""Ten records: with trees, writes beside the reads, clones, splits, an elevator, rewritten pages, XFS."""
PLAIN, DEADLINE = TEN[0], TEN[6]
WRITTEN = "nullmq_bs1024/bs1024/ext4/frag1/rand4k_advrandom/warm"
FSCRYPT = TEN[2]
DM_CRYPT = "dmcrypt_bs4096/bs4096/mpage/frag1/rand4k/warm"
ECRYPTFS = "ecryptfs_cold_bs4096/bs4096/ext4/contig/seq128k/es_cold"


def _judge(record: dict[str, Any]) -> Outcome:
    (outcome,) = validate([case_of(record)], COSTS, workers=1)
    return outcome


@pytest.mark.parametrize("name", TEN)
def test_each_counter_one_more_or_less_is_told(name: str) -> None:
    """Every counter of the record +1 and -1: a difference, or it stands among what is not compared."""
    case = case_of(record_of(name))
    simulated = _simulated(name)
    honest = judge_machine(case, *simulated)
    assert ("equal", ()) == (honest.verdict, honest.differences)
    silent = []
    for part in ("counts", "blk"):
        for counter, value in case.record[part].items():
            if not isinstance(value, int):
                continue
            for step in (1, -1):
                if value + step < 0:
                    continue
                false = case.record | {part: case.record[part] | {counter: value + step}}
                # The machine of the honest record: what is simulated does not hang on counts.
                found = judge_machine(replace(case, record=false), *simulated)
                if not found.differences and counter not in (*NOT_COMPARED, *AT_LEAST, *dict(found.left_out)):
                    silent.append((counter, step))
    assert [] == silent


@cache
def _simulated(name: str) -> tuple[Machine, FirstBios]:
    case, bios = case_of(record_of(name)), FirstBios()
    pages = find_tree_pages([case], COSTS).get(case.record["layout_file"])
    return run_case(case, COSTS, pages, bios), bios


def test_of_what_anybody_calls_fewer_are_told() -> None:
    """A record with fewer calls than the reads alone make is false; more are some other task's."""
    machine, _ = _simulated(FSCRYPT)
    for symbol in AT_LEAST:
        ours = machine.ledger.calls().get(symbol, 0)
        for count, told in ((ours - 1, [symbol]), (ours, []), (ours + 7, [])):
            record = record_of(FSCRYPT)
            record["counts"][symbol] = count
            outcome = judge_machine(case_of(record), *_simulated(FSCRYPT))
            assert told == [difference.counter for difference in outcome.differences]


def _with_writes(name: str, bios: int) -> dict[str, Any]:
    """Return a record with so many more bios that are written, two of metadata: of no known kind."""
    record = record_of(name)
    counts, blk = record["counts"], record["blk"]
    for part in (counts, blk):
        for counter in {*WRITES_TOO, "blk_mq_flush_plug_list"} & part.keys() - {"split", "bio_split"}:
            part[counter] += bios
    blk["bio_queue"] += bios
    blk["meta_bios"] += 2 - bios
    blk["first_bios"] = [*blk["first_bios"], *([[8 * at, 8, 4] for at in range(bios)])][:16]
    return record


@pytest.mark.parametrize("name", [PLAIN, DM_CRYPT, DEADLINE, ECRYPTFS])
def test_writes_of_no_known_kind_leave_out_all_that_they_count_in(name: str) -> None:
    """Also behind an elevator and below eCryptfs: equal, not exact, and each counter is named."""
    record = _with_writes(name, 5)
    outcome = _judge(record)
    assert ("equal", ()) == (outcome.verdict, outcome.differences)
    assert not outcome.exact
    left_out = dict(outcome.left_out)
    assert WRITES in left_out.values()
    assert set(WRITES_TOO) & (record["counts"].keys() | record["blk"].keys()) <= left_out.keys()
    assert not STILL_EXACT & {left_out[counter] for counter in WRITES_TOO if counter in record["counts"]}
    assert [] == [symbol for symbol in ("ext4_map_blocks", "filemap_read") if symbol in left_out]


def test_writes_of_no_known_kind_explain_more_calls_not_fewer() -> None:
    """Each counter that is left out for them is still told when it is below what the reads alone make."""
    simulated = _simulated(PLAIN)
    told = 0
    for counter in WRITES_TOO:
        record = _with_writes(PLAIN, 5)
        part = record["blk"] if counter in record["blk"] else record["counts"]
        if counter in part and record_of(PLAIN)["counts" if part is record["counts"] else "blk"][counter]:
            part[counter] -= 6
            found = judge_machine(case_of(record), *simulated)
            assert counter in {difference.counter for difference in found.differences}
            told += 1
    assert told > 20


def test_what_is_counted_once_a_request_is_so_of_known_writes() -> None:
    """A record with 23 blocks written in 11 requests: each such counter is 11 above what the reads take."""
    record, (machine, _) = record_of(WRITTEN), _simulated(WRITTEN)
    assert 23 == writes_beside(record)
    found = {
        counter: (record["counts"] | record["blk"])[counter] - machine.queue.stats.issued
        for counter in PER_REQUEST
        if counter in record["counts"] or counter in record["blk"]
    }
    assert {11} == set(found.values())
    assert len(found) >= len(PER_REQUEST) - 1  # the first recordings have no __blk_mq_alloc_requests


def test_extents_elsewhere_are_told() -> None:
    """All extents of the layout 7,777 blocks further on: the first bios lie elsewhere."""
    case = case_of(record_of(PLAIN))
    moved = tuple(extent._replace(physical=extent.physical + 7777) for extent in case.layout.extents)
    (outcome,) = validate([replace(case, layout=replace(case.layout, extents=moved))], COSTS, workers=1)
    assert ["positions"] == [difference.kind for difference in outcome.differences]


def _contradictions(record: dict[str, Any]) -> list[str]:
    """Return what a record contradicts itself in."""
    return [one.counter for one in _judge(record).differences if one.kind == "record"]


def test_more_bios_queued_than_any_probe_saw() -> None:
    """bio_queue one more, as if one write ran beside: the probe of submit_bio_noacct() contradicts it."""
    record = record_of(PLAIN)
    record["blk"]["bio_queue"] += 1
    assert any("submit_bio_noacct" in told for told in _contradictions(record))


def test_probes_that_lost_hits_are_told_as_such() -> None:
    """A probe below its own tracepoint: the record is at fault, not the simulator."""
    record = record_of(PLAIN)
    record["counts"]["blk_mq_end_request"] -= 5
    expected = "blk_mq_end_request against its tracepoint rq_complete (probes lose hits in interrupts)"
    assert [expected] == _contradictions(record)


def test_another_devices_name() -> None:
    """A record of null_blk that says it was virtio-blk: the driver's probe contradicts it."""
    assert "null_queue_rq on device 'virtio-blk'" in _contradictions(record_of(PLAIN, device="virtio-blk"))


@pytest.mark.parametrize(
    ("name", "lists", "alone"),
    [
        ("matrix_bs4096/bs4096/mpage/contig/stride64k/warm", 128, 0),
        ("matrix_bs1024/bs1024/ext4/frag2/backward4k/all_cold", 512, 14),
        ("matrix_bs1024/bs1024/mpage/contig/seq128k/warm/rewritten-one9", 278, 684),
    ],
)
def test_a_record_of_virtio_is_held_against_its_own_driver(name: str, lists: int, alone: int) -> None:
    """A plug's requests go down as a list; one by one if the reader sleeps on a tree block or has none."""
    record = record_of(name, device="virtio-blk")
    record["counts"] |= {"null_queue_rq": 0, "virtio_queue_rqs": lists, "virtio_queue_rq": alone}
    outcome = _judge(record)
    assert {*VIRTIO, "null_queue_rq"} <= {counter for counter, _, _ in outcome.compared}
    assert set() == {*VIRTIO, "null_queue_rq"} & {difference.counter for difference in outcome.differences}
    record["counts"]["virtio_queue_rqs"] += 1
    assert "virtio_queue_rqs" in {difference.counter for difference in _judge(record).differences}


NAMED = "matrix_bs4096/bs4096/ext4/contig/seq128k/warm/cached-every8"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (NAMED, {"tag": "matrix_bs1024"}, "tag in the name of the case"),
        (NAMED, {"path": "mpage"}, "path in the name of the case"),
        (NAMED, {"layout": "frag1"}, "layout in the name of the case"),
        (NAMED, {"es": "es_cold"}, "es in the name of the case"),
        (NAMED, {"access": "seq4k"}, "access in the name of the case"),
        (NAMED, {"fadvise": "sequential"}, "fadvise in the name of the case"),
        (NAMED, {"case": f"{NAMED}/ra16"}, "read_ahead_kb in the name of the case"),
        (NAMED, {"case": f"{NAMED}/ra1024-max16"}, "max_sectors_kb in the name of the case"),
        (NAMED, {"case": f"{NAMED}/deadline"}, "scheduler in the name of the case"),
        (NAMED, {"case": f"{NAMED}/folios"}, "large_folios in the name of the case"),
        (NAMED, {"cached_pages": []}, "cached_pages in the name of the case"),
        (NAMED, {"case": f"{NAMED}/rewritten-one9"}, "rewritten_blocks in the name of the case"),
        (NAMED, {"case": "matrix_bs4096/bs4096"}, "parts in the name of the case"),
        (NAMED, {"pages_read": 2047}, "pages_read against the reads"),
        (NAMED, {"file_bytes": (8 << 20) - 1}, "file_bytes against the layout"),
        (NAMED, {"fiemap_extents": 2}, "fiemap_extents against the layout"),
        (NAMED, {"tree_depth": 1}, "tree_depth against the layout's extents"),
        (NAMED, {"filesystem": "xfs"}, "path against filesystem"),
        ("matrix_bs4096/bs4096/ext4/odd/stride12k/all_cold", {"step_bytes": 8192}, "step_bytes in the name"),
        ("matrix_bs4096/bs4096/ext4/aged/streams4k_2fd/all_cold", {"open_files": 1}, "open_files in the"),
        ("matrix_bs4096/bs4096/ext4/frag1/backward64k/es_cold", {"read_bytes": 4096}, "read_bytes in the"),
        ("matrix_bs4096/bs4096/ext4/odd/seq10000/warm", {"read_bytes": 9999}, "read_bytes in the name"),
    ],
)
def test_what_a_record_says_twice_of_its_work(name: str, change: dict[str, Any], told: str) -> None:
    """A name against its fields, reads, extents and tree: told before anything is simulated."""
    found = _judge(record_of(name, **change))
    assert ("differs", ()) == (found.verdict, found.compared)
    assert {"record"} == {difference.kind for difference in found.differences}
    assert any(difference.counter.startswith(told) for difference in found.differences)


def test_a_list_of_first_bios_that_hides_some() -> None:
    """One less, or one that is said to be a write: the record queued more, and none that was written."""
    record = record_of(PLAIN)
    last = record["blk"]["first_bios"].pop()
    assert ["first_bios against bio_queue"] == _contradictions(record)
    record["blk"]["first_bios"].append([*last[:2], last[2] | 4])
    assert ["no reads among first_bios against bio_queue"] == _contradictions(record)


def test_more_reads_than_bios() -> None:
    """Sizes of more reads than bios were queued: no writes are left to explain it."""
    record = record_of(PLAIN)
    size = next(iter(record["blk"]["bio_sectors_hist"]))
    record["blk"]["bio_sectors_hist"][size] += 1
    assert "bio_sectors_hist against bio_queue" in _contradictions(record)


def test_a_symbol_that_is_not_recorded_is_named() -> None:
    """A kernel may lack a symbol; that it was not compared is said, if the simulator calls it."""
    record = record_of(PLAIN)
    del record["counts"]["ext4_es_lookup_extent"]
    outcome = _judge(record)
    assert NOT_RECORDED == dict(outcome.left_out)["ext4_es_lookup_extent"]
    cold = record_of("nullmq_bs1024/bs1024/buffer/frag4/rand4k/all_cold")
    del cold["counts"]["alloc_page_buffers"]  # what the pages of tree blocks are found by
    assert NOT_RECORDED == dict(_judge(cold).left_out)["alloc_page_buffers"]


CIPHERS = {
    "xts": "dm-aes-xts-plain64-512/bs4096/ext4/contig/rand4k/warm",
    "essiv": "dm-aes-cbc-essiv-sha256-512/bs4096/ext4/contig/rand4k/warm",
}
"""Cases of symbols-encryption.jsonl with sectors of 512 bytes."""


def test_dm_crypts_other_cipher_is_compared() -> None:
    """aes-cbc-essiv:sha256, its calls a sector as the rig recorded them: equal; those of XTS differ."""
    lines = (DATA / "symbols-encryption.jsonl").read_text().splitlines()
    symbols = {record["case"]: record.get("symbols", {}) for record in map(json.loads, lines)}
    per_sector = {}
    for cipher, recorded in CIPHERS.items():
        called, sectors = symbols[recorded], symbols[recorded]["crypt_convert"][0] * 8
        per_sector[cipher] = called["crypto_skcipher_decrypt"][0] / sectors
    record = record_of(DM_CRYPT)
    honest = record["counts"]["crypto_skcipher_decrypt"]
    record["encryption"] = "dm-crypt aes-cbc-essiv:sha256 256-bit key, 512-byte sectors"
    told = {difference.counter for difference in _judge(record).differences}
    assert {"crypto_skcipher_decrypt", "xts_decrypt"} == told
    calls = round(honest * per_sector["essiv"] / per_sector["xts"])
    record["counts"] |= {"crypto_skcipher_decrypt": calls, "xts_decrypt": 0}
    outcome = _judge(record)
    assert ("equal", True) == (outcome.verdict, outcome.exact)
    assert ("crypto_skcipher_decrypt", calls, calls) in outcome.compared


def test_ecryptfs_other_cipher_is_compared() -> None:
    """aes-128 calls what aes-256 calls: the same counts are equal, others are not."""
    record = record_of(ECRYPTFS)
    record["encryption"] = record["encryption"].replace("aes-256", "aes-128")
    outcome = _judge(record)
    assert ("equal", ()) == (outcome.verdict, outcome.differences)
    record["counts"]["ecryptfs_decrypt_page"] += 1
    assert ["ecryptfs_decrypt_page"] == [difference.counter for difference in _judge(record).differences]

"""dm-crypt: where it decrypts, when, and what passes through it."""

from __future__ import annotations

import random

import pytest
from core_kit import Rig, priced, sequential

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_META, REQ_SYNC
from sim.block.queue.limits import QueueLimits
from sim.crypto.dmcrypt import DmCrypt
from sim.ext4.store import MemoryStore
from sim.stack.dm_crypt import CryptTable

KIB = 1024
FILE = 256 * KIB
HARD = QueueLimits(1280, 128, 64, driver="nvme")
SOFT = QueueLimits(1280, 128, 64, driver="null_blk")
RAM = QueueLimits(1 << 20, 1 << 16, 1, bio_based=True, driver="brd")


def contexts(rig: Rig, symbol: str) -> dict[str, int]:
    """Return calls of a symbol per context."""
    rows = rig.machine.ledger.rows()
    return {row.context: row.calls for row in rows if row.symbol == symbol}


@pytest.mark.parametrize(
    ("limits", "inline", "where"),
    [
        (SOFT, False, "kworker"),
        (HARD, False, "kworker"),
        (RAM, False, "kworker"),
        (SOFT, True, "irq"),
        (HARD, True, "kworker"),
        (RAM, True, "task"),
    ],
)
def test_where_it_decrypts(limits: QueueLimits, inline: bool, where: str) -> None:
    """On kcryptd; with no_read_workqueue where the bio completes, but never in a hard interrupt."""
    table = CryptTable(no_read_workqueue=inline)
    rig = Rig("page_io", [(0, 100, 64)], FILE, limits=limits, dm_crypt=table, trace=False)
    calls = rig.run(sequential(FILE, 128 * KIB))
    assert {where: FILE // 512} == contexts(rig, "xts_decrypt")
    assert (0 if where != "kworker" else 2) == calls.get("queue_work_on", 0)
    assert 2 == calls["crypt_convert"]


@pytest.mark.parametrize(("sector_bytes", "per_page"), [(512, 8), (4096, 1)])
def test_ciphers_per_page(sector_bytes: int, per_page: int) -> None:
    """A cipher call per sector, whatever the path: 8 a page with 512 bytes, 1 with 4096."""
    for path in ("buffer_head", "page_io"):
        table = CryptTable(sector_bytes=sector_bytes)
        calls = Rig(path, [(0, 100, 64)], FILE, dm_crypt=table).run(sequential(FILE, 128 * KIB))
        assert per_page * 64 == calls["xts_decrypt"]


def test_nothing_merges_above_and_everything_below() -> None:
    """Buffer heads give dm-crypt a bio a block; its clones merge into one request a window."""
    rig = Rig("buffer_head", [(0, 100, 256)], FILE, block_size=KIB, dm_crypt=CryptTable(), trace=False)
    calls = rig.run(sequential(FILE, 128 * KIB))
    stats = rig.machine.queue.stats
    assert 256 == calls["dm_submit_bio"]
    assert (256, 2, 254) == (stats.queued, stats.issued, stats.back_merges)


def test_a_wakeup_is_waited_for_and_costs_no_cpu() -> None:
    """wakeup_ns delays what a worker does, once a bio in a row, and charges nothing."""
    ends, cpus = [], []
    for wakeup_ns in (0, 5_000):
        rig = Rig("page_io", [(0, 100, 1)], 4096, dm_crypt=CryptTable(), wakeup_ns=wakeup_ns)
        returned = rig.start([(0, 4096)])
        rig.finish()
        ends.append(returned[0])
        cpus.append(sum(row.ps for row in rig.machine.ledger.rows()))
    assert 5_000 == ends[1] - ends[0]
    assert cpus[0] == cpus[1]


@pytest.mark.parametrize("path", ["buffer_head", "page_io", "iomap"])
@pytest.mark.parametrize(("cipher", "key"), [("aes-xts-plain64", 64), ("aes-cbc-essiv:sha256", 32)])
def test_the_bytes_are_the_plaintext(path: str, cipher: str, key: int) -> None:
    """What is read through dm-crypt is what was encrypted, also of a fragmented file."""
    sectors = DmCrypt(cipher, bytes(range(key)), 4096)
    plain = random.Random(1).randbytes(1 << 20)
    store = MemoryStore(sectors.encrypt(plain, 0))
    table = CryptTable(cipher, 4096)
    extents = [(0, 16, 8), (8, 100, 24), (32, 48, 32)]
    rig = Rig(path, extents, FILE, dm_crypt=table, store=store, sectors=sectors, trace=False)
    rig.run(sequential(FILE, 128 * KIB))
    expected = b"".join(plain[at * 4096 : (at + n) * 4096] for _, at, n in extents)
    assert rig.mapping.content is not None
    assert expected == bytes(rig.mapping.content[:FILE])


def test_tracing_a_bio_keeps_its_stages() -> None:
    """With records kept, every bio has all of its times, decryption after the interrupt."""
    rig = Rig("buffer_head", [(0, 100, 64)], FILE, dm_crypt=CryptTable(), trace=False, record_io=True)
    rig.run(sequential(FILE, 128 * KIB))
    records = rig.machine.records or []
    assert FILE // 512 == sum(record.sectors for record in records)
    for record in records:
        assert 0 <= record.queued_ns <= record.issued_ns < record.completed_ns
        assert record.completed_ns < record.interrupted_ns < record.ready_ns


def test_a_clone_does_what_its_bio_does() -> None:
    """A read of metadata is handed down as one, with its flags; writes: test_dm_crypt_write.py."""
    rig = Rig("page_io", [(0, 100, 1)], 4 * KIB, dm_crypt=CryptTable())
    crypt = rig.machine.crypt
    assert crypt is not None
    task, plug = rig.machine.cpu.task(0, "reader"), Plug()
    bio = Bio(800, 8, 1, 1, EndIo(), None, [(0, 1)], False, REQ_SYNC | REQ_META)
    crypt.submit(task, bio, plug)
    assert ["Q", "Q RSM", "G RSM", "P"] == [event[0] for event in rig.block_log]
    assert [bio.opf] == [request.opf for request in plug.requests]


@pytest.mark.parametrize(("cpus", "returned"), [(1, 4 * KIB), (4, KIB)])
def test_a_rows_clones_are_decrypted_by_all_cores(cpus: int, returned: int) -> None:
    """A page of four buffer heads at 1 ns a byte: kcryptd's queue is unbound, so four cores take 1,024 ns."""
    costs = priced(xts_decrypt=(0, 1))
    rig = Rig(
        "buffer_head", [(0, 100, 4)], 4 * KIB, KIB, dm_crypt=CryptTable(), costs=costs, cpus=cpus, trace=False
    )
    ends = rig.start([(0, 4 * KIB)])
    rig.finish()
    assert [50_000 + returned] == ends
    assert [4 * KIB // cpus] * cpus == [core.busy_kworker_ns for core in rig.machine.cpu.cores]


@pytest.mark.parametrize(("work_queue", "wakings"), [("bound", 1), ("unbound", 4)])
def test_same_cpu_crypt_has_one_item_active(work_queue: str, wakings: int) -> None:
    """
    alloc_workqueue(): max_active is 1 with same_cpu_crypt, else as many as there are CPUs. Of four clones
    that end in one interrupt one becomes active, and only that wakes a worker; of an unbound queue's all do.
    """
    table = CryptTable(work_queue=work_queue)
    rig = Rig("buffer_head", [(0, 100, 4)], 4 * KIB, KIB, dm_crypt=table, cpus=4, trace=False)
    rig.run([(0, 4 * KIB)])
    woken = [row for row in rig.machine.ledger.rows() if row.stack.endswith("queue_work_on;try_to_wake_up")]
    assert [wakings] == [row.calls for row in woken]

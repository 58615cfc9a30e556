"""dm-crypt's writes: encrypted by a worker, sorted by a thread, flushes ahead of their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from core_kit import Rig, priced
from crash_cells import cell_of, cell_text

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_FUA, REQ_META, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.queue.limits import QueueLimits
from sim.engine.costs import CostTable
from sim.machine.run_cell import played_cell
from sim.stack.dm_crypt import CryptTable

WRITE = REQ_OP_WRITE | REQ_SYNC
LIMITS = QueueLimits(1280, 128, 64, driver="null_blk", write_cache=True, fua=True)
KIB = 1024


class Ends(EndIo):
    """Notes what ended, and when."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.ended: list[tuple[int, int]] = []

    def charge(self, bio: Bio, context: str) -> int:
        """Cost nothing."""
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        """Note it."""
        self.ended.append((bio.sector, self.rig.machine.clock.now))


def written(
    bios: list[tuple[int, int, int]], costs: CostTable | None = None, cpus: int = 1, sector_bytes: int = 512
) -> tuple[Rig, Ends]:
    """Submit (sector, sectors, flags) one after another; return the rig and what ended."""
    table = CryptTable(sector_bytes=sector_bytes)
    rig = Rig(
        "page_io",
        [(0, 100, 1)],
        4 * KIB,
        dm_crypt=table,
        limits=LIMITS,
        costs=costs or priced(),
        cpus=cpus,
    )
    ends, crypt = Ends(rig), rig.machine.crypt
    assert crypt is not None
    task = rig.machine.cpu.task(0, "writer")

    def process() -> Any:
        for sector, sectors, flags in bios:
            segments = -(-sectors // 8)
            bio = Bio(sector, sectors, 1, segments, ends, None, [(0, 1)] if sectors else [], False, flags)
            crypt.submit(task, bio, Plug(holds=False))
        yield from task.settle()

    rig.machine.clock.process(process())
    rig.machine.clock.run()
    assert crypt.pending == 0
    return rig, ends


def commands(rig: Rig) -> list[tuple[str, int, int]]:
    """Return what was given to the device, with its letters."""
    return [(said, sector, sectors) for said, _, sector, sectors in rig.block_log if said[0] == "D"]


def test_a_write_keeps_its_flags() -> None:
    """Metadata is handed down as metadata, and ends once."""
    rig, ends = written([(800, 8, WRITE | REQ_META)])
    assert commands(rig) == [("D WSM", 800, 8)]
    assert ends.ended == [(800, 50_000)]


def test_what_waits_goes_out_in_the_order_of_sectors() -> None:
    """The first wakes the thread; the others are encrypted meanwhile, and leave sorted, neighbours as one."""
    costs = priced(dmcrypt_write=(1000, 0))
    rig, _ = written([(9000, 8, WRITE), (808, 8, WRITE), (5000, 8, WRITE), (800, 8, WRITE)], costs)
    got = [sector for said, _, sector, _ in rig.block_log if said == "G WS"]  # a request of its own
    assert got == [9000, 800, 5000]
    assert sorted(commands(rig)) == [("D WS", 800, 16), ("D WS", 5000, 8), ("D WS", 9000, 8)]


@pytest.mark.parametrize(("sector_bytes", "ciphers"), [(512, 64), (4096, 8)])
def test_it_is_encrypted_by_sectors_on_a_worker(sector_bytes: int, ciphers: int) -> None:
    """32 KiB: a cipher a sector, at 1 ns a byte, on kcryptd; nothing is encrypted by who submits."""
    costs = priced(xts_encrypt=(0, 1))
    rig, ends = written([(800, 64, WRITE)], costs, sector_bytes=sector_bytes)
    assert rig.machine.ledger.calls()["xts_encrypt"] == ciphers
    assert [core.busy_kworker_ns for core in rig.machine.cpu.cores] == [32 * KIB]
    assert ends.ended == [(800, 50_000 + 32 * KIB)]


def test_pages_for_the_ciphertext() -> None:
    """A page for each of the bio, at what one costs."""
    rig, _ = written([(800, 64, WRITE), (4000, 2, WRITE)], priced(crypt_alloc_buffer=(0, 10)))
    units = [c.units for c in rig.machine.ledger.charges() if c.symbol == "crypt_alloc_buffer"]
    assert sum(units) == 8 + 1


def test_a_flush_goes_ahead_of_its_data() -> None:
    """Device mapper splits them: the flush, and when that is over the data, which is then encrypted."""
    rig, ends = written([(800, 8, WRITE | REQ_PREFLUSH | REQ_FUA)])
    said = [letters for letters, _, _ in commands(rig)]
    assert [said[0], said[-1]] == ["D FF", "D WFS"]
    assert len(ends.ended) == 1
    assert ends.ended[0][1] == 100_000
    assert rig.machine.queue.stats.flushes == 1


def test_a_flush_alone_is_not_encrypted() -> None:
    """It passes, and ends its bio."""
    rig, ends = written([(0, 0, WRITE | REQ_PREFLUSH)])
    assert rig.machine.ledger.calls().get("xts_encrypt", 0) == 0
    assert len(ends.ended) == 1


def test_every_bio_of_a_trace_comes_to_an_end(tmp_path: Path) -> None:
    """What is written through a target has all its times, flushes ahead of data and reads between too."""
    jobs = 'job = { name = "a", filename = "f", rw = "write", bs = "512", size = "16k", fsync = "8" }'
    volume = 'block_size = "4KiB"\njournal = "4MiB"\nfiles = [{ name = "f", size = "64KiB" }]'
    text = cell_text(volume, jobs, crash="", more='[encryption]\nscheme = "dm-crypt"')
    _, machine = played_cell(*cell_of(text, tmp_path), trace=True)
    assert machine.records is not None
    assert len(machine.records) > 12
    for record in machine.records:
        assert record.queued_ns <= record.issued_ns <= record.interrupted_ns <= record.ready_ns

"""
The log that a run leaves: read bio by bio, by our reader, and by e2fsck.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_cells import JOBS, VOLUME, Played, cell_text, played
from tools import e2fsck, tool

from sim.block.device.constants import SsdWrite
from sim.block.device.profile import load_device_profile
from sim.block.write_log import WrittenBio
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.journal import log_of
from sim.ext4.format.journal_blocks import COMMIT, DESCRIPTOR, HEADER, MAGIC, REVOKE
from sim.ext4.format.journal_super import LogSuperblock
from sim.ext4.read.replay import LogReader
from sim.ext4.store import MemoryStore
from sim.machine.crash.e2fsck import E2fsck

MORE = (
    JOBS.replace('io_size = "64k"', 'io_size = "2m"')
    .replace('io_size = "32k"', 'io_size = "1m"')
    .replace('fsync = "2"', 'fsync = "4"')
)
"""Jobs that go round the log of 1,023 blocks in data=journal."""


class ReadLog:
    """The bios of a run, by what they are of. places: of the journal's blocks, by where they lie."""

    def __init__(self, run: Played) -> None:
        volume = run.mounted.volume
        self.size = volume.block_size
        places, self.superblock = log_of(volume)
        self.places = {block: number for number, block in enumerate(places)}
        self.run = run

    def bios(self) -> Iterator[tuple[int, WrittenBio]]:
        """Yield (number in the journal, bio) of what goes into the log; -1: all else."""
        for bio in self.run.mounted.log:
            yield self.places.get(bio.offset // self.size, -1) if bio.data else -1, bio


@pytest.fixture(scope="module", params=["ordered", "journal", "writeback"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run whose log wraps in data=journal."""
    folder = tmp_path_factory.mktemp("logs")
    return played(cell_text(jobs=MORE, mount=f'data = "{request.param}"'), folder)


def test_commit_records_are_what_a_barrier_is(run: Played) -> None:
    """Each with PREFLUSH and FUA, alone; everything else of the log, but its superblock, without."""
    log = ReadLog(run)
    records = 0
    for number, bio in log.bios():
        if number <= 0:
            continue
        magic, kind, _ = HEADER.unpack_from(bio.data)
        is_record = (magic, kind) == (MAGIC, COMMIT)
        assert (bio.preflush, bio.fua) == (is_record, is_record)
        records += is_record
    assert records > 20


def test_a_record_comes_behind_its_transaction(run: Played) -> None:
    """All blocks of the log that were submitted before it have ended."""
    log = ReadLog(run)
    under_way: list[WrittenBio] = []
    for number, bio in log.bios():
        if number <= 0:
            continue
        if bio.fua:
            assert all(each.ended_ns <= bio.submitted_ns for each in under_way)
            under_way.clear()
        under_way.append(bio)


def test_the_tail_moves_behind_what_is_in_place(run: Played) -> None:
    """
    A superblock of the log that drops a transaction has FUA. Each block of the transaction that no later one
    has was written in place before the last flush began; that flush has ended.
    """
    log = ReadLog(run)
    tail = log.superblock.sequence
    has: dict[int, set[int]] = {}
    committed: dict[int, int] = {}
    flushes: list[WrittenBio] = []
    in_place: dict[int, list[WrittenBio]] = {}
    for number, bio in log.bios():
        if bio.preflush:
            flushes.append(bio)
        if not bio.data:
            continue
        if number == -1:
            for block in range(bio.offset // log.size, (bio.offset + len(bio.data)) // log.size):
                in_place.setdefault(block, []).append(bio)
        elif number == 0:
            found = LogSuperblock.decode(bio.data, "log")
            if found.sequence == tail:
                continue
            assert found.sequence > tail
            assert bio.fua
            flush = max(each.submitted_ns for each in flushes if each.ended_ns <= bio.submitted_ns)
            for dropped in range(tail, found.sequence):
                later = [has[number] for number in has if number > dropped and number in committed]
                for block in has[dropped].difference(*later):
                    assert [
                        each
                        for each in in_place[block]
                        if committed[dropped] <= each.submitted_ns and each.ended_ns <= flush
                    ]
            tail = found.sequence
        else:
            magic, kind, sequence = HEADER.unpack_from(bio.data)
            if (magic, kind) == (MAGIC, DESCRIPTOR):
                tags = log.superblock.format.tags(bio.data)
                has.setdefault(sequence, set()).update(tag.block for tag in tags)
            elif (magic, kind) == (MAGIC, COMMIT):
                committed[sequence] = bio.ended_ns
    assert (tail > log.superblock.sequence) == (run.cell.config.mount.data == "journal")


def test_sequences_and_places_follow_one_another(run: Played) -> None:
    """The log is a ring behind its superblock; a transaction has the sequence behind the last one's."""
    log = ReadLog(run)
    expected, sequence = log.superblock.first, log.superblock.sequence
    wrapped = False
    for number, bio in log.bios():
        if number <= 0:
            continue
        assert number == expected
        magic, kind, said = HEADER.unpack_from(bio.data)
        if magic == MAGIC and kind in (COMMIT, DESCRIPTOR, REVOKE):
            assert said == sequence
            sequence += kind == COMMIT
        expected += 1
        if expected == log.superblock.blocks:
            expected, wrapped = log.superblock.first, True
    assert wrapped == (run.cell.config.mount.data == "journal")


def test_our_reader_reads_it_to_its_end(run: Played) -> None:
    """As many transactions as were committed and not dropped; none is damaged."""
    volume, store = run.mounted.volume, OverlayStore(MemoryStore(run.disk()))
    records = sum(number > 0 and bio.fua for number, bio in ReadLog(run).bios())
    places, old = log_of(volume)
    raw = bytes(store.read(places[0] * volume.block_size, volume.block_size))

    class Now:
        """The image's blocks as they are now."""

        def read_block(self, block: int) -> bytes:
            """Return a block."""
            return bytes(store.read(block * volume.block_size, volume.block_size))

    found = LogReader(Now(), places, LogSuperblock.decode(raw, "log")).replay()  # type: ignore[arg-type]
    assert (found.damaged, found.aborted) == ("", "")
    assert found.end == old.sequence + records
    assert found.writes


def test_e2fsck_replays_it(run: Played, tmp_path: Path) -> None:
    """What e2fsck makes of the disk is sound, and our check of the run has found the files in it."""
    with E2fsck(tool("e2fsck")) as fsck:
        after = fsck.replayed(run.disk())
    path = tmp_path / "image"
    path.write_bytes(after)
    e2fsck(path)
    assert run.result.metrics["digest_ok"] == 1


def test_an_empty_log_is_noted_before_it_is_used(tmp_path: Path) -> None:
    """The first commit writes the superblock first: a replay begins where the log does."""
    run = played(cell_text(volume=VOLUME), tmp_path)
    first = next(bio for number, bio in ReadLog(run).bios() if number >= 0)
    assert ReadLog(run).places[first.offset // 1024] == 0
    found = LogSuperblock.decode(first.data, "log")
    assert (found.sequence, found.start) == (ReadLog(run).superblock.sequence, 1)
    record = next(bio for number, bio in ReadLog(run).bios() if number > 0 and bio.fua)
    assert first.ended_ns <= record.submitted_ns


def test_a_drive_with_fua_has_programmed_what_it_ends(tmp_path: Path) -> None:
    """
    A volatile cache and FUA: a commit record takes what a flush does twice, ahead of it and for itself; the
    journal's superblock, which has FUA alone, once.
    """
    write = load_device_profile("nvme").write
    assert isinstance(write, SsdWrite)
    assert (write.volatile_cache, write.fua) == (True, True)
    run = played(cell_text(jobs=MORE, mount='data = "journal"').replace("sata-ssd", "nvme"), tmp_path)
    took: dict[bool, list[int]] = {True: [], False: []}
    for bio in run.mounted.log:
        if bio.fua:
            took[bio.preflush].append(bio.ended_ns - bio.submitted_ns)
    assert min(took[True]) >= 2 * write.flush_ns
    assert min(took[False]) >= write.flush_ns

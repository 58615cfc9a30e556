"""
journal_async_commit: the commit record may be there before what it commits. What a replay then makes of it
hangs on the log's checksums.
"""

from __future__ import annotations

from pathlib import Path

from crash_cells import CRASH, Played, cell_text, played
from tools import MKE2FS_KINDS, mke2fs, tool

from sim.block.write_log import WrittenBio
from sim.config.crash import Crash
from sim.ext4.format.journal import log_of
from sim.ext4.format.journal_blocks import COMMIT, HEADER, MAGIC
from sim.machine.crash.judge import Verdicts
from sim.machine.crash.run import crash_run

JOBS = 'job = [{ name = "a", filename = "f", rw = "write", bs = "4k", size = "64k", end_fsync = "1" }]'
MOUNT = 'data = "writeback"\njournal_async_commit = true'


def cut_behind_the_record(kind: str, folder: Path) -> Verdicts:
    """Return what becomes of states of a disk just behind the submission of the first commit record."""
    tool("e2fsck")
    files = folder / "files"
    files.mkdir()
    with (files / "f").open("wb") as file:
        for at in range(8):
            file.seek(at * 8192)
            file.write(4096 * b"x")
        file.truncate(64 * 1024)
    mke2fs(folder / "x.img", files, *MKE2FS_KINDS[kind])
    run = played(cell_text('image = "x.img"', JOBS, MOUNT, CRASH), folder)
    record = _record(run)
    asked = Crash(at=record.submitted_ns, states=24)
    return crash_run(asked, run.mounted, run.files, run.end_ns, run.volatile, 1)


def _record(run: Played) -> WrittenBio:
    """Return the first commit record; it has neither PREFLUSH nor FUA."""
    volume = run.mounted.volume
    places = set(log_of(volume)[0][1:])
    for bio in run.mounted.log:
        if bio.data and bio.offset // volume.block_size in places:
            magic, kind, _ = HEADER.unpack_from(bio.data)
            if (magic, kind) == (MAGIC, COMMIT):
                assert not bio.preflush
                assert not bio.fua
                return bio
    raise AssertionError("no commit record")


def test_a_sum_of_the_transaction_keeps_it_out(tmp_path: Path) -> None:
    """Without metadata_csum the record sums what it commits (version 1): such a one is not replayed."""
    verdicts = cut_behind_the_record("no-checksums-1k", tmp_path)
    assert verdicts.states == 24
    assert (verdicts.unsound, verdicts.e2fsck, verdicts.differs) == (0, 0, 0)


def test_a_sum_of_each_block_does_not(tmp_path: Path) -> None:
    """
    With metadata_csum each block has its own (version 3): those that are wrong are left out, the others are
    replayed, and the file system is noted as not valid. e2fsck does the same.
    """
    verdicts = cut_behind_the_record("seeded-1k", tmp_path)
    assert verdicts.states == 24
    assert 0 < verdicts.e2fsck <= verdicts.unsound
    assert verdicts.differs == 0

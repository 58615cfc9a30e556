"""Blocks that have what they may have, and not their checksum: when a power cut leaves them, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import Played, cell_text, played

from sim.block.write_log import NOT_ENDED, WrittenBio
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.machine.crash.judge import Judge, Verdict, Verdicts
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped

VOLUME = """
block_size = "4KiB"
journal = "4MiB"
files = [{ name = "full", size = "256KiB" }, { name = "other", size = "64KiB" }]
"""
JOBS = """
job = [{ name = "b", filename = "full", rw = "randwrite", bs = "4k", size = "256k", io_size = "64k", fsync = "4" }]
"""  # noqa: E501
TABLE = '[checksums]\nlayout = "table_data"'
RUNS = '[checksums]\nlayout = "per_extent"\nextent_blocks = 8'


def run_of(folder: Path, sums: str, mount: str = "", judged: bool = False) -> Played:
    """Return a run of one job whose writes are synced by fours."""
    crash = '[crash]\nat = "bios"\npoints = 5\nstates = 3\n'
    return played(cell_text(VOLUME, JOBS, mount, crash, sums), folder, judged)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run in data=ordered, with a table."""
    return run_of(tmp_path_factory.mktemp("alarms"), TABLE)


def safe(run: Played, at: int) -> list[tuple[int, bytes]]:
    """Return all that had completed by then."""
    return [
        (bio.offset, bio.data)
        for bio in run.mounted.log
        if bio.data and bio.ended_ns != NOT_ENDED and bio.ended_ns <= at
    ]


def data_bios(run: Played) -> list[WrittenBio]:
    """Return the bios with the file's data."""
    image = run.mounted.volume
    (extent,) = image.lookup("/full").tree.extents
    first, end = extent.physical, extent.physical + extent.length
    return [bio for bio in run.mounted.log if first <= bio.offset // image.block_size < end]


def test_between_data_and_commit_there_are_false_alarms(run: Played) -> None:
    """When the first data is in place: as many as blocks were written, none at rest; behind its sync none."""
    judge = Judge(run.mounted, run.files, None)
    bios = [bio for bio in data_bios(run) if bio.ended_ns <= run.files["/full"][1].syncs[0][1]]
    written = sum(len(bio.data) for bio in bios) // 4096
    assert 4 == written
    at = max(bio.ended_ns for bio in bios)
    assert Verdict(alarms=4) == judge.judge(safe(run, at), at)
    synced = run.files["/full"][1].syncs[0][1]
    assert Verdict() == judge.judge(safe(run, synced), synced)


def test_a_torn_block_is_one(run: Played) -> None:
    """One sector of a block as it was written, the others as they were: each may be, the block is refused."""
    bio = data_bios(run)[0]
    verdict = Judge(run.mounted, run.files, None).judge([(bio.offset, bio.data[:512])], bio.submitted_ns)
    assert Verdict(alarms=1) == verdict


def test_what_is_stale_is_no_false_alarm(run: Played) -> None:
    """Another file's bytes without their checksum: refused, and rightly."""
    bio = data_bios(run)[0]
    written = [(bio.offset, stamped(99, 0, 4096, 1))]
    assert Verdict(stale=8) == Judge(run.mounted, run.files, None).judge(written, bio.submitted_ns)


def test_a_wrong_row_refuses_all_its_blocks(run: Played) -> None:
    """A sector of the table is gone, nothing is written yet: all that it has checksums of is refused."""
    assert run.mounted.sums is not None
    inode = run.mounted.volume.lookup("/full")
    (extent,) = inode.tree.extents
    (row,) = run.mounted.sums.of_made("/full", inode.number).tag_blocks(extent.physical, extent.length)
    verdict = Judge(run.mounted, run.files, None).judge([(row * 4096, bytes(SECTOR_BYTES))], -1)
    assert Verdict(alarms=64, at_rest=64) == verdict


def test_nothing_is_refused_where_nothing_was_written(run: Played) -> None:
    """Free blocks have what somebody has deleted, and its checksums: the image as it is mounted is right."""
    assert Verdict() == Judge(run.mounted, run.files, None).judge([], 0)
    store = OverlayStore(MemoryStore(bytearray(run.mounted.base)))
    replay_journal(store)
    image = Image(store)
    assert run.mounted.sums is not None
    assert [] == run.mounted.sums.files(image).refused(image.lookup("/other"))


def test_a_list_of_many_blocks_is_in_one_transaction(tmp_path: Path) -> None:
    """
    20 blocks in an inode of its own, commits all the time: no power cut leaves a part of it, for then all of
    the file would be refused, blocks at rest among them.
    """
    sums = '[checksums]\nlayout = "per_extent"\nextent_blocks = 1\nalgorithm = "sha256"'
    volume = VOLUME.replace('"4KiB"', '"1KiB"').replace('"256KiB"', '"512KiB"')
    crash = '[crash]\nat = "bios"\npoints = 40\nstates = 3\n'
    run = played(cell_text(volume, JOBS, 'commit = "100us"', crash, sums), tmp_path, judged=True)
    assert run.mounted.volume.lookup("/full").ea_values
    found = run.result.metrics
    assert (0, 0) == (found["crash_unsound"], found["crash_alarms_at_rest"])
    assert found["crash_e2fsck_finds"] in (0, -1)
    assert int(found["crash_false_alarms"]) > 0


def test_a_run_is_refused_as_a_whole(tmp_path: Path) -> None:
    """One block of eight is written: all of its run is refused, seven that nobody was writing among them."""
    run = run_of(tmp_path, RUNS)
    bio = data_bios(run)[0]
    assert 4096 == len(bio.data)
    verdict = Judge(run.mounted, run.files, None).judge([(bio.offset, bio.data)], bio.submitted_ns)
    assert 8 == verdict.alarms
    others = {write.offset for write in run.files["/full"][1].writes if write.began_ns <= bio.submitted_ns}
    (extent,) = run.mounted.volume.lookup("/full").tree.extents
    first = (bio.offset // 4096 - extent.physical) // 8 * 8
    moving = sum(first * 4096 <= offset < (first + 8) * 4096 for offset in others)
    assert 8 - moving == verdict.at_rest


@pytest.mark.parametrize(
    ("sums", "mount"),
    [
        (TABLE, 'data = "ordered"'),
        (TABLE, 'data = "journal"\ncommit = "200us"'),
        (RUNS, 'data = "journal"'),
    ],
)
def test_journalled_data_has_none(tmp_path: Path, sums: str, mount: str) -> None:
    """Of all states behind a run's bios: some in data=ordered, none in data=journal; e2fsck agrees on all."""
    found = run_of(tmp_path, sums, mount, judged=True).result.metrics
    assert 5 < int(found["crash_states"])
    assert ("journal" not in mount) == bool(found["crash_false_alarms"])
    for name in ("crash_unsound", "crash_losing", "crash_stale"):
        assert 0 == found[name]
    assert int(found["crash_e2fsck_finds"]) <= 0
    assert int(found["crash_replays_differ"]) <= 0


def test_states_are_counted() -> None:
    """States with an alarm, with one at rest, and the most blocks in one."""
    verdicts = Verdicts()
    for alarms, at_rest in ((0, 0), (5, 0), (3, 1)):
        verdicts.add(Verdict(alarms=alarms, at_rest=at_rest), "7 ns, all")
    assert (3, 2, 1, 5) == (verdicts.states, verdicts.alarming, verdicts.at_rest, verdicts.most_alarms)
    assert verdicts.first["alarms"] == "7 ns, all: 5 blocks without their checksum"

"""Judging states of a disk: one small run, and what is said of disks that lack or have something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crash_cells import Played, cell_text, played
from tools import tool

from sim.block.write_log import NOT_ENDED
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.format.journal import log_of
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.machine.crash.e2fsck import E2fsck
from sim.machine.crash.judge import Judge, Verdict, Verdicts
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run of two jobs in data=ordered."""
    return played(cell_text(), tmp_path_factory.mktemp("judge"))


def judge_of(run: Played, fsck: E2fsck | None = None) -> Judge:
    """Return a judge of a run."""
    return Judge(run.mounted, run.files, fsck)


def whole(run: Played, at: int) -> list[tuple[int, bytes]]:
    """Return all that had completed by then, as it was submitted."""
    return [
        (bio.offset, bio.data)
        for bio in run.mounted.log
        if bio.data and bio.ended_ns != NOT_ENDED and bio.ended_ns <= at
    ]


def place_of(run: Played, path: str, sector: int) -> int:
    """Return the byte offset on the disk, at the end, of a sector of a file."""
    store = OverlayStore(MemoryStore(run.disk()))
    replay_journal(store)
    image = Image(store)
    lblk, inside = divmod(sector * SECTOR_BYTES, image.block_size)
    for extent in image.lookup(path).tree.extents:
        if extent.logical <= lblk < extent.logical + extent.length:
            return (extent.physical + lblk - extent.logical) * image.block_size + inside
    raise AssertionError(f"{path} has a hole there")


def last_sync(run: Played, path: str) -> int:
    """Return when the last sync of a file returned."""
    return run.files[path][1].syncs[-1][1]


def test_a_disk_to_which_nothing_was_written(run: Played) -> None:
    """The image as it was mounted: its empty log is replayed, nothing was promised yet."""
    assert judge_of(run).judge([], 0) == Verdict()


def test_a_disk_that_has_everything(run: Played) -> None:
    """At the end nothing is missing."""
    assert judge_of(run).judge(whole(run, run.end_ns), run.end_ns) == Verdict()


def test_nothing_of_what_was_promised(run: Played) -> None:
    """The disk as it was mounted, at the end: each sector that is synced is lost, and nothing is stale."""
    sectors = 0
    for _number, history in run.files.values():
        sectors += int((history.promised(run.end_ns, 128) > 0).sum())
    verdict = judge_of(run).judge([], run.end_ns)
    assert verdict == Verdict(lost=sectors)
    assert sectors == 128 + 48  # 64 KiB; of 32 KiB the last two writes of 4 KiB have no sync behind them


def test_an_older_write_is_a_loss(run: Played) -> None:
    """One sector as an earlier write had it; a newer one, of a write that has begun, is none."""
    number, history = run.files["/full"]
    sector = history.writes[0].offset // SECTOR_BYTES
    at, place = last_sync(run, "/full"), place_of(run, "/full", sector)
    kept = int(history.promised(at, 128)[sector])
    for write, verdict in ((0, Verdict(lost=1)), (kept, Verdict()), (history.issued(at), Verdict())):
        data = stamped(number, sector * SECTOR_BYTES, SECTOR_BYTES, write)
        assert judge_of(run).judge([*whole(run, at), (place, data)], at) == verdict


def test_what_was_never_there_is_stale(run: Played) -> None:
    """Another file's bytes, zeros over what was there, and a write that has not begun."""
    number, history = run.files["/full"]
    at, sector = run.files["/full"][1].syncs[0][0] - 1, 5
    place = place_of(run, "/full", sector)
    later = history.issued(at) + 1
    for data in (
        stamped(99, 0, SECTOR_BYTES, 1),
        bytes(SECTOR_BYTES),
        stamped(number, sector * SECTOR_BYTES, SECTOR_BYTES, later),
    ):
        assert judge_of(run).judge([*whole(run, at), (place, data)], at) == Verdict(stale=1)


def test_zeros_in_a_hole_are_what_was_there(run: Played) -> None:
    """A hole reads as zeros; so do blocks that are zeroed, or not yet converted."""
    at = run.files["/holes"][1].syncs[-1][0] - 1
    assert judge_of(run).judge([], at).stale == 0


def test_an_unsound_file_system(run: Played) -> None:
    """A group descriptor that says something else: our check says so."""
    size = run.mounted.volume.block_size
    descriptors = run.mounted.volume.superblock.descriptor_block(0)
    assert "group" in judge_of(run).judge([(descriptors * size + 12, b"\1\2")], 0).unsound


def test_a_log_that_is_none(run: Played) -> None:
    """What cannot be replayed is unsound, with the reason."""
    tail = log_of(run.mounted.volume)[0][0]
    verdict = judge_of(run).judge([(tail * run.mounted.volume.block_size, bytes(64))], 0)
    assert "superblock" in verdict.unsound


def test_e2fsck_is_asked(run: Played) -> None:
    """It finds nothing where there is nothing, replays the same bytes, and finds what is wrong."""
    size, at = run.mounted.volume.block_size, run.end_ns
    descriptors = run.mounted.volume.superblock.descriptor_block(0)
    with E2fsck(tool("e2fsck")) as fsck:
        judge = judge_of(run, fsck)
        assert judge.judge(whole(run, at), at) == Verdict()
        verdict = judge.judge([(descriptors * size + 12, b"\1\2")], 0)
    assert verdict.unsound
    assert "Free blocks count wrong" in verdict.e2fsck
    assert not verdict.differs


def test_other_bytes_than_e2fsck_replays(run: Played) -> None:
    """If e2fsck leaves another image, that is said."""

    class Other(E2fsck):
        """One whose replay changes a byte of a free block."""

        def finds(self, image: bytes | bytearray) -> str:
            """Find nothing."""
            del image
            return ""

        def replayed(self, image: bytes | bytearray) -> bytes:
            """Change the last byte."""
            return bytes(image[:-1]) + bytes([image[-1] ^ 1])

    with Other("e2fsck") as fsck:
        assert judge_of(run, fsck).judge([], 0).differs


def test_verdicts_add_up() -> None:
    """Each kind by itself, the most of sectors, the first of each kind in words."""
    verdicts = Verdicts()
    verdicts.add(Verdict(), "1 ns, nothing")
    verdicts.add(Verdict(lost=3, stale=1), "2 ns, nothing")
    verdicts.add(Verdict(unsound="bad", e2fsck="worse", differs=True, lost=2), "3 ns, some")
    told = verdicts.first
    assert replace(verdicts, first={}) == Verdicts(3, 1, 1, 1, 2, 1, 3, 1, {})
    assert told == {
        "lost": "2 ns, nothing: 3 sectors that were promised",
        "stale": "2 ns, nothing: 1 sectors of something else",
        "unsound": "3 ns, some: bad",
        "e2fsck": "3 ns, some: worse",
        "differs": "3 ns, some: the two replays differ",
    }

"""Power cuts while files that share blocks are written over: counts, promises, and who nobody writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import Played, cell_text, played
from naive_files import real_counts

from sim.engine.streams import stream
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.format.refcounts import encode_leaf
from sim.ext4.read.counts import counts_of
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.files import find_program
from sim.machine.crash.judge import Judge, Verdict
from sim.machine.crash.run import NOT_ASKED
from sim.machine.crash.states import NOTHING, SOME, CutLog, boundaries
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped

BLOCK = 4096
VOLUME = """
block_size = "{size}"
journal = "4MiB"
{more}
files = [
    {{ name = "a", size = "64KiB", layout = {{ kind = "fragmented", extent = "8KiB" }} }},
    {{ name = "b", clone_of = "a" }},
    {{ name = "c", clone_of = "a" }},
]
"""
JOBS = """
job = [
    { name = "x", filename = "a", rw = "randwrite", bs = "4k", size = "64k", io_size = "48k", fsync = "1" },
    { name = "y", filename = "b", rw = "randwrite", bs = "4k", size = "64k", io_size = "48k", fsync = "1" },
]
"""
CRASH = '[crash]\nat = "bios"\npoints = {points}\nstates = 3\n'
BROKEN = ("crash_unsound", "crash_replays_differ", "crash_losing", "crash_stale")


def run_of(folder: Path, size: str = "4KiB", mount: str = "", more: str = "", points: int = 12) -> Played:
    """Return a run that was cut off so often, and judged."""
    text = cell_text(VOLUME.format(size=size, more=more), JOBS, mount, CRASH.format(points=points))
    return played(text, folder, judged=True)


def broken(run: Played) -> dict[str, int]:
    """Return how many states break which promise, without those that none breaks."""
    found = run.result.metrics
    return {name: int(found[name]) for name in BROKEN if found[name] not in (0, NOT_ASKED)}


@pytest.mark.parametrize(
    ("size", "mount", "more"),
    [("4KiB", "", "metadata_csum = true"), ("1KiB", "dioread_nolock = false", "rewritten = 0.3")],
)
def test_every_promise_is_kept(tmp_path: Path, size: str, mount: str, more: str) -> None:
    """Sound with its counts, to e2fsck, too, and all three files are what they may be."""
    run = run_of(tmp_path, size, mount, more)
    assert {} == broken(run)
    assert 30 <= run.result.metrics["crash_states"]
    assert run.result.metrics["crash_e2fsck_finds"] == (0 if find_program("e2fsck") else NOT_ASKED)
    assert {"/a", "/b", "/c"} == set(run.files)
    assert 0 < run.result.metrics["cow_blocks"]


LONG = """
job = [
    { name = "x", filename = "a", rw = "randwrite", bs = "4k", size = "1m", io_size = "64k", fsync = "1" },
    { name = "y", filename = "b", rw = "write", bs = "256k", size = "1m", io_size = "512k", fsync = "1" },
]
"""
"""A job whose data is under way while the other one commits."""


def test_every_moment(tmp_path: Path) -> None:
    """
    Behind every bio nothing is lost, nothing stale with all gone that was not safe; with some of it, counts
    are those of the files, block by block.
    """
    volume = VOLUME.format(size="4KiB", more="").replace('"64KiB", layout', '"1MiB", layout')
    run = played(cell_text(volume, LONG, crash=CRASH.format(points=1)), tmp_path)
    judge, rng, seen = Judge(run.mounted, run.files, None), stream(1, "cuts"), set()
    for number, at_ns in enumerate(boundaries(run.mounted.log)):
        cut = CutLog(run.mounted.log, at_ns, run.volatile)
        assert Verdict() == judge.judge(cut.written(NOTHING, rng), at_ns)
        if not number % 20:
            image = replayed(run.mounted.after(cut.written(SOME, rng)))
            assert real_counts(image) == counts_of(image)
            seen.add(len(counts_of(image)))
    assert 3 < len(seen)


def test_without_flushes_promises_break(tmp_path: Path) -> None:
    """Then what was synced is not there, and counts may not be those of the files; no state ends the run."""
    found = broken(run_of(tmp_path, "1KiB", "barrier = false", points=30))
    assert 0 < found["crash_losing"]
    assert 0 < found["crash_unsound"]


def replayed(disk: bytearray) -> Image:
    """Return the file system on a disk, its log replayed."""
    store = OverlayStore(MemoryStore(disk))
    replay_journal(store)
    return Image(store)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run that has come to its end, with nothing judged."""
    text = cell_text(VOLUME.format(size="4KiB", more=""), JOBS, crash=CRASH.format(points=1))
    return played(text, tmp_path_factory.mktemp("clones"))


def at_the_end(run: Played, *more: tuple[int, bytes]) -> Verdict:
    """Return what is said of the disk at the end of a run with some bytes changed (offset, bytes)."""
    written = [(bio.offset, bio.data) for bio in run.mounted.log if bio.data]
    return Judge(run.mounted, run.files, None).judge([*written, *more], run.end_ns)


def test_a_count_that_a_replay_leaves_wrong_is_unsound(run: Played) -> None:
    """In the log's last copy of the counts, and in their place, where e2fsck finds nothing."""
    image = replayed(run.disk())
    place = image.lookup("/.refcounts").tree.extents[0].physical
    changed = []
    for bio in [bio for bio in run.mounted.log if bio.data]:
        at = bio.data.find(b"rprc")
        if at >= 0 and not at % BLOCK:
            changed.append((bio.offset + at, encode_leaf([], BLOCK)))
    assert "" == at_the_end(run).unsound
    verdict = at_the_end(run, *changed, (place * BLOCK, encode_leaf([], BLOCK)))
    assert "(/.refcounts): block" in verdict.unsound
    assert ": no record, " in verdict.unsound


def test_a_clone_that_nobody_writes_is_looked_at(run: Played) -> None:
    """A write of its source into a block that both have: its reader sees another's data."""
    assert 0 == at_the_end(run).stale
    image = replayed(run.disk())
    extent = image.lookup("/c").tree.extents[0]
    (number, _), at = run.files["/a"], extent.physical * BLOCK
    verdict = at_the_end(run, (at, stamped(number, extent.logical * BLOCK, BLOCK, 1)))
    assert verdict.stale >= BLOCK // SECTOR_BYTES
    assert "" == verdict.unsound

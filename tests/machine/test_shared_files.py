"""
Files that several jobs write at once: what lies on the disk at the end is what each place was given last, by
who had the file's lock last; no block is given out twice or for nothing, and e2fsck finds nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from crash_cells import Played, cell_text, played
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_image import check_written

from sim.ext4.read.reader import Image
from sim.workload.stamps import stamped

SIZE_KIB = 128
NOTED = '[crash]\nat = "bios"\npoints = 1\nstates = 1\n'
"""Has every write noted."""
MOUNTS = [
    "",
    'data = "journal"',
    'data = "writeback"\ndelalloc = false',
    "delalloc = false",
    "dioread_nolock = false",
]
LAYOUTS = ["hole", "unwritten", "contiguous", 'sparse", data = "8KiB", hole = "8KiB']
PATHS = ["page_io", "page_io", "iomap", "page_io_one_scan"]
SYNCS = ['fsync = "1"', 'fsync = "4"', 'end_fsync = "1"', 'fdatasync = "2"', 'sync = "dsync"']


@st.composite
def jobs(draw: st.DrawFn, ways: tuple[str, ...], more: str = "") -> str:
    """Draw two to four jobs on one file."""
    made = []
    for number in range(draw(st.integers(2, 4))):
        rw, bs = draw(st.sampled_from(ways)), draw(st.sampled_from(["512", "1k", "4k", "16k", "36k"]))
        some = f', io_size = "{draw(st.sampled_from([16, 64]))}k", randrepeat = 0' if "rand" in rw else ""
        clones = draw(st.sampled_from([1, 1, 2]))
        made.append(
            f'{{ name = "j{number}", filename = "f", rw = "{rw}", bs = "{bs}", size = "{SIZE_KIB}k",'
            f" numjobs = {clones}, {draw(st.sampled_from(SYNCS))}{some}{more} }}"
        )
    return f"job = [{', '.join(made)}]"


def text_of(draw: st.DrawFn, layout: str, jobs: str, crash: str) -> str:
    """Return an experiment: a block size, a way of mounting, a design and some cores."""
    block_size = draw(st.sampled_from(["1KiB", "2KiB", "4KiB"]))
    volume = (
        f'block_size = "{block_size}"\njournal = "4MiB"\n'
        f'files = [{{ name = "f", size = "{SIZE_KIB}KiB", layout = {{ kind = "{layout}" }} }}]'
    )
    more = f"[machine]\ncpus = {draw(st.sampled_from([1, 2, 4]))}"
    path = f'[matrix]\npath = ["{draw(st.sampled_from(PATHS))}"]\n'
    return cell_text(volume, jobs, draw(st.sampled_from(MOUNTS)), crash, f"{path}{more}")


@st.composite
def within(draw: st.DrawFn) -> str:
    """Draw an experiment whose file has its size."""
    ways = ("write", "randwrite", "rw", "randrw")
    return text_of(draw, draw(st.sampled_from(LAYOUTS)), draw(jobs(ways)), NOTED)


@st.composite
def growing(draw: st.DrawFn) -> str:
    """Draw an experiment whose file grows, or is made by whoever comes first."""
    layout = draw(st.sampled_from(["empty", "absent"]))
    more = ", create_on_open = 1" if layout == "absent" else ""
    return text_of(draw, layout, draw(jobs(("write", "randwrite"), more)), "")


def checked(text: str) -> tuple[Played, Image]:
    """Run an experiment; return it with the image behind it, which is sound and has what was written."""
    with tempfile.TemporaryDirectory() as name:
        run = played(text, Path(name))
        return run, check_written(run, Path(name))


def blocks_of(image: Image) -> set[int]:
    """Return which blocks of the file have a place."""
    tree = image.lookup("/f").tree
    return {extent.logical + at for extent in tree.extents for at in range(extent.length)}


QUICKLY = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICKLY
@given(within())
def test_the_last_who_had_the_lock_is_there(text: str) -> None:
    """Against a naive model: a bytearray, and the writes one after another as they returned."""
    run, image = checked(text)
    number, history = run.files["/f"]
    model = bytearray(run.mounted.read_back(run.mounted.volume, "/f"))
    wanted, size = blocks_of(run.mounted.volume), image.block_size
    for write in history.writes:
        end = write.offset + write.length
        model[write.offset : end] = stamped(number, write.offset, write.length, write.number)
        wanted |= set(range(write.offset // size, -(-end // size)))
    assert model == run.mounted.read_back(image, "/f")
    assert wanted == blocks_of(image)


@QUICKLY
@given(growing())
def test_a_file_that_grows(text: str) -> None:
    """Each byte is as it was written last, and the file as long as the longest has made it."""
    run, image = checked(text)
    assert run.result.metrics["writes"] > 0
    assert image.lookup("/f").size_bytes <= SIZE_KIB * 1024


def shared(numjobs: int, files: str, more: str = "") -> Played:
    """Run clones that write four pages each."""
    volume = 'block_size = "4KiB"\njournal = "4MiB"\n'
    volume += 'files = [{ name = "f", size = "64KiB" }]' if files else ""
    job = f'job = {{ name = "j", {files} rw = "write", bs = "64k", size = "64k", numjobs = {numjobs}{more} }}'
    with tempfile.TemporaryDirectory() as name:
        return played(cell_text(volume, job, crash="", more="[machine]\ncpus = 4"), Path(name))


def test_waits_are_counted() -> None:
    """Three who write one file wait twice, for one writer and for two; with a file each nobody does."""
    run = shared(3, 'filename = "f",').result.metrics
    once = shared(1, 'filename = "f",').result.metrics
    took = once["write_latency_mean_ns"]
    assert (run["inode_lock_waits"], once["inode_lock_waits"], once["inode_lock_wait_ns"]) == (2, 0, 0)
    assert run["inode_lock_wait_ns"] == pytest.approx(3 * took, rel=0.5)
    assert shared(3, "").result.metrics["inode_lock_waits"] == 0


def test_who_waits_does_so_in_a_system_call() -> None:
    """The slow path of a semaphore stands below the call that wanted it; who spins does not sleep."""
    stacks = {
        row.stack: row.calls for row in shared(3, 'filename = "f",').result.calls if "rwsem" in row.stack
    }
    assert stacks == {"entry_SYSCALL_64;rwsem_down_write_slowpath": 2}

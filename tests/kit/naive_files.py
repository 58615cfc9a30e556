"""
Files that are made, written, cloned and taken away on a mounted image, and the same done to a dictionary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from core_kit import FixedLatency, priced
from crash_cells import cell_of, cell_text
from write_kit import LIMITS

from sim.engine.cpu import Task
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.counts import COUNTS_PATH
from sim.ext4.read.reader import Image
from sim.fs.allocation import Ext4Allocator
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.machine.volume_files import VolumeFile, absent_file
from sim.machine.write_jobs import MountedForWriting

Step = tuple[str, int, int, int]
"""What is done, to which file, where, how long."""


def line_of(*jobs: str) -> str:
    """Return the workload of these jobs, together."""
    return f"job = 'fio {' '.join(jobs)}'"


def contents_of(image: Image) -> dict[str, bytes]:
    """Return the files of an image, but that of shared blocks' counts."""
    files = {path: image.read_file(inode) for path, inode in image.walk() if inode.is_regular}
    return {path.lstrip("/"): data for path, data in files.items() if path != COUNTS_PATH}


class Naive:
    """An image on which files are made, and the same done to a dictionary."""

    def __init__(self, folder: Path, image: Path | None = None) -> None:
        path = image or folder / "x.img"
        if image is None:
            old = (FileSpec("/old", 40_000), FileSpec("/older", 3_000))
            make_image(path, ImageSpec(old, 1024, journal_blocks=1024, new_files=8, new_bytes=1 << 20))
        volume = 'journal = "1MiB"\nblock_size = "1KiB"'
        self.cell, _ = cell_of(cell_text(volume, line_of("--name=a --rw=write --size=4k"), crash=""), folder)
        self.volume = Image.open(path)

    def user(self) -> User:
        """Return somebody on a fresh mount."""
        spec = MachineSpec(
            "page_io",
            self.volume.block_size,
            LIMITS,
            priced(),
            memory_pages=1 << 20,
            store=OverlayStore(self.volume.store),
        )
        machine = Machine(spec, lambda clock: FixedLatency(clock, 50_000))
        return User(machine, MountedForWriting(machine, self.volume, self.cell.config), self.volume)

    def play(self, steps: list[Step]) -> bytearray:
        """Do steps; look at what is on the disk at the end, and return it, its log not replayed."""
        user = self.user()
        user.run(user.do(steps))
        user.mounted.write_out()
        allocator = user.mounted.writer.allocator
        assert isinstance(allocator, Ext4Allocator)
        assert allocator.mb.dirty == 0  # nothing is promised to anyone any more
        disk = user.disk()
        kept = OverlayStore(disk)
        replay_journal(kept)
        image = Image(kept, "after")
        assert contents_of(image) == {name: bytes(data) for name, data in user.expected.items()}
        return bytearray(disk.read(0, disk.size_bytes))


class User:
    """Who makes, writes, syncs, closes and unlinks files; expected: what they are to be."""

    def __init__(self, machine: Machine, mounted: MountedForWriting, volume: Image) -> None:
        self.machine = machine
        self.mounted = mounted
        self.volume = volume
        self.expected = {name: bytearray(data) for name, data in contents_of(volume).items()}
        self.files: dict[str, VolumeFile] = {}
        self.open: dict[str, LiveInode] = {}
        self.task = machine.cpu.task(0, "user")
        self.ended = False

    def run(self, doing: Generator[Any, Any, None]) -> None:
        """Run it to its end, and all that it has begun."""
        self.mounted.began()
        self.machine.clock.process(self._to_its_end(doing))
        self.machine.clock.run()

        assert self.ended

    def _to_its_end(self, doing: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        yield from doing
        self.mounted.ended()
        self.ended = True

    def disk(self) -> OverlayStore:
        """Return what is on the disk."""
        assert self.mounted.bytes is not None
        return self.mounted.bytes.disk

    def do(self, steps: list[Step], closes: bool = True) -> Generator[Any, Any, None]:
        """Do steps: (what, number of the file, offset, length); close what is open then."""
        for what, number, offset, length in steps:
            yield from self.step(self.task, what, f"f{number}", offset, length)
            yield from self.task.settle()
        for name in list(self.open) if closes else ():
            yield from self.mounted.close(self.task, self.files[name], self.open.pop(name))

    def file(self, name: str) -> VolumeFile:
        """Return a file: as the image has it, or one to be made."""
        if name not in self.files:
            path, machine = f"/{name}", self.machine
            self.files[name] = absent_file(self.volume, machine, path, 1 << 20)
            if name in self.expected:
                found = self.volume.lookup(path)
                inode = FsInode(found.tree, found.size_bytes, self.volume.block_size)
                self.files[name] = VolumeFile(path, inode, machine.mapping(inode), found, [])
        return self.files[name]

    def _open(self, task: Task, name: str, source: str) -> Generator[Any, Any, None]:
        """Open a file; one that is not there is made, as a clone of `source` if there is one."""
        file = self.file(name)
        if name not in self.expected:
            file.source = self.file(source) if source else None
            self.expected[name] = bytearray(self.expected[source] if source else b"")
        if file.found is None:
            self.open[name] = yield from self.mounted.open(task, file)
        else:
            self.open[name] = self.mounted.inode(file)

    def step(self, task: Task, what: str, name: str, offset: int, length: int) -> Generator[Any, Any, None]:
        """Do one: what has no file to be done to makes it; "clone": of number `offset`, if that is there."""
        if name not in self.open:
            source = f"f{offset}" if what == "clone" and f"f{offset}" in self.expected else ""
            yield from self._open(task, name, source)
        inode, file = self.open[name], self.files[name]
        if what == "write":
            data = self.mounted.stamped(inode, offset, length)
            yield from self.mounted.writer.write(task, inode, offset, length, data)
            held = self.expected[name]
            held.extend(bytes(max(offset + length - len(held), 0)))
            held[offset : offset + length] = data
        elif what == "fsync":
            yield from self.mounted.writer.sync.fsync(task, inode)
        elif what == "wait":
            yield self.machine.clock.timeout(length * 1_000_000)
        elif what == "close":
            yield from self.mounted.close(task, file, self.open.pop(name))
        elif what == "unlink":
            yield from self.mounted.close(task, file, self.open.pop(name))
            yield from self.mounted.unlink(task, file, inode)
            del self.expected[name], self.files[name]
        elif what == "unlink open":
            del self.open[name], self.expected[name], self.files[name]
            yield from self.mounted.unlink(task, file, inode)
            yield from self.mounted.writer.sync.fsync(task, inode)
            yield from self.mounted.names().close(task, inode)


def real_counts(image: Image) -> dict[int, int]:
    """Return how many files have each block, counted one by one; only what is shared."""
    files = {inode.number: inode for _path, inode in image.walk() if inode.is_regular and inode.has_contents}
    blocks = Counter(
        block
        for inode in files.values()
        for extent in inode.tree.extents
        for block in range(extent.physical, extent.physical + extent.length)
    )
    return {block: count for block, count in blocks.items() if count > 1}

"""
A volume that is mounted for writing on a machine: its files open, what is written and synced, made and taken
away.

With real data, what is written is stamps (sim.workload.stamps), and reaches files, log and metadata of a disk
that lies over the image. On eCryptfs the upper file is written, and ext4 writes the lower one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.config.cell import CellConfig
from sim.config.cell_result import Number
from sim.config.mount import Mount
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.journal import JOURNAL_INODE
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.fs.allocation import Ext4Allocator
from sim.fs.ext4_super import MountOptions
from sim.fs.file_tags import FileTags
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.image import ImageBitmaps, geometry_of, seeds_of
from sim.machine.checksums import VolumeTags, policy_of, write_ciphers
from sim.machine.crash.history import FileHistory, WriteCall
from sim.machine.crash.run import crash_metrics, crash_run
from sim.machine.files import MountedFiles, live_inode
from sim.machine.machine import Machine
from sim.machine.mounted_bytes import MountedBytes
from sim.machine.sharing import Sharing
from sim.machine.volume_files import VolumeFile, ext4_side
from sim.machine.volume_shape import JournalShape, VolumeShape
from sim.machine.writer import Ext4Writer
from sim.paths.flusher import total_dirty
from sim.paths.write_calls import WRITE
from sim.stack.ecryptfs import EcryptfsInode
from sim.stack.ecryptfs_upper import LOWER_WRITE, EcryptfsUpper, UpperFile
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped

TAG_BYTES = {(False, False): 8, (False, True): 12, (True, False): 16, (True, True): 16}
"""Bytes of a descriptor's tag, by (checksums, 64 bit)."""


def shape_of(volume: Image) -> VolumeShape:
    """Return what the write side has to know of an image."""
    sb, journal = volume.superblock, None
    if sb.has(Compat.HAS_JOURNAL):
        tree = volume.read_extent_tree(volume.inode(JOURNAL_INODE))
        places = [extent.physical + at for extent in tree.extents for at in range(extent.length)]
        checksums, wide = sb.has(RoCompat.METADATA_CSUM), sb.has(Incompat.BIT64)
        journal = JournalShape(places, TAG_BYTES[checksums, wide], checksums, wide=wide, is_empty=True)
    return VolumeShape(
        volume.block_size, sb.groups_count, sb.descriptor_blocks, sb.first_data_block + 1, journal
    )


class MountedForWriting:
    """The volume of a cell, mounted: `writer` has the system calls, `inodes` the files that are open."""

    def __init__(
        self, machine: Machine, volume: Image, config: CellConfig, tags: VolumeTags | None = None
    ) -> None:
        """
        tags: the checksums of its data. Raises ConfigError for a path that does not write, and for real data
        without a journal.
        """
        name = str(config.writes_through)
        if config.data == "real" and not volume.superblock.has(Compat.HAS_JOURNAL):
            problem = 'data "real" with jobs that write, on a volume without journal'
            raise ConfigError("volume.journal", problem, 'a size, as "16MiB", or data = "off"')
        mb = MbAllocator(geometry_of(volume), seeds_of(volume), ImageBitmaps(volume))
        self._blocks = mb
        self._names: MountedFiles | None = None
        self._on_disk: dict[int, Inode] = {}
        self._made: dict[str, LiveInode] = {}
        self._volume = volume
        self._machine = machine
        self.bytes: MountedBytes | None = None
        queue = machine.disk
        if isinstance(machine.spec.store, OverlayStore):
            crash = config.crash is not None
            self.bytes = MountedBytes(volume, machine.spec.store, crash, machine.spec.sectors, tags)
            queue = self.bytes.record(machine.queue, machine.crypt, machine.clock)
        self.writer = Ext4Writer(
            machine.clock,
            machine.cpu,
            machine.ledger,
            queue,
            machine.cache,
            shape_of(volume),
            _options(config.mount),
            Ext4Allocator(machine.ledger, mb),
            name,
            memory_pages=machine.spec.memory_pages,
            ciphers=write_ciphers(config),
            caller=WRITE if machine.spec.ecryptfs is None else LOWER_WRITE,
            checksums=policy_of(config.checksums),
        )
        self._sharing = Sharing(self.writer, volume, machine.ledger, mb)
        machine.kept_sums = self.writer.sums
        self._tags = tags
        self._uppers: dict[int, UpperFile] = {}
        if machine.spec.ecryptfs is not None:
            self._upper = _upper_of(machine, self.writer)
        if self.bytes is not None:
            self.bytes.attach(self.writer, mb.groups, config.mount.journal_async_commit)
        self._inodes: dict[int, LiveInode] = {}
        self._jobs = 0
        self._crash = config.crash
        self._volatile = machine.queue.limits.write_cache
        self._histories: dict[int, FileHistory] = {}
        self.writes = 0
        if machine.spec.recorder is not None:
            live = self.writer.inodes
            machine.spec.recorder.gauges["dirty_pages"] = lambda: total_dirty(live.values())

    def names(self) -> MountedFiles:
        """Return the files as names; ConfigError for a root that they cannot be changed in."""
        if self._names is None:
            machine = self._machine
            disk = self.bytes.disk if self.bytes is not None else None
            self._names = MountedFiles(
                machine.ledger, self.writer, machine.cache, self._volume, self._blocks, disk
            )
            for number, on_disk in self._on_disk.items():
                self._names.known(self._inodes[number], on_disk)
        return self._names

    def open(self, task: Task, file: VolumeFile) -> Generator[Any, Any, LiveInode]:
        """open(2) with O_CREAT of a file that a job makes: the first who does makes it."""
        names = self.names()
        if file.path not in self._made:
            yield from names.lock(task)
            if file.path not in self._made:
                yield from self._make(task, names, file)
                names.unlock()
                return self._made[file.path]
            names.unlock()
        inode = self._made[file.path]
        inode.open_files += 1
        return inode

    def _make(self, task: Task, names: MountedFiles, file: VolumeFile) -> Generator[Any, Any, None]:
        """Make the file that a job has opened."""
        inode = yield from names.create(task, file.path.removeprefix("/"), file.mapping)
        self._inodes[inode.number] = inode
        self._machine.live_maps.add(ext4_side(file)[0], inode)
        self._histories[inode.number] = FileHistory()
        if self._tags is not None and self.writer.sums is not None:
            assert isinstance(file.inode, FsInode)
            tags = self._tags.of_made(file.path, inode.number)
            file.inode.tags = self.writer.sums.files[inode.number] = tags
        if self.bytes is not None:
            self.bytes.made(file, inode)
        if file.source is not None:
            yield from self._clone(task, file.source, inode)
        self._made[file.path] = inode

    def _clone(self, task: Task, source: VolumeFile, inode: LiveInode) -> Generator[Any, Any, None]:
        """ioctl(2) with FICLONE: a file that was made shares all blocks of another, which is written out."""
        shared = self._made.get(source.path)
        if shared is None:
            shared = self.inode(source)
            shared.open_files -= 1  # who clones it does not write it
        yield from self._sharing.clone(task, shared, inode)

    def close(self, task: Task, file: VolumeFile, inode: LiveInode) -> Generator[Any, Any, None]:
        """close(2) of a file that may be opened again."""
        self._made[file.path] = inode
        yield from self.names().close(task, inode)

    def inode(self, file: VolumeFile) -> LiveInode:
        """
        Return the inode of a file as it is written; what is read of it is of the same pages. On eCryptfs the
        inode is the lower file's.
        """
        found = self._inodes.get(file.on_disk.number)
        if found is not None:
            found.open_files += 1
            return found
        on_ext4, mapping = ext4_side(file)
        number = file.on_disk.number
        encrypted, inline = on_ext4.encrypted or on_ext4.inline, on_ext4.inline
        live = live_inode(self._volume, file.on_disk, mapping, encrypted, inline)
        self._inodes[number] = live
        self._on_disk[number] = file.on_disk
        if self._names is not None:
            self._names.known(live, file.on_disk)
        self.writer.add(live)
        self._sharing.noted(live)
        self._machine.live_maps.add(on_ext4, live)
        self._keep_checksums(on_ext4, live)
        self._histories[number] = FileHistory()
        if isinstance(file.inode, EcryptfsInode):
            self._uppers[number] = UpperFile(file.inode, file.mapping, live)
        if self.bytes is not None:
            self.bytes.of(file, live, self._uppers.get(number))
        self.writer.buffers.warm([live.table_block])
        if on_ext4.map.status.entries:
            self.writer.buffers.warm(file.on_disk.tree.blocks)
        return live

    def _keep_checksums(self, inode: FsInode, live: LiveInode) -> None:
        """Have a file's checksums kept up; what is in memory of them is where writers look, too."""
        sums, tags = self.writer.sums, inode.tags
        if sums is None or tags is None or self._machine.sums is None:
            return
        sums.files[live.number] = tags
        self._refuse_long_list(live, tags)
        for extent in inode.map.tree.extents:
            blocks = tags.tag_blocks(extent.physical, extent.length)
            self.writer.buffers.warm(
                block for block in blocks if not self._machine.sums.cache.missing([block])
            )

    def _refuse_long_list(self, live: LiveInode, tags: FileTags) -> None:
        """Raise ConfigError for a list of checksums that does not fit into a transaction, with a page."""
        sums, journal, sb = self.writer.sums, self.writer.journal, self.writer.sb
        if sums is None or journal is None or not tags.by_run:
            return
        needed = sums.credits(live) + (sb.write_credits(live) if sb.options.data == "journal" else 0)
        if needed + 1 > journal.limit:
            raise ConfigError(
                "checksums",
                f"the list of {tags.name} takes {needed} blocks, a transaction has {journal.limit}",
                "a larger volume.journal, longer runs, or a table",
            )

    def unlink(self, task: Task, file: VolumeFile, inode: LiveInode) -> Generator[Any, Any, None]:
        """unlink(2) of a file in the root, which nobody else writes."""
        name = file.path.removeprefix("/")
        if "/" in name:
            raise ConfigError("workload.job", f"unlinks {name}", "files in the root of the volume")
        names = self.names()
        del self._inodes[inode.number]
        self._made.pop(file.path, None)
        if self.writer.sums is not None:
            self.writer.sums.files.pop(inode.number, None)
        yield from names.unlink(task, name, inode)
        if self.bytes is not None:
            self.bytes.gone(file.path)

    def write(
        self, task: Task, inode: LiveInode, offset: int, length: int, data: bytes = b""
    ) -> Generator[Any, Any, None]:
        """write(2) of an open file."""
        upper = self._uppers.get(inode.number)
        if upper is None:
            return self.writer.write(task, inode, offset, length, data)
        return self._upper.write(task, upper, offset, length, data)

    def fsync(self, task: Task, inode: LiveInode, data_only: bool = False) -> Generator[Any, Any, None]:
        """fsync(2) of an open file, or fdatasync(2)."""
        upper = self._uppers.get(inode.number)
        if upper is None:
            return self.writer.sync.fsync(task, inode, data_only)
        return self._upper.fsync(task, upper, data_only)

    def write_out(self, in_place: bool = False) -> None:
        """
        Behind the measured part: bring all that was written to the disk, and look whether it is there.

        in_place: metadata, too, not only into the log. Raises InvariantError if the image is not sound then,
        or a file is another.
        """
        assert self.bytes is not None
        machine, writer = self._machine, self.writer
        if writer.journal is not None:
            writer.journal.open()
        machine.clock.process(self._sync(machine.cpu.task(0, "sync"), in_place))
        machine.clock.run()
        self.bytes.check()

    def _sync(self, task: Task, in_place: bool) -> Generator[Any, Any, None]:
        for inode in self._inodes.values():
            yield from self.writer.sync.fsync(task, inode)
        journal = self.writer.journal
        if journal is not None:
            yield from journal.complete(task, journal.next_tid - 1)
            if self.writer.sums is not None:
                yield from self.writer.sums.settled(task)
                yield from journal.complete(task, journal.next_tid - 1)
        if in_place:
            yield from self.writer.flusher.syncfs(task)
        self.writer.stop_timers()

    @property
    def now_ns(self) -> int:
        """When what a task calls now is seen by others: not later than the time that the task has come to."""
        return self._machine.clock.now

    def stamped(self, inode: LiveInode, offset: int, length: int) -> bytes:
        """Return what the next write(2) writes, where bytes are kept."""
        if self.bytes is None:
            return b""
        self.writes += 1
        return stamped(inode.number, offset, length, self.writes)

    def wrote(self, inode: LiveInode, call: WriteCall) -> None:
        """A write(2) has returned."""
        self._sharing.wrote.add(inode.number)
        if self._crash is not None:
            if call.offset % SECTOR_BYTES or call.length % SECTOR_BYTES:
                problem = f"writes {call.length} bytes at {call.offset}, with [crash]"
                raise ConfigError("workload.job", problem, "whole sectors of 512")
            self._histories[inode.number].writes.append(call)

    def synced(self, inode: LiveInode, began_ns: int, ended_ns: int) -> None:
        """An fsync(2) has returned."""
        self._histories[inode.number].syncs.append((began_ns, ended_ns))

    def crash_metrics(self, end_ns: int, seed: int) -> dict[str, Number]:
        """Cut the power as often as it is asked for; return what that came to."""
        if self._crash is None or self.bytes is None:
            return {}
        files = {path: (number, FileHistory()) for path, number in self._sharing.sharers().items()}
        for path, (_, live) in self.bytes.files.items():
            files[path] = live.number, self._histories[live.number]
        verdicts = crash_run(self._crash, self.bytes, files, end_ns, self._volatile, seed)
        return crash_metrics(verdicts, self._tags is not None)

    def shared_metrics(self) -> dict[str, Number]:
        """Return what copying on write came to; nothing on a volume that does not count who has a block."""
        return self._sharing.metrics(self._inodes.values())

    def began(self) -> None:
        """A job has begun to write."""
        self._jobs += 1

    def ended(self) -> None:
        """A job has ended: with the last one, timers do."""
        self._jobs -= 1
        if not self._jobs:
            self.writer.stop_timers()


def _options(said: Mount) -> MountOptions:
    """Return the options of a mount."""
    return MountOptions(
        said.data,
        said.delalloc,
        said.dioread_nolock,
        said.barrier,
        said.journal_async_commit,
        said.commit_ns,
    )


def _upper_of(machine: Machine, writer: Ext4Writer) -> EcryptfsUpper:
    """Return what writes the files of eCryptfs over a mounted ext4."""
    assert machine.spec.ecryptfs is not None
    parts = machine.clock, machine.ledger, machine.cache, machine.fs_filemap
    lower = writer.write, writer.sync.fsync
    return EcryptfsUpper(*parts, *lower, writer.sb.locks, machine.spec.ecryptfs.cipher)

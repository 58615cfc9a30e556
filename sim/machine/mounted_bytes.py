"""
The bytes of a volume that is mounted for writing: on its disk, in its log, in its files.

The image is not touched: what is written lies over it in memory.
"""

from __future__ import annotations

from typing import Final

from sim.block.bio import Bio
from sim.block.protocols import BioQueue
from sim.block.write_log import RecordedQueue, WrittenBio
from sim.engine.clock import Clock
from sim.errors import InvariantError
from sim.ext4.check.run import check_image
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import count_free, note_mounted, replay_journal
from sim.ext4.format.features import Incompat, RoCompat
from sim.ext4.format.journal import log_of
from sim.ext4.format.journal_blocks import LogCompat, LogFormat, LogIncompat
from sim.ext4.format.journal_super import LogSuperblock
from sim.ext4.read.free_runs import free_runs
from sim.ext4.read.reader import Image
from sim.fs.file_bytes import FileBytes
from sim.fs.fs_inode import FsInode
from sim.fs.jbd2.log_bytes import LogBytes
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.groups import Groups
from sim.fs.metadata_bytes import MetadataBytes
from sim.fs.write_out import Pending
from sim.machine.volume_files import VolumeFile, plain_contents
from sim.machine.writer import Ext4Writer
from sim.paths.writepages.page_io import DataBio
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped

DELETED: Final = (1 << 32) - 1
"""The number of the file that free blocks are of."""


class MountedBytes:
    """
    volume: the image, as it was. disk: what is on the disk now, which is where reads come from. base: what
    was on the disk when it was mounted, for power cuts.
    """

    def __init__(self, volume: Image, disk: OverlayStore, leftovers: bool = False) -> None:
        """leftovers: free blocks have what somebody has deleted, so that a file that shows it can be told."""
        self.volume = volume
        self.disk = disk
        note_mounted(disk)
        self.base = b""
        if leftovers:
            for first, count in free_runs(volume, uninitialised=True):
                at = first * volume.block_size
                disk.write(at, stamped(DELETED, at, count * volume.block_size, 0))
            self.base = bytes(disk.read(0, disk.size_bytes))
        self._metadata: MetadataBytes | None = None
        self._log: LogBytes | None = None
        self.log: list[WrittenBio] = []
        self._unwritten: dict[str, bytes] = {}
        self._gone: set[str] = set()
        self.files: dict[str, tuple[VolumeFile, LiveInode]] = {}

    def record(self, queue: BioQueue, clock: Clock) -> RecordedQueue:
        """Return a queue over `queue` that brings what is written to the disk."""
        recorded = RecordedQueue(queue, clock, self.contents, self.disk.write)
        self.log = recorded.log
        return recorded

    def attach(self, writer: Ext4Writer, groups: Groups, asynchronous: bool) -> None:
        """Have the bytes of all that a writer changes. asynchronous: mounted with journal_async_commit."""
        metadata = MetadataBytes(self.volume, groups, writer.inodes, writer.files.held)
        self._metadata = writer.sb.bytes = metadata
        journal = writer.journal
        if journal is not None:
            places, superblock = log_of(self.volume)
            superblock = mounted_log(superblock, self.volume, asynchronous)
            self._log = journal.bytes = LogBytes(superblock, places, metadata.block, metadata.epoch_s)

    def of(self, file: VolumeFile, inode: LiveInode) -> None:
        """Have the bytes of a file."""
        expected = bytearray(plain_contents(self.volume, file.on_disk, file.inode))
        decrypt = getattr(file.inode, "decrypt", None)
        inode.bytes = FileBytes(
            file.mapping, self.volume.block_size, self.disk, expected, file.encrypt, decrypt
        )
        self.files[file.path] = file, inode

    def made(self, file: VolumeFile, inode: LiveInode) -> None:
        """A file was made."""
        inode.bytes = FileBytes(file.mapping, self.volume.block_size, self.disk, bytearray())
        self.files[file.path] = file, inode
        self._gone.discard(file.path)

    def gone(self, path: str) -> None:
        """A file has lost its name."""
        del self.files[path]
        self._gone.add(path)

    def expected(self, file: VolumeFile) -> bytes | bytearray:
        """Return what a reader must find in a file now."""
        live = self.files.get(file.path)
        if live is not None and live[1].bytes is not None:
            return live[1].bytes.expected
        if file.path not in self._unwritten:
            self._unwritten[file.path] = plain_contents(self.volume, file.on_disk, file.inode)
        return self._unwritten[file.path]

    def contents(self, bio: Bio) -> bytes:
        """Return what a bio writes."""
        owner, size = bio.owner, self.volume.block_size
        if isinstance(owner, DataBio):
            found = owner.inode.bytes
            if found is None:
                raise InvariantError(f"the bytes of inode {owner.inode.number} are not kept")
            return b"".join([found.blocks(lblk, count) for lblk, count in bio.blocks])
        if isinstance(owner, Pending) and owner.contents is not None:
            return b"".join([data for _, data in owner.contents()])
        first, count = bio.sector * SECTOR_BYTES // size, bio.sectors * SECTOR_BYTES // size
        return b"".join([self._block(block) for block in range(first, first + count)])

    def _block(self, block: int) -> bytes:
        held = self._log.held(block) if self._log is not None else None
        if held is None and self._metadata is not None:
            held = self._metadata.block(block)
        if held is None:
            raise InvariantError(f"block {block} is written before anything is mounted")
        return held

    def check(self) -> None:
        """
        Raise InvariantError unless what is on the disk, its log replayed, is sound and has what was written.

        All must have been written out.
        """
        store = OverlayStore(self.disk)
        replay_journal(store, self.volume.name)
        count_free(store, self.volume.name)
        image = Image(store, self.volume.name)
        problems = check_image(image)
        if problems:
            raise InvariantError(f"the image that was written is not sound: {problems[0]}")
        left = self._gone & {path for path, _ in image.walk()}
        if left:
            raise InvariantError(f"{min(left)} was unlinked, and the image has it")
        for path, (_, inode) in self.files.items():
            found = self.read_back(image, path)
            assert inode.bytes is not None
            if found != inode.bytes.expected:
                problem = f"{len(found)} bytes on the disk, {len(inode.bytes.expected)} were written"
                pairs = zip(found, inode.bytes.expected, strict=False)
                at = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
                raise InvariantError(f"{path}: " + (problem if at is None else f"byte {at} is another"))

    def read_back(self, image: Image, path: str) -> bytes:
        """Return a file's plaintext as an image has it."""
        on_disk, decrypt = image.lookup(path), getattr(self.files[path][0].inode, "decrypt", None)
        inode = FsInode(on_disk.tree, on_disk.size_bytes, image.block_size, decrypt=decrypt)
        return plain_contents(image, on_disk, inode)


def mounted_log(superblock: LogSuperblock, volume: Image, asynchronous: bool) -> LogSuperblock:
    """
    Return a log's superblock with the features that mounting its file system sets (ext4_load_journal()).
    """
    sb = volume.superblock
    incompat, compat = LogIncompat.REVOKE, LogCompat(0)
    if sb.has(Incompat.BIT64):
        incompat |= LogIncompat.BIT64
    if sb.has(RoCompat.METADATA_CSUM):
        incompat |= LogIncompat.CSUM_V3
    elif asynchronous:
        compat |= LogCompat.CHECKSUM
    if asynchronous:
        incompat |= LogIncompat.ASYNC_COMMIT
    made = LogFormat(superblock.format.block_size, superblock.format.uuid, incompat, compat)
    return superblock.with_format(made)

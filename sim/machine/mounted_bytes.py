"""
The bytes of a volume that is mounted for writing: on its disk, in its log, in its files.

The image is not touched: what is written lies over it in memory. On dm-crypt the disk has ciphertext, and the
file system sees it decrypted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sim.block.bio import Bio
from sim.block.protocols import BioQueue
from sim.block.queue.submit import BlockQueue
from sim.block.write_log import RecordedQueue, WrittenBio
from sim.cache.page_runs import runs_of
from sim.crypto.dmcrypt import DmCrypt, DmCryptStore
from sim.crypto.ecryptfs import HEADER_BYTES, LowerHeader
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
from sim.ext4.store import ByteStore
from sim.fs.file_bytes import FileBytes
from sim.fs.fs_inode import FsInode
from sim.fs.jbd2.log_bytes import LogBytes
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.groups import Groups
from sim.fs.metadata_bytes import MetadataBytes
from sim.fs.write_out import Pending
from sim.integrity.extents import files_of
from sim.machine.checksums import VolumeTags
from sim.machine.volume_files import VolumeFile, ext4_side, plain_contents
from sim.machine.writer import Ext4Writer
from sim.paths.writepages.ends import DataBio
from sim.stack.crypt_bytes import CryptBytes
from sim.stack.dm_crypt import CryptTarget
from sim.stack.ecryptfs_upper import UpperFile
from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped

DELETED: Final = (1 << 32) - 1
"""The number of the file that free blocks are of."""


class MountedBytes:
    """
    volume: the image, as it was. disk: what is on the disk now, as the file system sees it, which is where
    reads come from. base: what was on the disk when it was mounted, for power cuts, as it lies there.
    """

    def __init__(
        self,
        volume: Image,
        raw: OverlayStore,
        leftovers: bool = False,
        sectors: DmCrypt | None = None,
        tags: VolumeTags | None = None,
    ) -> None:
        """
        raw: the disk. leftovers: free blocks have what somebody has deleted, so that a file that shows it can
        be told. sectors: how the disk is encrypted, if it is as a whole. tags: checksums of files' data.
        """
        self.volume = volume
        self.sums = tags
        self.disk: ByteStore = raw if sectors is None else DmCryptStore(raw, sectors, volume.name)
        self.base = b""
        self.raw = raw
        self._sectors = sectors
        self._plain_base = b""
        self.tags = None if tags is None else tags.written(self.disk)
        mounted = OverlayStore(self.disk)
        note_mounted(mounted)
        free = list(free_runs(volume, uninitialised=True)) if leftovers else []
        for first, count in free:
            at = first * volume.block_size
            mounted.write(at, stamped(DELETED, at, count * volume.block_size, 0))
        if self.tags is not None:
            self.tags.before(mounted, free)
        for at, data in mounted.changes():
            raw.write(at, data if sectors is None else sectors.encrypt(data, at // SECTOR_BYTES))
        if leftovers:
            self.base = bytes(raw.read(0, raw.size_bytes))
        self._metadata: MetadataBytes | None = None
        self._log: LogBytes | None = None
        self.log: list[WrittenBio] = []
        self._unwritten: dict[str, bytes] = {}
        self._gone: set[str] = set()
        self.files: dict[str, tuple[VolumeFile, LiveInode]] = {}
        self._uppers: dict[str, UpperFile] = {}

    def record(self, queue: BlockQueue, crypt: CryptTarget | None, clock: Clock) -> BioQueue:
        """
        Return the queue to write to, such that what the device gets is brought to the disk, and noted.

        queue: the device's. crypt: the target over it, if there is one.
        """
        held = None if self._sectors is None else CryptBytes(self._sectors, self.contents)
        contents = self.contents if held is None else held.of
        recorded = RecordedQueue(queue, clock, contents, self.raw.write)
        self.log = recorded.log
        if crypt is None or held is None:
            return recorded
        crypt.keep_bytes(held, recorded)
        return crypt

    def attach(self, writer: Ext4Writer, groups: Groups, asynchronous: bool) -> None:
        """Have the bytes of all that a writer changes. asynchronous: mounted with journal_async_commit."""
        metadata = MetadataBytes(self.volume, groups, writer.inodes, writer.files.held)
        self._metadata = writer.sb.bytes = metadata
        if writer.mapper.reflink is not None:
            metadata.counts = writer.mapper.reflink.counts
        metadata.tags = self.tags
        if writer.sums is not None:
            writer.sums.bytes = self.tags
        journal = writer.journal
        if journal is not None:
            places, superblock = log_of(self.volume)
            superblock = mounted_log(superblock, self.volume, asynchronous)
            self._log = journal.bytes = LogBytes(superblock, places, metadata.block, metadata.epoch_s)

    def of(self, file: VolumeFile, inode: LiveInode, upper: UpperFile | None) -> None:
        """Have the bytes of a file. upper: over it, on eCryptfs."""
        on_ext4, mapping = ext4_side(file)
        expected = bytearray(plain_contents(self.volume, file.on_disk, on_ext4))
        encrypt, decrypt = file.encrypt, on_ext4.decrypt
        sealed = None if self.sums is None else self.sums.sealed_now(inode)
        if sealed is not None:
            encrypt, decrypt = sealed.encrypt_blocks, sealed.decrypt_blocks_into
        inode.bytes = FileBytes(mapping, self.volume.block_size, self.disk, expected, encrypt, decrypt)
        self.files[file.path] = file, inode
        if self.sums is not None and self.tags is not None:
            kept = self.sums.list_of(file)
            if kept is not None:
                self.tags.lists[inode.number] = kept
        if upper is not None:
            upper.expected = bytearray(plain_contents(self.volume, file.on_disk, file.inode))
            self._uppers[file.path] = upper

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
        upper = self._uppers.get(file.path)
        if upper is not None:
            return upper.expected
        live = self.files.get(file.path)
        if live is not None and live[1].bytes is not None:
            return live[1].bytes.expected
        if file.path not in self._unwritten:
            self._unwritten[file.path] = plain_contents(self.volume, file.on_disk, file.inode)
        return self._unwritten[file.path]

    def contents(self, bio: Bio) -> bytes:
        """Return what a bio writes."""
        owner, size = bio.owner, self.volume.block_size
        first, count = bio.sector * SECTOR_BYTES // size, bio.sectors * SECTOR_BYTES // size
        if isinstance(owner, DataBio):
            found = owner.inode.bytes
            if found is None:
                raise InvariantError(f"the bytes of inode {owner.inode.number} are not kept")
            data = b"".join([found.blocks(lblk, count) for lblk, count in bio.blocks])
        elif isinstance(owner, Pending) and owner.contents is not None:
            data = b"".join([data for _, data in owner.contents()])
        else:
            return b"".join([self._block(block) for block in range(first, first + count)])
        if self.tags is not None:
            self.tags.submitted(first, data)
        return data

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
            _same(path, found, inode.bytes.expected)
            if path in self._uppers:
                _same(f"{path} on eCryptfs", self.decrypted(found, path), self._uppers[path].expected)
        self._check_tags(image)

    def _check_tags(self, image: Image) -> None:
        """Raise InvariantError unless all files have their checksums, but for what had not before."""
        if self.sums is None:
            return
        whole = self.sums.files(image)
        for path, on_disk in files_of(image):
            for first, count in whole.refused(on_disk):
                if self._had_no_checksum(path, first, count):
                    continue
                blocks = f"block {first}" if count == 1 else f"blocks {first} to {first + count - 1}"
                raise InvariantError(f"{path}: {blocks}: the checksum is of something else")

    def _had_no_checksum(self, path: str, first: int, count: int) -> bool:
        """Tell whether blocks of a file did not have their checksums when it was mounted."""
        if self.sums is None or not self.volume.is_file(path.lstrip("/")):
            return False
        refused = self.sums.files(self.volume).refused(self.volume.lookup(path))
        had_none = {at for begin, blocks in refused for at in range(begin, begin + blocks)}
        return had_none.issuperset(range(first, first + count))

    def after(self, written: Iterable[tuple[int, bytes]]) -> bytearray:
        """Return the disk as the file system sees it that has these bytes (offset, bytes) over `base`."""
        raw, changed = bytearray(self.base), list(written)
        for offset, data in changed:
            raw[offset : offset + len(data)] = data
        if self._sectors is None:
            return raw
        if not self._plain_base:
            self._plain_base = self._sectors.decrypt(self.base, 0)
        disk, size = bytearray(self._plain_base), self._sectors.sector_bytes
        touched = {
            at for offset, data in changed for at in range(offset // size, -(-(offset + len(data)) // size))
        }
        for first, end in runs_of(sorted(touched)):
            piece = raw[first * size : end * size]
            disk[first * size : end * size] = self._sectors.decrypt(piece, first * size // SECTOR_BYTES)
        return disk

    def read_back(self, image: Image, path: str) -> bytes:
        """
        Return a file as an image has it: in plaintext, but on eCryptfs the lower file; one that no job has
        opened as it lies there.
        """
        on_disk, opened = image.lookup(path), self.files.get(path)
        sealed = None if self.sums is None else self.sums.sealed_on(image, on_disk)
        decrypt = ext4_side(opened[0])[0].decrypt if opened is not None else None
        if sealed is not None:
            decrypt = sealed.decrypt_blocks_into
        inode = FsInode(on_disk.tree, on_disk.size_bytes, image.block_size, decrypt=decrypt)
        return plain_contents(image, on_disk, inode)

    def decrypted(self, lower: bytes, path: str) -> bytes:
        """Return the plaintext of a lower file of eCryptfs, of the size that its header says."""
        key = self._uppers[path].inode.key
        assert key is not None
        header = LowerHeader.parse(lower, path)
        return key.decrypt_extents(lower[HEADER_BYTES:], 0)[: header.size_bytes]


def _same(what: str, found: bytes, expected: bytes | bytearray) -> None:
    """Raise InvariantError, naming the first byte that differs, unless a file has what was written."""
    if found == expected:
        return
    at = next(
        (at for at, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), None
    )
    problem = f"{len(found)} bytes on the disk, {len(expected)} were written"
    raise InvariantError(f"{what}: " + (problem if at is None else f"byte {at} is another"))


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

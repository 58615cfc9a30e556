"""
Changing which blocks a file of an image has: new files, blocks behind the last byte, extents exchanged.

As sim.ext4.edit.editor for what is kept up and refused. Left out: a directory does not grow (a new name goes
where a block of the directory has room), and one with a hash tree takes no new name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sim.errors import ImageError
from sim.ext4.edit import inode_bytes
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.format import dirs
from sim.ext4.format import inode as inodes
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.ext4.format.features import Incompat
from sim.ext4.read.reader import Inode
from sim.units import SECTOR_BYTES

MOST_RUNS = 1000
"""Into which blocks of one file may be cut where there is no longer free run."""


class FileEditor(ImageEditor):
    """An editor that also makes files and maps blocks; all is written by `commit`."""

    def add_ro_compat(self, features: int, clear: int = 0) -> None:
        """Set feature bits that a reader may ignore and a writer may not; clear: take these away."""
        self._groups.add_features(0, ro_compat=features, clear=clear)
        self._reload()

    def settle(self) -> None:
        """Bring the superblock's free counts up to date, for whoever computes something over it."""
        self._groups.settle()
        self._reload()

    def write_block(self, block: int, data: bytes | bytearray) -> None:
        """Write a physical block; ImageError if `data` is not as long as one."""
        self._write_block(block, data)

    def take_blocks(self, count: int, place: str) -> list[tuple[int, int]]:
        """Take free blocks, in one run if there is one, as (first block, length); ImageError without room."""
        runs = self._groups.take_blocks(count, MOST_RUNS, place) if count else []
        self._reload()
        return runs

    def free_blocks(self, blocks: Iterable[int], *, zero: bool = True) -> None:
        """Give blocks back; zero: what lay in them is overwritten."""
        gone = list(blocks)
        if zero:
            self._zero_blocks(gone)
        self._groups.free_blocks(gone)
        self._reload()

    def add_file(self, path: str, size_bytes: int, mode: int, flags: int = 0) -> int:
        """
        Make a file in a directory that is there, with blocks for its bytes, of zeros; return its inode.

        Its times are those of the file system's making. Raises ImageError for a name that is there, a
        directory without room, an image of block maps.
        """
        folder, _slash, name = path.strip("/").rpartition("/")
        parent = self.image.lookup(folder)
        sb, size = self.image.superblock, self.image.block_size
        if not sb.has(Incompat.EXTENTS):
            raise ImageError(
                f"{self.path}: {path}", "needs extents", "a file system with the feature extents"
            )
        if any(shown == name for shown, _inode in self.image.children(parent)):
            raise ImageError(f"{self.path}: {path}", "is there already", "a new name")
        number = self._groups.take_inode(f"{self.path}: {path}")
        self._add_name(parent, dirs.DirEntry(number, name.encode(), self._type_code()))
        made_ns = sb.mkfs_time_s * 1_000_000_000
        raw = inodes.RawInode(
            mode=inodes.TYPE_REGULAR | mode,
            links=1,
            size_bytes=size_bytes,
            flags=inodes.FLAG_EXTENTS | flags,
            block=plan_tree([], size).encode([])[0],
            atime_ns=made_ns,
            ctime_ns=made_ns,
            mtime_ns=made_ns,
        )
        self._write_inode(number, bytearray(raw.encode().ljust(sb.inode_size, b"\0")[: sb.inode_size]))
        self._reload()
        self.set_extents(number, self.new_extents(0, -(-size_bytes // size), f"{self.path}: {path}"))
        return number

    def new_extents(self, logical: int, count: int, place: str) -> list[Extent]:
        """Take blocks for logical blocks of a file, and zero them; return them as extents."""
        extents = []
        for start, length in self.take_blocks(count, place):
            self._zero_blocks(range(start, start + length))
            extents.append(Extent(logical, start, length, False))
            logical += length
        return extents

    def set_extents(self, number: int, extents: Sequence[Extent], size_bytes: int | None = None) -> None:
        """
        Map a file's blocks anew; size_bytes: its new length, None for the one it has.

        Takes and gives back blocks of the tree; of the data the caller does. Raises ImageError for a file
        mapped by block maps.
        """
        inode = self._changeable(number)
        if not inode.flags & inodes.FLAG_EXTENTS:
            raise ImageError(inode.place, "is mapped by indirect blocks", "a file mapped by extents")
        size, old_tree = self.image.block_size, inode.tree.blocks
        had = sum(extent.length for extent in inode.tree.extents) + len(old_tree)
        if old_tree:
            self.free_blocks(old_tree)
        plan = plan_tree(normalise(extents), size)
        taken = self._groups.take_blocks(plan.blocks_needed, MOST_RUNS, inode.place) if plan.levels else []
        root, blocks = plan.encode([start + index for start, length in taken for index in range(length)])
        raw = bytearray(inode.raw_bytes)
        for block, data in blocks.items():
            node = bytearray(data)
            self._checksums.extent_block(node, inode.raw_bytes, number)
            self._write_block(block, node)
        inode_bytes.set_root(raw, root)
        has = sum(extent.length for extent in plan.extents) + len(blocks)
        inode_bytes.add_sectors(raw, (has - had) * (size // SECTOR_BYTES))
        if size_bytes is not None:
            inode_bytes.set_size(raw, size_bytes)
        self._write_inode(number, raw)
        self._reload()

    def _type_code(self) -> int:
        has_types = self.image.superblock.has(Incompat.FILETYPE)
        return inodes.DIRENT_TYPES[inodes.TYPE_REGULAR] if has_types else 0

    def _add_name(self, parent: Inode, entry: dirs.DirEntry) -> None:
        place = f"{self.path}: {entry.name.decode(errors='replace')}"
        if parent.flags & inodes.FLAG_INDEXED_DIRECTORY:
            raise ImageError(place, "its directory has a hash tree", "a directory of one block")
        for _logical, length, physical in self.image.runs(parent):
            assert physical is not None, "entries() has read it"
            for block in range(physical, physical + length):
                data = bytearray(self.image.read_block(block))
                if dirs.add_entry(data, entry):
                    self._checksums.directory_block(data, parent.raw_bytes, parent.number)
                    self._write_block(block, data)
                    self._reload()
                    return
        raise ImageError(place, "its directory has no room for a name", "a directory with room in a block")

"""
Changing an image that is there: xattrs, contents in place, names taken away. No key is needed for any of it.

All changes are made on an overlay and judged by `check_image` before a byte of the image is touched.
Checksums (metadata_csum) and counts are kept, so that `e2fsck -fn` finds nothing. Freed xattr blocks and
ea_inodes are zeroed, as they may hold keys. Times are not set: there is no clock here.

Left out, refused by name: what sim.ext4.edit.changeable lists; taking away files mapped by indirect blocks;
inodes that count in blocks (huge_file). Directories cannot be removed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sim.errors import ConfigError, ImageError
from sim.ext4.edit import inode_bytes
from sim.ext4.edit.changeable import refuse_unchangeable, refuse_unsound
from sim.ext4.edit.commit import commit_aside, commit_in_place, zero_ranges
from sim.ext4.edit.groups import Groups
from sim.ext4.edit.overlay import Changes, OverlayState, OverlayStore
from sim.ext4.edit.scrub import journal_log_runs, journal_runs, wipe_range, words_of
from sim.ext4.format import dirs, xattr
from sim.ext4.format import inode as inodes
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.extents import ROOT_ENTRIES, Extent, plan_tree
from sim.ext4.format.features import Incompat
from sim.ext4.read.reader import Image, Inode, shown_name
from sim.ext4.store import MmapStore
from sim.units import SECTOR_BYTES

_REFERENCES_AT = 4


class ImageEditor:
    """
    An image and the changes made to it so far; `commit` writes them.

    Raises ImageError for an image that is not sound, uses what is not kept up here, or has no room.
    """

    def __init__(self, path: Path, kept_up: int = 0) -> None:
        self.path = path
        self._file = path.resolve()  # what a link leads to is changed, not the link
        below = MmapStore(self._file)
        self._as_read = below.identity
        self._store = OverlayStore(below)
        self._whole_only = False
        self._scrubbed: list[tuple[int, int]] = []
        self.image = Image(self._store, str(path))
        refuse_unchangeable(self.image.superblock, str(path), kept_up)
        refuse_unsound(self.image, str(path))
        self._checksums = Checksums(self.image.superblock)
        self._groups = Groups(self.image, self._store, self._checksums)

    def _reload(self) -> None:
        self.image = Image(self._store, str(self.path))

    def commit(self, in_place: bool = False) -> int:
        """
        Judge the changed image, then write it aside and rename it, or write into it; return bytes changed.

        in_place: what was overwritten is gone from this file (see sim.ext4.edit.commit for both). A crash
        leaves the old state, the new one, or one that e2fsck makes one of them without loss. Raises
        ImageError, also if the image is not the one that was read any more.
        """
        changes = self.changes()
        if in_place and not self._whole_only:
            commit_in_place(self._file, self._store.stages(), as_read=self._as_read)
            if self._scrubbed:
                zero_ranges(self._file, self._scrubbed)
        elif changes or self._scrubbed:
            commit_aside(self._file, changes, as_read=self._as_read, without=self._scrubbed, clobber=in_place)
        return sum(len(data) for _offset, data in changes)

    def changes(self) -> Changes:
        """Judge the changed image; return (byte offset, bytes) of all that is not as it was, in pages."""
        self._groups.settle()
        self._reload()
        refuse_unsound(self.image, str(self.path))
        return self._store.changes()

    # -- inodes --------------------------------------------------------------------------------------

    def _write_inode(self, number: int, raw: bytearray) -> None:
        sb = self.image.superblock
        group, index = divmod(number - 1, sb.inodes_per_group)
        self._checksums.inode(raw, number)
        at = self.image.group(group).inode_table * sb.block_size + index * sb.inode_size
        self._store.write(at, raw)

    def add_features(self, incompat: int) -> None:
        """Set feature bits of the file system."""
        self._groups.add_features(incompat)
        self._reload()

    def set_flags(self, number: int, flags: int) -> None:
        """Set flag bits of an inode."""
        raw = bytearray(self.image.inode(number).raw_bytes)
        inode_bytes.add_flags(raw, flags)
        self._write_inode(number, raw)
        self._reload()

    def scrub(self) -> int:
        """
        Have `commit` zero the free blocks and the journal's log; return how many bytes those are.

        Blocks that this change frees are among them. For an image that needs no recovery.
        """
        size = self.image.block_size
        runs = journal_log_runs(self.image) + self._groups.free_runs(uninitialised=True)
        self._scrubbed = [(first * size, length * size) for first, length in sorted(runs)]
        return sum(length for _first, length in self._scrubbed)

    def rewrite_contents(self, number: int, transform: Callable[[int, bytes], bytes]) -> int:
        """Replace every written block of a file by transform(logical block, bytes); return how many."""
        count = 0
        inode = self.image.inode(number)
        for logical, length, physical in self.image.runs(inode):
            if physical is None:
                continue
            for index in range(length):
                block = bytes(self.image.read_block(physical + index, inode.place))
                self._write_block(physical + index, transform(logical + index, block))
                count += 1
        return count

    def _write_block(self, block: int, data: bytes | bytearray) -> None:
        if len(data) != self.image.block_size:
            raise ImageError(
                str(self.path), f"{len(data)} bytes for block {block}", f"{self.image.block_size}"
            )
        self._store.write(block * self.image.block_size, data)

    def _zero_blocks(self, blocks: Iterable[int]) -> None:
        zeros = bytes(self.image.block_size)
        for block in blocks:
            self._write_block(block, zeros)

    # -- xattrs --------------------------------------------------------------------------------------

    def set_xattrs(self, number: int, xattrs: Mapping[xattr.XattrKey, bytes]) -> None:
        """
        Give an inode these xattrs, and no others: in the inode, in a block, or the largest in ea_inodes.

        They are written over the old ones, as a kernel does under a journal. Raises ImageError if the names
        alone do not fit, or there is no room in the image.
        """
        inode = self._changeable(number)
        self._drop_values(inode)
        raw, block = self._with_body(inode, xattrs)
        self._write_xattr_block(inode, raw, block)
        self._write_inode(number, raw)
        self._reload()

    def exchange_xattrs(self, number: int, xattrs: Mapping[xattr.XattrKey, bytes]) -> None:
        """
        Do the same in three stages, of which each is to be on the disk before the next one begins.

        First the new values are written where nothing lies, then the inode is made to lead to them, which is
        one sector, then the old ones are zeroed and their room is given back. Where that cannot be (an inode
        of more than a sector, no room for both), `commit` writes the whole image aside.
        """
        inode, before = self._changeable(number), self._state()
        try:
            raw, block = self._with_body(inode, xattrs)
            self._write_xattr_block(inode, raw, block, fresh=True)
            self._checksums.inode(raw, number)
            start = (number - 1) % self.image.superblock.inodes_per_group * len(raw)
            if not inode_bytes.in_one_sector(start, inode.raw_bytes, raw):
                raise ImageError(inode.place, "changes in two sectors", "an inode of at most 512 bytes")
        except ImageError:
            self._take_back(before)
            self.set_xattrs(number, xattrs)
            self._whole_only = True
            return
        self._store.mark()
        self._write_inode(number, raw)
        self._store.mark()
        self._reload()
        self._drop_values(inode)
        if inode.raw.xattr_block:
            self._drop_xattr_block(inode.raw.xattr_block)
        self._reload()

    def clobber_xattrs(self, number: int, xattrs: Mapping[xattr.XattrKey, bytes]) -> None:
        """
        Do the same for values that are to be gone, over the old ones where that takes one page.

        A page that is torn leaves an xattr block that e2fsck clears: then all of them are gone.
        """
        before = self._state()
        self._store.mark()
        self.set_xattrs(number, xattrs)
        if self._store.fresh_pages > 1:
            self._take_back(before)
            self.exchange_xattrs(number, xattrs)

    def _state(self) -> tuple[OverlayState, tuple[int, int]]:
        return self._store.state(), self._groups.more

    def _take_back(self, state: tuple[OverlayState, tuple[int, int]]) -> None:
        """Undo what was changed since `_state` gave this."""
        written, self._groups.more = state
        self._store.restore(written)
        self._reload()

    def _changeable(self, number: int) -> Inode:
        inode = self.image.inode(number)
        if inode.flags & inodes.FLAG_HUGE_FILE:
            raise ImageError(inode.place, "counts its blocks in blocks (huge_file)", "an inode that does not")
        return inode

    def _with_body(
        self, inode: Inode, xattrs: Mapping[xattr.XattrKey, bytes]
    ) -> tuple[bytearray, dict[xattr.XattrKey, xattr.Value]]:
        """
        Return an inode's bytes with what of its new xattrs goes there, and what goes into a block.

        Values in inodes of their own are written, and counted as the owner's in its sectors.
        """
        raw = bytearray(inode.raw_bytes)
        fields = inodes.GOOD_OLD_BYTES + inode.raw.extra_isize
        room = max(len(raw) - fields, 0)
        body, block = self._place_values(inode, xattrs, room)
        if room:
            raw[fields:] = xattr.encode_body(body, room)
        large = [value for value in [*body.values(), *block.values()] if isinstance(value, xattr.EaValue)]
        size = self.image.block_size
        more = sum(-(-value.size // size) for value in large)
        more -= sum(-(-length // size) for _number, length in inode.ea_values)
        inode_bytes.add_sectors(raw, more * (size // SECTOR_BYTES))
        return raw, block

    def _place_values(
        self, inode: Inode, xattrs: Mapping[xattr.XattrKey, bytes], room: int
    ) -> tuple[dict[xattr.XattrKey, xattr.Value], dict[xattr.XattrKey, xattr.Value]]:
        """Return what goes into the inode and what into the block; ea_inodes are made as needed."""
        try:
            body, block, large = xattr.place_values(inode.place, xattrs, room, self.image.block_size)
        except ConfigError as error:
            raise ImageError(error.place, error.problem, error.allowed) from None
        for key in large:
            (body if key in body else block)[key] = self._make_ea_inode(inode, xattrs[key])
        return body, block

    def _make_ea_inode(self, owner: Inode, value: bytes) -> xattr.EaValue:
        if not self.image.superblock.incompat & Incompat.EXTENTS:
            raise ImageError(
                owner.place,
                f"an xattr of {len(value)} bytes needs an inode of its own, mapped by extents",
                "a file system with the feature extents, or less in the xattr",
            )
        size = self.image.block_size
        count = -(-len(value) // size)
        self._groups.add_features(int(Incompat.EA_INODE))
        number = self._groups.take_inode(owner.place)
        runs = self._groups.take_blocks(count, ROOT_ENTRIES, owner.place)
        extents, logical = [], 0
        for start, length in runs:
            extents.append(Extent(logical, start, length, False))
            piece = value[logical * size : (logical + length) * size].ljust(length * size, b"\0")
            self._store.write(start * size, piece)
            logical += length
        root, _blocks = plan_tree(extents, size).encode([])
        digest = crc32c(self._checksums.seed, value)
        sectors = count * size // SECTOR_BYTES
        fresh = inodes.ea_inode(len(value), digest, sectors, root, owner.raw.uid, owner.raw.gid)
        inode_size = self.image.superblock.inode_size
        self._write_inode(number, bytearray(fresh.ljust(inode_size, b"\0")[:inode_size]))
        return xattr.EaValue(number, len(value), digest)

    def _drop_values(self, inode: Inode, zero: bool = True) -> None:
        for number, _size in inode.ea_values:
            self._drop_ea_inode(number, zero)
            self._reload()

    def _drop_ea_inode(self, number: int, zero: bool) -> None:
        """Take one reference from an ea_inode, and free it with the last."""
        inode = self.image.inode(number)
        references = inode.ea_references - 1
        if references > 0:
            raw = bytearray(inode.raw_bytes)
            inode_bytes.set_ea_references(raw, references)
            self._write_inode(number, raw)
            return
        blocks = inode.own_blocks
        if zero:
            self._zero_blocks(blocks)
        self._groups.free_blocks(blocks)
        self._write_inode(number, self._gone(inode, zero))
        self._groups.free_inode(number)

    def _write_xattr_block(
        self, inode: Inode, raw: bytearray, values: dict[xattr.XattrKey, xattr.Value], fresh: bool = False
    ) -> None:
        """
        Write, make or free the xattr block of an inode, and note it in the inode's bytes.

        fresh: into a new block; the old one is left as it is.
        """
        old, size = inode.raw.xattr_block, self.image.block_size
        new = 0 if fresh else old
        if not fresh and old and (not values or self._shared(old)):
            self._drop_xattr_block(old)
            new = 0
        if values and not new:
            new = self._groups.take_blocks(1, 1, inode.place)[0][0]
        if values:
            data = bytearray(xattr.encode_block(values, size))
            self._checksums.xattr_block(data, new)
            self._write_block(new, data)
        inode_bytes.set_xattr_block(raw, new)
        inode_bytes.add_sectors(raw, (bool(new) - bool(old)) * (size // SECTOR_BYTES))

    def _shared(self, block: int) -> bool:
        return xattr.block_references(self.image.read_block(block)) > 1

    def _drop_xattr_block(self, block: int, zero: bool = True) -> None:
        """Take one reference from an xattr block, and free it with the last."""
        data = bytearray(self.image.read_block(block))
        references = xattr.block_references(data) - 1
        if references > 0:
            struct.pack_into("<I", data, _REFERENCES_AT, references)
            self._checksums.xattr_block(data, block)
            self._write_block(block, data)
            return
        if zero:
            self._zero_blocks([block])
        self._groups.free_blocks([block])

    # -- names ---------------------------------------------------------------------------------------

    def remove(self, path: str, as_kernel: bool = False) -> int:
        """
        Take a name away, and with the last one the file; return how many blocks that frees. Needs no key.

        as_kernel: as unlink(2) leaves it: what held xattrs is freed and not zeroed, and the inode keeps those
        that lay in it. Raises ImageError for a directory and for a path that is not there.
        """
        folder, _slash, shown = path.strip("/").rpartition("/")
        parent, inode = self.image.lookup(folder), self.image.lookup(path)
        if inode.is_directory:
            raise ImageError(f"{self.path}: {path}", "is a directory", "a file")
        blocks = inode.own_blocks
        if not shown or not self._drop_name(parent, shown):
            raise ImageError(f"{self.path}: {path}", "is not a name in its directory", "a path in the image")
        self._store.mark()  # a file without a name is what e2fsck can mend; one without blocks is not
        if inode.raw.links > 1:
            raw = bytearray(inode.raw_bytes)
            inode_bytes.set_links(raw, inode.raw.links - 1)
            self._write_inode(inode.number, raw)
            self._reload()
            return 0
        before = sum(length for _start, length in self._groups.free_runs())
        self._write_inode(inode.number, self._gone(inode, zero=not as_kernel))
        self._drop_values(inode, zero=not as_kernel)
        if inode.raw.xattr_block:
            self._drop_xattr_block(inode.raw.xattr_block, zero=not as_kernel)
        self._groups.free_blocks(blocks)
        self._groups.free_inode(inode.number)
        self._reload()
        return sum(length for _start, length in self._groups.free_runs()) - before

    def _gone(self, inode: Inode, zero: bool) -> bytearray:
        """Return the bytes of an inode that is deleted: zeros, or what the kernel leaves."""
        if zero:
            return bytearray(len(inode.raw_bytes))
        return inode_bytes.deleted(inode.raw_bytes, self.image.block_size, self.image.superblock.mkfs_time_s)

    def _drop_name(self, parent: Inode, shown: str) -> bool:
        for _number, name, _type in self.image.entries(parent):
            if shown_name(name, parent.is_encrypted) != shown:
                continue
            for logical, length, physical in self.image.runs(parent):
                assert physical is not None, f"entries() has read block {logical}"
                for block in range(physical, physical + length):
                    data = bytearray(self.image.read_block(block))
                    if dirs.drop_entry(data, name):
                        self._checksums.directory_block(data, parent.raw_bytes, parent.number)
                        self._write_block(block, data)
                        return True
        return False

    # -- secrets -------------------------------------------------------------------------------------

    def wipe_copies(self, secrets: Iterable[bytes], free_space: bool = False) -> int:
        """
        Zero what is left of some secrets in the journal; return how many bytes that were.

        free_space: look into the free blocks too, which takes as long as reading the image. The journal of an
        image that needs no recovery is not read again.
        """
        runs = journal_runs(self.image) + (self._groups.free_runs() if free_space else [])
        words, size = words_of(secrets), self.image.block_size
        return sum(wipe_range(self._store, at * size, length * size, words) for at, length in runs)

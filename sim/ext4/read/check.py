"""
Walking a whole image and telling everything that is wrong with it.

Less thorough than e2fsck (no checksums, no hash trees, no blocks that are marked used and are not), but it
judges what the simulator relies on: every tree, every block's owner, bitmaps and counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from sim.errors import ImageError
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.inode import (
    DIRENT_TYPES,
    FLAG_EXTENTS,
    FLAG_HUGE_FILE,
    LOST_AND_FOUND_INODE,
    ROOT_INODE,
    TYPE_WORDS,
)
from sim.ext4.format.superblock import GroupDescriptor
from sim.ext4.read.reader import Image, Inode
from sim.units import SECTOR_BYTES

MAX_PROBLEMS = 1000
"""A wrecked image is not told about for ever."""

_STATE_CLEAN = 0x1
_STATE_ERRORS = 0x2
_JOURNAL_INODE = 8


class _Check:
    def __init__(self, image: Image) -> None:
        self.image = image
        self.problems: list[str] = []
        self.owner = np.zeros(image.blocks_count, dtype=np.uint32)
        self.groups: list[GroupDescriptor] = []
        self.links: dict[int, int] = {}
        self.ea_references: dict[int, int] = {}
        self.rescued: set[int] = set()
        """ea_inodes that nothing refers to, which e2fsck has put in lost+found after a crash."""

    def say(self, place: str, problem: str) -> None:
        self.problems.append(f"{place}: {problem}")
        if len(self.problems) >= MAX_PROBLEMS:
            raise _EnoughError

    def tried(self, action: Callable[[], object]) -> bool:
        """Do what may find damage; return whether it went well."""
        try:
            action()
        except ImageError as error:
            self.say(error.place, error.problem)
            return False
        return True

    def claim(self, start: int, length: int, owner: int, place: str) -> None:
        """Note that blocks belong to inode `owner`, or to the file system itself (-1)."""
        part = self.owner[start : start + length]
        if part.any():
            taken = np.flatnonzero(part)
            self.say(place, f"block {start + int(taken[0])} has another owner ({len(taken)} such blocks)")
        part[:] = owner & 0xFFFF_FFFF

    # -- groups --------------------------------------------------------------------------------------

    def superblock(self) -> None:
        sb = self.image.superblock
        if not sb.state & _STATE_CLEAN:
            self.say(self.image.name, "was not unmounted cleanly")
        if sb.state & _STATE_ERRORS:
            self.say(self.image.name, "the kernel has marked it as damaged")

    def all_groups(self) -> None:
        sb = self.image.superblock
        for number in range(sb.groups_count):
            if sb.has_backup(number):
                start = sb.group_blocks(number).start
                length = min(1 + sb.descriptor_blocks, len(sb.group_blocks(number)))
                self.claim(start, length, -1, f"group {number}: superblock and descriptors")
        for number in range(sb.groups_count):
            group = self.image.group(number)  # damage here leaves nothing to walk
            self.groups.append(group)
            self.claim(group.block_bitmap, 1, -1, f"group {number}: block bitmap")
            self.claim(group.inode_bitmap, 1, -1, f"group {number}: inode bitmap")
            self.claim(group.inode_table, sb.inode_table_blocks, -1, f"group {number}: inode table")

    def bits(self, block: int, count: int) -> npt.NDArray[np.uint8]:
        raw = np.frombuffer(self.image.read_block(block), dtype=np.uint8)
        return np.unpackbits(raw, count=count, bitorder="little")

    def counters(self) -> None:
        """Compare bitmaps with what was claimed, and with the free counts."""
        sb = self.image.superblock
        free_blocks = free_inodes = 0
        for number, group in enumerate(self.groups):
            place = f"group {number}"
            free_blocks += group.free_blocks
            free_inodes += group.free_inodes
            blocks = sb.group_blocks(number)
            if not group.flags & GroupDescriptor.BLOCK_UNINIT:
                used = self.bits(group.block_bitmap, len(blocks))
                lost = np.flatnonzero((self.owner[blocks.start : blocks.stop] != 0) & (used == 0))
                if len(lost):
                    self.say(
                        place,
                        f"{len(lost)} blocks in use are marked free, from {blocks.start + int(lost[0])}",
                    )
                self.compare(place, "free blocks", group.free_blocks, len(blocks) - int(used.sum()))
            if not group.flags & GroupDescriptor.INODE_UNINIT:
                used = self.bits(group.inode_bitmap, sb.inodes_per_group)
                self.compare(place, "free inodes", group.free_inodes, len(used) - int(used.sum()))
        self.compare("superblock", "free blocks", sb.free_blocks_count, free_blocks & 0xFFFF_FFFF)
        self.compare("superblock", "free inodes", sb.free_inodes_count, free_inodes)

    def compare(self, place: str, what: str, said: int, counted: int) -> None:
        if said != counted:
            self.say(place, f"{said} {what} are recorded, {counted} counted")

    # -- inodes --------------------------------------------------------------------------------------

    def used_inodes(self) -> Iterator[int]:
        """Yield the inodes marked in use, without the reserved ones that have no name."""
        sb = self.image.superblock
        for number, group in enumerate(self.groups):
            if group.flags & GroupDescriptor.INODE_UNINIT:
                continue
            used = np.flatnonzero(self.bits(group.inode_bitmap, sb.inodes_per_group))
            for inode in (used + number * sb.inodes_per_group + 1).tolist():
                if inode == ROOT_INODE or inode >= sb.first_inode:
                    yield inode

    def inode(self, number: int) -> None:
        inode = self.image.inode(number)
        place = f"inode {number}"
        if inode.type not in TYPE_WORDS:
            self.say(place, f"the mode {inode.mode:#o} is of no known type")
            return
        self.tried(partial(self.xattrs, inode, place))
        if inode.has_contents:
            self.contents(inode, place)
        if inode.is_directory:
            self.tried(partial(self.directory, inode, place))
        self.tried(partial(self.ea_values, inode))

    def xattrs(self, inode: Inode, place: str) -> None:
        if inode.is_encrypted and inode.encryption_context is None:
            self.say(place, "is encrypted and has no encryption context")

    def ea_values(self, inode: Inode) -> None:
        for number, size in inode.ea_values:
            value = self.image.read_ea_value(number, size)
            if number not in self.ea_references and not self.hash_is_right(number, value):
                self.say(f"inode {number} (xattr value)", "the value's hash is wrong")
            self.ea_references[number] = self.ea_references.get(number, 0) + 1

    def hash_is_right(self, number: int, value: bytes) -> bool:
        return crc32c(self.image.checksum_seed, value) == self.image.inode(number).ea_hash

    def contents(self, inode: Inode, place: str) -> None:
        tree = inode.tree
        own = list(inode.indirect.nodes.values()) if inode.indirect is not None else tree.blocks
        taken = len(own)
        for extent in tree.extents:
            self.claim(extent.physical, extent.length, inode.number, place)
            taken += extent.length
            if extent.logical + extent.length > inode.blocks and not extent.unwritten:
                self.say(place, f"the extent at logical block {extent.logical} ends behind the last byte")
        for block in own:
            self.claim(block, 1, inode.number, f"{place}: extent tree")
        taken += bool(inode.raw.xattr_block)
        taken += self.ea_blocks(inode)
        if not inode.flags & FLAG_HUGE_FILE:
            sectors = taken * self.image.block_size // SECTOR_BYTES
            self.compare(place, "sectors", inode.raw.sectors, sectors)

    def ea_blocks(self, inode: Inode) -> int:
        """Return the blocks of xattr values in inodes of their own, which count as their owner's too."""
        try:
            return sum(-(-size // self.image.block_size) for _number, size in inode.ea_values)
        except ImageError:  # ea_values() tells it
            return 0

    def directory(self, directory: Inode, place: str) -> None:
        entries = self.image.entries(directory)
        if [entry.name for entry in entries[:2]] != [b".", b".."] or entries[0].inode != directory.number:
            self.say(place, 'does not start with "." and ".."')
        names = [entry.name for entry in entries]
        if len(set(names)) != len(names):
            self.say(place, "has a name twice")
        for number, name, kind in entries:
            self.links[number] = self.links.get(number, 0) + 1
            if directory.number == LOST_AND_FOUND_INODE and name == b"#%d" % number:
                self.rescued.add(number)
            if not self.tried(partial(self.image.inode, number)):
                continue
            target = self.image.inode(number)
            if not target.raw.links:
                self.say(place, f"the name {name!r} leads to inode {number}, which is not in use")
            elif kind and kind != DIRENT_TYPES.get(target.type, 0):
                self.say(
                    place, f"the name {name!r} has type code {kind}, inode {number} is a {target.type_word}"
                )

    def link_counts(self, used: Iterable[int]) -> None:
        for number in used:
            inode = self.image.inode(number)
            counted = self.links.get(number, 0)
            if inode.is_ea_inode and number not in self.rescued:
                place = f"inode {number} (xattr value)"
                self.compare(place, "links", inode.raw.links, 1)
                self.compare(place, "references", inode.ea_references, self.ea_references.get(number, 0))
            elif not counted and number >= LOST_AND_FOUND_INODE:
                self.say(f"inode {number}", "is in use and has no name")
            elif not (inode.is_directory and inode.raw.links == 1):  # 1: dir_nlink has stopped counting
                self.compare(f"inode {number}", "links", inode.raw.links, counted)

    def journal(self) -> None:
        number = self.image.superblock.journal_inode
        if number == _JOURNAL_INODE and self.image.inode(number).flags & FLAG_EXTENTS:
            self.contents(self.image.inode(number), f"inode {number} (journal)")

    def run(self) -> None:
        self.superblock()
        self.all_groups()
        self.tried(self.journal)
        used = list(self.used_inodes())
        good = [n for n in used if self.tried(partial(self.inode, n))]
        blocks = [n for n in good if self.image.inode(n).raw.xattr_block]
        shared = {self.image.inode(n).raw.xattr_block: n for n in blocks}  # several inodes may share one
        for block, number in shared.items():
            self.claim(block, 1, number, f"inode {number}: xattr block")
        self.link_counts(good)
        self.tried(self.loops)
        self.counters()

    def loops(self) -> None:
        for _step in self.image.walk():
            pass


class _EnoughError(Exception):
    """The list of problems is full."""


def check_image(image: Image) -> list[str]:
    """
    Return a line for each problem found, at most MAX_PROBLEMS; none for a sound image.

    Raises ImageError only if the group descriptors are unusable, as nothing can be walked then.
    """
    check = _Check(image)
    try:
        check.run()
    except _EnoughError:
        check.problems.append("and more")
    return check.problems

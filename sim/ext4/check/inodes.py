"""
Judging every inode of every table: what it is, what it maps, what it says of its size and its blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sim.ext4.check.claims import Claims
from sim.ext4.check.disk import INODE_UNINIT, Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.maps import Mapped, walk_extents, walk_map
from sim.ext4.check.sums import inode_seed, wrong_inodes
from sim.ext4.check.xattrs import Found, Xattrs
from sim.ext4.format import inode as inodes
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.xattr import ENCRYPTION_NAME, INDEX_ENCRYPTION

BAD_BLOCKS, BOOT_LOADER, RESIZE, JOURNAL = 1, 5, 7, 8
INLINE_KEY = (7, b"data")
"""system.data: what of an inline file does not fit in the inode's block field."""
INLINE_BYTES = 60

_FLAG_IMMUTABLE, _FLAG_APPEND, _FLAG_INDEX = 0x10, 0x20, 0x1000
_FLAG_IMAGIC, _FLAG_VERITY = 0x2000, 0x100000
_HURD = 1
_TABLE_BYTES = 1 << 20
_MAX_MAPPED = {0: 16843020, 1: 134480396, 2: 1074791436, 3: 8594130956}
"""Blocks that a block map can reach, by block size code: 12 + n + n^2 + n^3 for n pointers a block."""


@dataclass
class Seen:
    """An inode in use, as the later steps need it."""

    raw: bytes
    node: inodes.RawInode
    mapped: Mapped
    xattrs: Found
    bad: bool = False


@dataclass
class Tables:
    """All inodes in use, by number; unused: numbers that lie in parts of tables never written."""

    used: dict[int, Seen] = field(default_factory=dict)
    skipped: list[range] = field(default_factory=list)

    def was_skipped(self, number: int) -> bool:
        """Return whether an inode lies in a part of its table that the descriptor says is not in use."""
        return any(number in part for part in self.skipped)


class Inodes:
    """The walk over the tables."""

    def __init__(self, disk: Disk, findings: Findings, claims: Claims) -> None:
        self.disk = disk
        self.sb = disk.sb
        self.findings = findings
        self.claims = claims
        self.xattrs = Xattrs(disk, findings)
        self.tables = Tables()
        times = (self.sb["write_time"], self.sb["mount_time"], self.sb["mkfs_time"])
        # A clock that stood at 1970 makes times as small as inode numbers: then nothing follows from them.
        self.small_dtime = not any(0 < time < self.sb["inodes_count"] for time in times)

    def run(self) -> Tables:
        """Judge all inodes."""
        for first, table in self._parts():
            if self.disk.checksums:
                for number in wrong_inodes(self.disk, first, table).tolist():
                    self.findings.say(f"inode {number}", "the checksum is wrong")
            size = self.sb.inode_size
            rows = np.frombuffer(table, dtype=np.uint8).reshape(-1, size)
            for index in np.flatnonzero(rows.any(axis=1)).tolist():
                self._inode(first + index, bytes(table[index * size : (index + 1) * size]))
        self.xattrs.references()
        return self.tables

    def _parts(self) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (number of the first inode, inodes) of all parts of tables that may hold something."""
        per_group = self.sb["inodes_per_group"]
        for number, group in enumerate(self.disk.groups):
            first, count = number * per_group + 1, per_group
            if self.sb.group_checksums:
                count -= min(group.unused_inodes, per_group)
                if self.disk.flags(number) & INODE_UNINIT and number:
                    count = 0
                if number == 0 and count < self.sb.first_inode:
                    count = per_group  # the reserved inodes are always in use
            if count < per_group:
                self.tables.skipped.append(range(first + count, first + per_group))
            at = group.inode_table * self.disk.block_size
            end = group.inode_table + self.disk.inode_table_blocks
            if group.inode_table not in self.disk.blocks or end > self.disk.blocks.stop:
                continue  # told with the group
            step = max(_TABLE_BYTES // self.sb.inode_size, 1)
            for done in range(0, count, step):
                part = min(step, count - done)
                offset = at + done * self.sb.inode_size
                if offset + part * self.sb.inode_size > self.disk.store.size_bytes:
                    break  # the image is cut short, which is told
                yield first + done, self.disk.store.read(offset, part * self.sb.inode_size)

    # -- one inode -----------------------------------------------------------------------------------

    def _inode(self, number: int, raw: bytes) -> None:
        node = inodes.decode_inode(raw)
        place = f"inode {number}"
        reserved = number < self.sb.first_inode and number != inodes.ROOT_INODE
        special = number in self._special()
        if node.dtime_s and self.small_dtime and node.dtime_s < self.sb["inodes_count"]:
            self.findings.say(place, "is in the list of orphans")
        if not node.links and not reserved and not special:
            if node.mode and not node.dtime_s and number != inodes.ROOT_INODE:
                self.findings.say(place, "is deleted and has no time of deletion")
            return
        seen = Seen(raw, node, Mapped(), Found())
        self.tables.used[number] = seen
        if special:
            self._expect(place, node.type == inodes.TYPE_REGULAR, f"the mode is {node.mode:#o}, not a file's")
            self._blocks(number, seen, place)
        elif reserved:
            self._reserved(number, seen, place)
        else:
            self._ordinary(number, seen, place)

    def _special(self) -> set[int]:
        """Return the inodes that the superblock names."""
        sb = self.sb
        found = {sb["journal_inode"]} if sb.has(Compat.HAS_JOURNAL) else set()
        if sb["journal_inode"] == JOURNAL:
            found.add(JOURNAL)  # named, if not used
        if sb.has(RoCompat.QUOTA):
            found |= {sb["user_quota"], sb["group_quota"]}
        if sb.has(RoCompat.QUOTA) and sb.has(RoCompat.PROJECT):
            found.add(sb["project_quota"])
        if sb.has(Compat.ORPHAN_FILE):
            found.add(sb["orphan_file"])
        return found - {0}

    def _expect(self, place: str, holds: object, problem: str) -> None:
        if not holds:
            self.findings.say(place, problem)

    def _reserved(self, number: int, seen: Seen, place: str) -> None:
        node = seen.node
        if number == BAD_BLOCKS:
            wrong = node.mode or node.uid or node.gid or node.links or node.xattr_block
            self._expect(place, not wrong, "the list of bad blocks looks like a file")
            seen.mapped = walk_map(self.disk, node.block, lambda text: self.findings.say(place, text))
            self._claim(number, seen, place)
            return
        if number == RESIZE:
            self._expect(place, node.type in (0, inodes.TYPE_REGULAR), f"the mode is {node.mode:#o}")
            return  # see sim.ext4.check.resize
        if number == JOURNAL or number in (3, 4):
            clear = not node.links and not node.sectors and not any(node.block[:4])
            self._expect(place, clear, "is reserved, not used by any feature, and not clear")
        elif number == BOOT_LOADER:
            self._expect(place, not node.type == inodes.TYPE_DIRECTORY, "is reserved and a directory")
        else:
            self._expect(place, not node.mode, f"is reserved, and its mode is {node.mode:#o}")
        if node.links or node.sectors:
            self._blocks(number, seen, place)

    def _ordinary(self, number: int, seen: Seen, place: str) -> None:
        node = seen.node
        self._expect(place, not node.dtime_s, "is in use and has a time of deletion")
        self._words(seen, place)
        self._features(seen, place)
        kind = node.type
        if kind not in inodes.TYPE_WORDS:
            seen.bad = True
            self.findings.say(place, f"the mode {node.mode:#o} is of no known type")
        extra = node.extra_isize
        room = self.sb.inode_size - inodes.GOOD_OLD_BYTES
        if room and extra and (extra < 4 or extra > room or extra % 4):
            self.findings.say(place, f"the extra size is {extra}, not 4 to {room} in steps of 4")
        elif room:
            seen.xattrs = self.xattrs.body(seen.raw, inodes.GOOD_OLD_BYTES + extra, place)
        if kind not in (inodes.TYPE_DIRECTORY, inodes.TYPE_REGULAR, inodes.TYPE_SYMLINK, *()):
            self._device(seen, place)
        self._blocks(number, seen, place)
        if kind == inodes.TYPE_SYMLINK:
            self._symlink(seen, place)
        self._encryption(seen, place)

    def _words(self, seen: Seen, place: str) -> None:
        """Judge the words of an inode that must be zero."""
        raw, sb = seen.raw, self.sb
        (fragment,) = struct.unpack_from("<I", raw, 0x70)
        size_high = seen.node.size_bytes >> 32
        blocks_high, file_acl_high = struct.unpack_from("<2H", raw, 0x74)
        linux = sb["creator_os"] != _HURD
        wrong = [
            ("a fragment's address", bool(fragment)),
            ("high bits of a directory's size", self._is_directory(seen) and size_high and not sb.has(Incompat.LARGEDIR)),
            ("high bits of its xattr block", linux and file_acl_high and not self.disk.wide),
            ("high bits of its sectors", linux and blocks_high and not sb.has(RoCompat.HUGE_FILE)),
        ]
        for what, is_wrong in wrong:
            self._expect(place, not is_wrong, f"has {what}, which must be 0")

    def _features(self, seen: Seen, place: str) -> None:
        """Judge flags that need a feature, or exclude each other."""
        flags, sb = seen.node.flags, self.sb
        for flag, feature, word in (
            (inodes.FLAG_EXTENTS, Incompat.EXTENTS, "extents"),
            (inodes.FLAG_INLINE_DATA, Incompat.INLINE_DATA, "inline data"),
            (inodes.FLAG_CASEFOLD, Incompat.CASEFOLD, "casefold"),
            (_FLAG_IMAGIC, Compat.IMAGIC_INODES, "imagic"),
            (inodes.FLAG_EA_INODE, Incompat.EA_INODE, "xattr value"),
        ):
            if flags & flag and not sb.has(feature):
                self.findings.say(place, f"has the flag for {word}, the file system has not the feature")
        both = flags & inodes.FLAG_INLINE_DATA and flags & inodes.FLAG_EXTENTS
        self._expect(place, not both, "has inline data and extents")
        casefold = flags & inodes.FLAG_CASEFOLD and not self._is_directory(seen)
        self._expect(place, not casefold, "has the flag for casefold and is no directory")
        if not both and not flags & inodes.FLAG_EXTENTS and sb.has(Incompat.EXTENTS):
            kind = seen.node.type in (inodes.TYPE_REGULAR, inodes.TYPE_DIRECTORY)
            header = struct.unpack_from("<3H", seen.node.block)
            looks = header[0] == 0xF30A and header[1] <= header[2] <= 4 and header[2] >= 2
            inline = flags & inodes.FLAG_INLINE_DATA
            self._expect(place, inline or not (kind and looks), "has an extent tree and no flag for it")

    def _is_directory(self, seen: Seen) -> bool:
        return seen.node.type == inodes.TYPE_DIRECTORY

    def _device(self, seen: Seen, place: str) -> None:
        node = seen.node
        if node.flags & (inodes.FLAG_EXTENTS | _FLAG_INDEX | inodes.FLAG_INLINE_DATA):
            self.findings.say(place, "is a device, a pipe or a socket and has contents")
        elif node.flags & (_FLAG_IMMUTABLE | _FLAG_APPEND):
            self.findings.note(place, "is a device, a pipe or a socket and immutable or append-only")
        self._expect(place, not node.size_bytes, f"is a device, a pipe or a socket of {node.size_bytes} bytes")

    def _encryption(self, seen: Seen, place: str) -> None:
        if not seen.node.flags & inodes.FLAG_ENCRYPTED:
            return
        context = seen.xattrs.values.get((INDEX_ENCRYPTION, ENCRYPTION_NAME))
        if not self.sb.has(Incompat.ENCRYPT):
            self.findings.say(place, "has the flag for encryption, the file system has not the feature")
        if context is None:
            self.findings.say(place, "is encrypted and has no encryption context")
        elif context and context[0] in (1, 2):
            right = {1: 28, 2: 40}[context[0]]
            self._expect(place, len(context) == right, f"the encryption context has {len(context)} bytes, not {right}")

    # -- blocks --------------------------------------------------------------------------------------

    def _blocks(self, number: int, seen: Seen, place: str) -> None:
        """Walk what an inode maps, claim it, and hold size and sectors against it."""
        node = seen.node

        def say(text: str) -> None:
            self.findings.say(place, text)

        if node.xattr_block:
            self._xattr_block(number, seen, place)
        inline = node.flags & inodes.FLAG_INLINE_DATA and self.sb.has(Incompat.INLINE_DATA)
        if not inline and self._has_blocks(seen):
            if node.flags & inodes.FLAG_EXTENTS and self.sb.has(Incompat.EXTENTS):
                seed = inode_seed(self.disk, number, seen.raw) if self.disk.checksums else None
                seen.mapped = walk_extents(self.disk, node.block, say, self._is_directory(seen), seed)
            else:
                seen.mapped = walk_map(self.disk, node.block, say)
                if self.disk.ratio > 1 and seen.mapped.extents and number >= self.sb.first_inode:
                    say("has a block map, which bigalloc excludes")
            if seen.mapped.depth > 5:
                self.findings.note(place, f"the extent depth is {seen.mapped.depth}; a kernel takes 5 at most")
        self._claim(number, seen, place)
        self._size(number, seen, place)
        self._sectors(seen, place)

    def _has_blocks(self, seen: Seen) -> bool:
        node = seen.node
        if node.type == inodes.TYPE_SYMLINK:
            return not self.is_short(seen)
        return node.type in (0, inodes.TYPE_REGULAR, inodes.TYPE_DIRECTORY)

    def is_short(self, seen: Seen) -> bool:
        """Return whether a symlink's target lies in the inode: it is short, and has no block but for xattrs."""
        node = seen.node
        if node.flags & inodes.FLAG_EXTENTS:
            return False
        own = self.disk.block_size // 512 * self.disk.ratio if node.xattr_block else 0
        ea_blocks = sum(-(-size // self.disk.block_size) for _inode, size in seen.xattrs.ea_inodes)
        return node.size_bytes < INLINE_BYTES and node.sectors in (own, own + ea_blocks * self.disk.block_size // 512)

    def _xattr_block(self, number: int, seen: Seen, place: str) -> None:
        block = seen.node.xattr_block & (0xFFFF_FFFF_FFFF if self.disk.wide else 0xFFFF_FFFF)
        if not self.sb.has(Compat.EXT_ATTR):
            self.findings.say(place, "has an xattr block, the file system has not the feature")
        elif block not in self.disk.blocks:
            self.findings.say(place, f"xattr block: points at block {block}")
        else:
            if block not in self.xattrs.block_users:
                self.claims.add(block, 1, number, f"{place}: xattr block")
            found = self.xattrs.block(block, place)
            seen.xattrs.values.update(found.values)
            seen.xattrs.ea_inodes.extend(found.ea_inodes)

    def _claim(self, number: int, seen: Seen, place: str) -> None:
        for extent in seen.mapped.extents:
            self.claims.add(extent.physical, extent.length, number, place)
        for block in seen.mapped.own:
            self.claims.add(block, 1, number, f"{place}: extent tree")

    def _size(self, number: int, seen: Seen, place: str) -> None:
        node, size = seen.node, self.disk.block_size
        extents = seen.mapped.extents
        last = max((e.logical + e.length for e in extents), default=0)
        written = max((e.logical + e.length for e in extents if not e.unwritten), default=0)
        if node.flags & inodes.FLAG_INLINE_DATA:
            self._inline(number, seen, place)
        elif self._is_directory(seen):
            self._directory_size(seen, last, place)
        elif node.type == inodes.TYPE_REGULAR or number < self.sb.first_inode:
            over = written > 0 and node.size_bytes < (written - 1) * size and not node.flags & _FLAG_VERITY
            self._expect(place, not over, f"of {node.size_bytes} bytes has a block that ends behind the last byte")
            if node.flags & inodes.FLAG_EXTENTS:
                most = (1 << 32) * size - 1
            else:
                most = _MAX_MAPPED.get(self.sb["log_block_size"], 1 << 40) * size
            self._expect(place, node.size_bytes <= most, f"the size is {node.size_bytes} bytes, at most {most}")

    def _directory_size(self, seen: Seen, last: int, place: str) -> None:
        blocks, rest = divmod(seen.node.size_bytes, self.disk.block_size)
        spare = self.sb["prealloc_directory_blocks"]
        if not seen.mapped.extents and not seen.mapped.own:
            self.findings.say(place, "is a directory without blocks")
        elif rest or blocks > last or last - blocks > spare:
            self.findings.say(place, f"is a directory of {seen.node.size_bytes} bytes in {last} blocks")

    def _inline(self, number: int, seen: Seen, place: str) -> None:
        more = seen.xattrs.values.get(INLINE_KEY)
        if number < self.sb.first_inode and number != inodes.ROOT_INODE:
            return
        if more is None:
            self.findings.say(place, "has inline data and no xattr for it")
            return
        room = INLINE_BYTES + len(more)
        is_directory = self._is_directory(seen)
        text = f"of {seen.node.size_bytes} bytes has room for {room} inline"
        if is_directory:
            self._expect(place, seen.node.size_bytes == room, text)
        elif seen.node.size_bytes > room:
            self.findings.note(place, text)

    def _sectors(self, seen: Seen, place: str) -> None:
        if self.sb["creator_os"] == _HURD:
            return
        disk, node = self.disk, seen.node
        clusters = {
            block // disk.ratio
            for extent in seen.mapped.extents
            for block in range(extent.physical, extent.physical + extent.length, disk.ratio)
        } if disk.ratio > 1 else set()
        if disk.ratio > 1:
            for extent in seen.mapped.extents:
                clusters.add((extent.physical + extent.length - 1) // disk.ratio)
            taken = len(clusters | {block // disk.ratio for block in seen.mapped.own}) * disk.ratio
        else:
            taken = sum(extent.length for extent in seen.mapped.extents) + len(seen.mapped.own)
        if node.xattr_block and self.sb.has(Compat.EXT_ATTR):
            taken += disk.ratio
        taken += sum(-(-size // disk.block_size) for _inode, size in seen.xattrs.ea_inodes)
        huge = node.flags & inodes.FLAG_HUGE_FILE and self.sb.has(RoCompat.HUGE_FILE)
        counted = taken if huge else taken * disk.block_size // 512
        self.findings.compare(place, "sectors", node.sectors, counted)

    # -- symlinks ------------------------------------------------------------------------------------

    def _symlink(self, seen: Seen, place: str) -> None:
        node, disk = seen.node, self.disk
        if not node.size_bytes or node.size_bytes >> 32 or node.flags & _FLAG_INDEX:
            self.findings.say(place, f"is a symlink of {node.size_bytes} bytes")
            return
        if node.flags & inodes.FLAG_INLINE_DATA:
            room = INLINE_BYTES + len(seen.xattrs.values.get(INLINE_KEY, b""))
            wrong = node.flags & inodes.FLAG_EXTENTS or node.size_bytes != room
            self._expect(place, not wrong, f"is a symlink of {node.size_bytes} bytes, {room} lie inline")
            return
        if self.is_short(seen):
            raw: bytes | memoryview = node.block
        else:
            extents = seen.mapped.extents
            one = len(extents) == 1 and extents[0].logical == 0 and extents[0].length == 1
            if not one or seen.mapped.depth:
                self.findings.say(place, "is a symlink whose target is not in one block")
                return
            raw = disk.block(extents[0].physical)
        if node.flags & inodes.FLAG_ENCRYPTED:
            length = int.from_bytes(raw[:2], "little") + 2
        else:
            length = (bytes(raw) + b"\0").index(b"\0")
        wrong = length >= len(raw) or length != node.size_bytes
        self._expect(place, not wrong, f"is a symlink of {node.size_bytes} bytes with a target of {length}")

"""
Judging every inode of every table: what it is, what it maps, what it says of its size and its blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sim.ext4.check.claims import Claims
from sim.ext4.check.disk import HURD, JOURNAL_INODE, Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.maps import walk_extents, walk_map
from sim.ext4.check.seen import Seen, Tables
from sim.ext4.check.sizes import Sizes
from sim.ext4.check.sums import wrong_inodes
from sim.ext4.check.xattrs import Xattrs
from sim.ext4.format import inode as inodes
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.extents import MAX_DEPTH
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.xattr import ENCRYPTION_NAME, INDEX_ENCRYPTION

BAD_BLOCKS, USER_QUOTA, GROUP_QUOTA, BOOT_LOADER, RESIZE = 1, 3, 4, 5, 7
_TABLE_BYTES = 1 << 20


class Inodes:
    """The walk over the tables."""

    def __init__(self, disk: Disk, findings: Findings, claims: Claims) -> None:
        self.disk = disk
        self.sb = disk.sb
        self.findings = findings
        self.claims = claims
        self.xattrs = Xattrs(disk, findings)
        self.sizes = Sizes(disk, findings)
        self.tables = Tables()
        self._named = disk.named_inodes()
        times = (self.sb.write_time_s, self.sb.mount_time_s, self.sb.mkfs_time_s)
        # A clock that stood at 1970 makes times as small as inode numbers: then nothing follows from them.
        self._small_dtime = not any(0 < time < self.sb.inodes_count for time in times)

    def run(self) -> Tables:
        """Judge all inodes."""
        for first, table in self._parts():
            if self.disk.checksums.on:
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
        per_group = self.sb.inodes_per_group
        for number, group in enumerate(self.disk.groups):
            first, count = number * per_group + 1, per_group
            if self.sb.has_group_checksums:
                count -= min(group.unused_inodes, per_group)
                if self.disk.flags(number) & GroupDescriptor.INODE_UNINIT and number:
                    count = 0
                if number == 0 and count < self.sb.first_inode:
                    count = per_group  # the reserved inodes are always in use
            if count < per_group:
                self.tables.skipped.append(range(first + count, first + per_group))
            at = group.inode_table * self.disk.block_size
            end = group.inode_table + self.sb.inode_table_blocks
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
        if not self.disk.wide:  # the high bits mean nothing then
            node = replace(node, xattr_block=node.xattr_block & 0xFFFF_FFFF)
        if not self.sb.has(RoCompat.HUGE_FILE):
            node = replace(node, sectors=node.sectors & 0xFFFF_FFFF)
        place = f"inode {number}"
        reserved = number < self.sb.first_inode and number != inodes.ROOT_INODE
        named = number in self._named
        if node.dtime_s and self._small_dtime and node.dtime_s < self.sb.inodes_count:
            self.findings.say(place, "is in the list of orphans")
        if not node.links and not reserved and not named:
            if node.mode and not node.dtime_s and number != inodes.ROOT_INODE:
                self.findings.say(place, "is deleted and has no time of deletion")
            return
        seen = Seen(raw, node)
        self.tables.used[number] = seen
        if named:
            self.findings.expect(place, seen.is_regular, f"the mode is {node.mode:#o}, not a file's")
            self._blocks(number, seen, place)
        elif reserved:
            self._reserved(number, seen, place)
        else:
            self._ordinary(number, seen, place)

    def _reserved(self, number: int, seen: Seen, place: str) -> None:
        node = seen.node
        if number == BAD_BLOCKS:
            wrong = node.mode or node.uid & 0xFFFF or node.gid or node.links or node.xattr_block
            self.findings.expect(place, not wrong, "the list of bad blocks looks like a file")
            seen.mapped = walk_map(self.disk, node.block, lambda text: self.findings.say(place, text))
            self._claim(number, seen, place)
            return
        if number == RESIZE:
            self.findings.expect(place, node.type in (0, inodes.TYPE_REGULAR), f"the mode is {node.mode:#o}")
            self.sizes.limit(seen, place)
            if node.xattr_block:
                self._xattr_block(number, seen, place)
            return  # sim.ext4.check.resize looks at what it maps
        if number in (USER_QUOTA, GROUP_QUOTA, JOURNAL_INODE):
            clear = not node.links and not node.sectors & 0xFFFF_FFFF and not any(node.block[:4])
            self.findings.expect(place, clear, "is reserved, not used by any feature, and not clear")
            return
        if number == BOOT_LOADER:
            self.findings.expect(place, node.type != inodes.TYPE_DIRECTORY, "is reserved and a directory")
        else:
            self.findings.expect(place, not node.mode, f"is reserved, and its mode is {node.mode:#o}")
        self._blocks(number, seen, place)

    def _ordinary(self, number: int, seen: Seen, place: str) -> None:
        node = seen.node
        if number == self.sb.orphan_file:
            self.findings.say(place, "is named as orphan file, and the file system has not the feature")
        self.findings.expect(place, not node.dtime_s, "is in use and has a time of deletion")
        self._words(seen, place)
        self._features(seen, place)
        kind = node.type
        if kind not in inodes.TYPE_WORDS:
            self.findings.say(place, f"the mode {node.mode:#o} is of no known type")
        extra = node.extra_isize
        room = self.sb.inode_size - inodes.GOOD_OLD_BYTES
        if room and extra and (extra < 4 or extra > room or extra % 4):
            self.findings.say(place, f"the extra size is {extra}, not 4 to {room} in steps of 4")
        elif room:
            seen.xattrs = self.xattrs.body(seen.raw, inodes.GOOD_OLD_BYTES + extra, place)
        if kind not in (inodes.TYPE_DIRECTORY, inodes.TYPE_REGULAR, inodes.TYPE_SYMLINK):
            self._device(seen, place)
        self._blocks(number, seen, place)
        if kind == inodes.TYPE_SYMLINK:
            self.sizes.symlink(seen, place)
        self._encryption(seen, place)

    def _words(self, seen: Seen, place: str) -> None:
        """Judge the words of an inode that must be zero."""
        raw, sb = seen.raw, self.sb
        (fragment,) = struct.unpack_from("<I", raw, 0x70)
        size_high = seen.node.size_bytes >> 32
        blocks_high, file_acl_high = struct.unpack_from("<2H", raw, 0x74)
        linux = sb.creator_os != HURD
        wrong = [
            ("a fragment's address", bool(fragment)),
            (
                "high bits of a directory's size",
                seen.is_directory and size_high and not sb.has(Incompat.LARGEDIR),
            ),
            ("high bits of its xattr block", linux and file_acl_high and not self.disk.wide),
            ("high bits of its sectors", linux and blocks_high and not sb.has(RoCompat.HUGE_FILE)),
        ]
        for what, is_wrong in wrong:
            self.findings.expect(place, not is_wrong, f"has {what}, which must be 0")

    def _features(self, seen: Seen, place: str) -> None:
        """Judge flags that need a feature, or exclude each other."""
        flags, sb = seen.node.flags, self.sb
        for flag, feature, word in (
            (inodes.FLAG_EXTENTS, Incompat.EXTENTS, "extents"),
            (inodes.FLAG_INLINE_DATA, Incompat.INLINE_DATA, "inline data"),
            (inodes.FLAG_CASEFOLD, Incompat.CASEFOLD, "casefold"),
            (inodes.FLAG_IMAGIC, Compat.IMAGIC_INODES, "imagic"),
        ):
            if flags & flag and not sb.has(feature):
                self.findings.say(place, f"has the flag for {word}, the file system has not the feature")
        if flags & inodes.FLAG_EA_INODE and not sb.has(Incompat.EA_INODE):
            self.findings.note(place, "has the flag for an xattr value, the file system has not the feature")
        both = flags & inodes.FLAG_INLINE_DATA and flags & inodes.FLAG_EXTENTS
        self.findings.expect(place, not both, "has inline data and extents")
        casefold = flags & inodes.FLAG_CASEFOLD and not seen.is_directory
        self.findings.expect(place, not casefold, "has the flag for casefold and is no directory")
        if not both and not flags & inodes.FLAG_EXTENTS and sb.has(Incompat.EXTENTS):
            kind = seen.node.type in (inodes.TYPE_REGULAR, inodes.TYPE_DIRECTORY)
            header = struct.unpack_from("<3H", seen.node.block)
            looks = header[0] == 0xF30A and header[1] <= header[2] <= 4 and header[2] >= 2
            inline = flags & inodes.FLAG_INLINE_DATA
            self.findings.expect(
                place, inline or not (kind and looks), "has an extent tree and no flag for it"
            )

    def _device(self, seen: Seen, place: str) -> None:
        node = seen.node
        if node.flags & (inodes.FLAG_EXTENTS | inodes.FLAG_INDEXED_DIRECTORY | inodes.FLAG_INLINE_DATA):
            self.findings.say(place, "is a device, a pipe or a socket and has contents")
        elif node.flags & (inodes.FLAG_IMMUTABLE | inodes.FLAG_APPEND):
            self.findings.note(place, "is a device, a pipe or a socket and immutable or append-only")
        self.findings.expect(
            place, not node.size_bytes, f"is a device, a pipe or a socket of {node.size_bytes} bytes"
        )

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
            self.findings.expect(
                place, len(context) == right, f"the encryption context has {len(context)} bytes, not {right}"
            )

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
                sums = self.disk.checksums
                seed = sums.inode_seed(seen.raw, number) if sums.on else None
                seen.mapped = walk_extents(self.disk, node.block, say, seen.is_directory, seed)
            else:
                seen.mapped = walk_map(self.disk, node.block, say)
                if self.sb.cluster_blocks > 1 and seen.mapped.extents and number >= self.sb.first_inode:
                    say("has a block map, which bigalloc excludes")
            if seen.mapped.depth > MAX_DEPTH:
                self.findings.note(
                    place, f"the extent depth is {seen.mapped.depth}; a kernel takes {MAX_DEPTH} at most"
                )
        self._claim(number, seen, place)
        self.sizes.size(number, seen, place)
        self.sizes.sectors(seen, place)

    def _has_blocks(self, seen: Seen) -> bool:
        node = seen.node
        if node.type == inodes.TYPE_SYMLINK:
            return not self.sizes.is_short(seen)
        return node.type in (inodes.TYPE_REGULAR, inodes.TYPE_DIRECTORY)

    def _xattr_block(self, number: int, seen: Seen, place: str) -> None:
        block = seen.node.xattr_block
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

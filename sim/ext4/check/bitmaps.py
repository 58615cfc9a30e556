"""
Group descriptors and bitmaps: where they lie, and whether they and every count say what was found.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from sim.ext4.check.claims import FILE_SYSTEM, Claims
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Tables
from sim.ext4.check.sums import is_wrong
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.features import Incompat
from sim.ext4.format.inode import ROOT_INODE

Bits = npt.NDArray[np.bool_]
_UNINIT = GroupDescriptor.BLOCK_UNINIT | GroupDescriptor.INODE_UNINIT


def check_groups(disk: Disk, findings: Findings, claims: Claims) -> None:
    """Judge the descriptors, and claim what belongs to no inode."""
    sb = disk.sb
    for number in range(sb.groups_count):
        for part in sb.own_blocks(number):
            claims.add(part.start, len(part), FILE_SYSTEM, f"group {number}: superblock and descriptors")
    for number, group in enumerate(disk.groups):
        place = f"group {number}"
        wrong = is_wrong(disk.descriptor(number), partial(disk.checksums.descriptor, group=number))
        if wrong and disk.flags(number) & _UNINIT:
            findings.say(place, "the descriptor's checksum is wrong, and it is marked as not initialized")
        elif wrong:
            findings.note(
                place, "the descriptor's checksum is wrong: a kernel does not mount this for writing"
            )
        allowed = disk.blocks if sb.has(Incompat.FLEX_BG) else sb.group_blocks(number)
        for what, start, length in (
            ("block bitmap", group.block_bitmap, 1),
            ("inode bitmap", group.inode_bitmap, 1),
            ("inode table", group.inode_table, sb.inode_table_blocks),
        ):
            if start < allowed.start or start + length > allowed.stop:
                findings.say(
                    place, f"the {what} is at block {start}, not within {allowed.start} to {allowed.stop - 1}"
                )
            else:
                claims.add(start, length, FILE_SYSTEM, f"{place}: {what}")
        _flags(disk, findings, number)


def _flags(disk: Disk, findings: Findings, number: int) -> None:
    group, place = disk.groups[number], f"group {number}"
    if not disk.sb.has_group_checksums:
        if group.flags & _UNINIT or group.unused_inodes:
            findings.note(place, "is marked as not initialized, and the file system has not the feature")
        return
    if number == len(disk.groups) - 1 and group.flags & GroupDescriptor.BLOCK_UNINIT:
        findings.note(place, "the last group is marked BLOCK_UNINIT")
    if group.unused_inodes > min(group.free_inodes, disk.sb.inodes_per_group):
        findings.say(
            place, f"{group.unused_inodes} unused inodes are recorded, {group.free_inodes} free ones"
        )


class Bitmaps:
    """The comparison of both bitmaps of every group with what is used."""

    def __init__(self, disk: Disk, findings: Findings, claims: Claims, tables: Tables) -> None:
        self.disk = disk
        self.findings = findings
        self.claims = claims
        self._own = claims.of_file_system()
        self.tables = tables

    def run(self) -> None:
        """Compare bitmaps, free counts and counts of directories."""
        sb, findings = self.disk.sb, self.findings
        free_blocks = free_inodes = 0
        inodes, directories = self._inodes_by_group()
        for number, group in enumerate(self.disk.groups):
            place = f"group {number}"
            free = self._blocks(number, place)
            findings.compare(place, "free blocks", group.free_blocks, free)
            taken = inodes.get(number, [])
            self._inodes(number, taken, place)
            self._not_initialized(number, taken, place)
            findings.compare(place, "free inodes", group.free_inodes, sb.inodes_per_group - len(taken))
            findings.compare(place, "directories", group.directories, directories.get(number, 0))
            free_blocks += free * sb.cluster_blocks
            free_inodes += sb.inodes_per_group - len(taken)
        # A kernel counts these anew from the groups when it mounts.
        for what, said, counted in (
            ("free blocks", sb.free_blocks_count, free_blocks),
            ("free inodes", sb.free_inodes_count, free_inodes),
        ):
            if said != counted:
                findings.unclean.append(f"superblock: {said} {what} are recorded, {counted} counted")

    def _inodes_by_group(self) -> tuple[dict[int, list[int]], dict[int, int]]:
        """Return for each group the inodes in use, by their place in it, and how many are directories."""
        sb = self.disk.sb
        inodes: dict[int, list[int]] = {}
        directories: dict[int, int] = {}
        for number in sorted({*self.tables.used, *range(1, sb.first_inode)}):
            group, index = divmod(number - 1, sb.inodes_per_group)
            inodes.setdefault(group, []).append(index)
            seen = self.tables.used.get(number)
            if seen is not None and seen.is_directory:
                directories[group] = directories.get(group, 0) + 1
        return inodes, directories

    def _blocks(self, number: int, place: str) -> int:
        """Judge a block bitmap; return how many clusters of its group are free."""
        group, disk = self.disk.groups[number], self.disk
        blocks, ratio = disk.sb.group_blocks(number), disk.sb.cluster_blocks
        first, count = blocks.start // ratio, -(-len(blocks) // ratio)
        used = self.claims.used(first, count)
        if disk.flags(number) & GroupDescriptor.BLOCK_UNINIT:
            extra = np.flatnonzero(used & ~self._own.used(first, count))
            if len(extra):
                at = blocks.start + int(extra[0]) * ratio
                self.findings.say(
                    place, f"{len(extra)} blocks in use, and it is marked BLOCK_UNINIT, from {at}"
                )
        elif group.block_bitmap in disk.blocks:
            raw = disk.block(group.block_bitmap)
            self._compare(raw, used, "blocks", place, blocks.start, ratio)
            if is_wrong(disk.descriptor(number), partial(disk.checksums.block_bitmap, raw)):
                self.findings.say(place, "the checksum of the block bitmap is wrong")
        return count - int(used.sum())

    def _inodes(self, number: int, taken: list[int], place: str) -> None:
        """Judge an inode bitmap."""
        group, disk = self.disk.groups[number], self.disk
        count = disk.sb.inodes_per_group
        if disk.flags(number) & GroupDescriptor.INODE_UNINIT:
            if taken:
                self.findings.say(place, f"{len(taken)} inodes in use, and it is marked INODE_UNINIT")
        elif group.inode_bitmap in disk.blocks:
            raw = disk.block(group.inode_bitmap)
            used = np.zeros(count, dtype=np.bool_)
            used[taken] = True
            self._compare(raw, used, "inodes", place, number * count + 1, 1)
            if is_wrong(disk.descriptor(number), partial(disk.checksums.inode_bitmap, raw)):
                self.findings.say(place, "the checksum of the inode bitmap is wrong")

    def _not_initialized(self, number: int, taken: list[int], place: str) -> None:
        """Tell inodes in use where none is to be, of a file system without the feature: e2fsck does."""
        group, sb = self.disk.groups[number], self.disk.sb
        if sb.has_group_checksums:
            return
        named = [index for index in taken if self._is_named(number * sb.inodes_per_group + index + 1)]
        if named and group.flags & GroupDescriptor.INODE_UNINIT:
            self.findings.say(place, f"{len(named)} inodes in use, and it is marked INODE_UNINIT")
        elif named and named[-1] >= sb.inodes_per_group - group.unused_inodes:
            at = number * sb.inodes_per_group + named[-1] + 1
            self.findings.say(
                place, f"inode {at} is one of the last {group.unused_inodes}, which are not in use"
            )

    def _is_named(self, number: int) -> bool:
        return number == ROOT_INODE or number >= self.disk.sb.first_inode

    def _compare(
        self, raw: bytes | memoryview, used: Bits, what: str, place: str, first: int, step: int
    ) -> None:
        """Hold a bitmap against what is used: of bit n that is number first + n * step."""
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little").astype(np.bool_)
        said, rest = bits[: len(used)], bits[len(used) :]
        for words, wrong in (
            ("in use are marked free", used & ~said),
            ("marked in use are not", said & ~used),
        ):
            found = np.flatnonzero(wrong)
            if len(found):
                self.findings.say(place, f"{len(found)} {what} {words}, from {first + int(found[0]) * step}")
        self.findings.expect(
            f"{place}: {what[:-1]} bitmap", rest.all(), "the bits behind its end are not set"
        )

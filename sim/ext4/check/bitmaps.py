"""
Group descriptors and bitmaps: where they lie, and whether they and every count say what was found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.ext4.check.claims import FILE_SYSTEM, Claims
from sim.ext4.check.disk import BLOCK_UNINIT, INODE_UNINIT, Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Tables
from sim.ext4.check.sums import bitmap_is_wrong, descriptor_fault
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.inode import TYPE_DIRECTORY


def check_groups(disk: Disk, findings: Findings, claims: Claims) -> None:
    """Judge the descriptors, and claim what belongs to no inode."""
    sb = disk.sb
    for number in range(sb.groups_count):
        for part in disk.own_blocks(number):
            if len(part):
                claims.add(part.start, len(part), FILE_SYSTEM, f"group {number}: superblock and descriptors")
    for number, group in enumerate(disk.groups):
        place = f"group {number}"
        fault = descriptor_fault(disk, number)
        if fault and disk.flags(number) & (BLOCK_UNINIT | INODE_UNINIT):
            findings.say(place, f"{fault}; it is marked as not initialized, which cannot be trusted")
        elif fault:
            findings.note(place, f"{fault}; a kernel does not mount this for writing")
        allowed = disk.blocks if sb.has(Incompat.FLEX_BG) else disk.group_blocks(number)
        for what, start, length in (
            ("block bitmap", group.block_bitmap, 1),
            ("inode bitmap", group.inode_bitmap, 1),
            ("inode table", group.inode_table, disk.inode_table_blocks),
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
    uninit = group.flags & (BLOCK_UNINIT | INODE_UNINIT)
    if not disk.sb.group_checksums:
        if uninit or group.unused_inodes:
            findings.note(place, "is marked as not initialized, and the file system has not the feature")
        return
    if number == len(disk.groups) - 1 and group.flags & BLOCK_UNINIT:
        findings.note(place, "the last group is marked BLOCK_UNINIT")
    if group.unused_inodes > min(group.free_inodes, disk.sb["inodes_per_group"]):
        findings.say(
            place, f"{group.unused_inodes} unused inodes are recorded, {group.free_inodes} free ones"
        )


class Bitmaps:
    """The comparison of both bitmaps of every group with what is used."""

    def __init__(self, disk: Disk, findings: Findings, claims: Claims, tables: Tables) -> None:
        self.disk = disk
        self.findings = findings
        self.claims = claims
        self.tables = tables

    def _bits(self, block: int, count: int) -> npt.NDArray[np.bool_]:
        raw = np.frombuffer(bytes(self.disk.block(block)), dtype=np.uint8)
        return np.unpackbits(raw, count=count, bitorder="little").astype(np.bool_)

    def run(self) -> None:
        """Compare bitmaps, free counts and counts of directories."""
        sb = self.disk.sb
        free_blocks = free_inodes = 0
        inodes, directories = self._inodes_by_group()
        for number, group in enumerate(self.disk.groups):
            place = f"group {number}"
            blocks = self.disk.group_blocks(number)
            clusters = -(-len(blocks) // self.disk.ratio)
            used = self.claims.used(blocks.start // self.disk.ratio, clusters)
            free = clusters - int(used.sum())
            self._blocks(number, used, place)
            self.findings.compare(place, "free blocks", group.free_blocks, free)
            taken = inodes.get(number, [])
            self._inode_bits(number, taken, place)
            self.findings.compare(
                place, "free inodes", group.free_inodes, sb["inodes_per_group"] - len(taken)
            )
            self.findings.compare(place, "directories", group.directories, directories.get(number, 0))
            free_blocks += free * self.disk.ratio
            free_inodes += sb["inodes_per_group"] - len(taken)
        # A kernel counts these anew from the groups when it mounts.
        for what, said, counted in (
            ("free blocks", sb.free_blocks, free_blocks),
            ("free inodes", sb["free_inodes"], free_inodes),
        ):
            if said != counted:
                self.findings.unclean.append(f"superblock: {said} {what} are recorded, {counted} counted")

    def _inodes_by_group(self) -> tuple[dict[int, list[int]], dict[int, int]]:
        sb = self.disk.sb
        inodes: dict[int, list[int]] = {}
        directories: dict[int, int] = {}
        for number in {*self.tables.used, *range(1, sb.first_inode)}:
            group, index = divmod(number - 1, sb["inodes_per_group"])
            inodes.setdefault(group, []).append(index)
            seen = self.tables.used.get(number)
            if seen is not None and seen.node.type == TYPE_DIRECTORY:
                directories[group] = directories.get(group, 0) + 1
        return inodes, directories

    def _blocks(self, number: int, used: npt.NDArray[np.bool_], place: str) -> None:
        group, disk = self.disk.groups[number], self.disk
        first = disk.group_blocks(number).start
        if disk.flags(number) & BLOCK_UNINIT:
            own = self._own(number, len(used))
            extra = np.flatnonzero(used & ~own)
            if len(extra):
                at = first + int(extra[0]) * disk.ratio
                self.findings.say(
                    place, f"{len(extra)} blocks in use, and it is marked BLOCK_UNINIT, from {at}"
                )
            return
        if group.block_bitmap not in disk.blocks:
            return
        raw = disk.block(group.block_bitmap)
        said = self._bits(group.block_bitmap, len(used))
        for what, wrong in (
            ("in use are marked free", used & ~said),
            ("marked in use are not", said & ~used),
        ):
            found = np.flatnonzero(wrong)
            if len(found):
                at = first + int(found[0]) * disk.ratio
                self.findings.say(place, f"{len(found)} blocks {what}, from {at}")
        self._padding(raw, len(used), f"{place}: block bitmap")
        if bitmap_is_wrong(disk, raw, disk.sb["blocks_per_group"] // disk.ratio, group.block_bitmap_checksum):
            self.findings.say(place, "the checksum of the block bitmap is wrong")

    def _own(self, number: int, clusters: int) -> npt.NDArray[np.bool_]:
        """Return which clusters of a group hold what belongs to no inode."""
        disk = self.disk
        blocks = disk.group_blocks(number)
        own = np.zeros(clusters, dtype=np.bool_)
        tables = [
            part
            for group in disk.groups
            for part in (
                range(group.block_bitmap, group.block_bitmap + 1),
                range(group.inode_bitmap, group.inode_bitmap + 1),
                range(group.inode_table, group.inode_table + disk.inode_table_blocks),
            )
            if part.start < blocks.stop and part.stop > blocks.start
        ]
        for part in (*disk.own_blocks(number), *tables):
            start = max(part.start - blocks.start, 0) // disk.ratio
            own[start : max(-(-(part.stop - blocks.start) // disk.ratio), 0)] = True
        return own

    def _padding(self, raw: bytes | memoryview, count: int, place: str) -> None:
        """Tell bits behind the last block or inode that are not set."""
        rest = np.unpackbits(np.frombuffer(bytes(raw), dtype=np.uint8), bitorder="little")[count:]
        if len(rest) and not rest.all():
            self.findings.say(place, "the bits behind its end are not set")

    def _inode_bits(self, number: int, taken: list[int], place: str) -> None:
        group, disk = self.disk.groups[number], self.disk
        count = disk.sb["inodes_per_group"]
        if disk.flags(number) & INODE_UNINIT:
            if taken:
                self.findings.say(place, f"{len(taken)} inodes in use, and it is marked INODE_UNINIT")
            return
        if group.inode_bitmap not in disk.blocks:
            return
        raw = disk.block(group.inode_bitmap)
        used = np.zeros(count, dtype=np.bool_)
        used[taken] = True
        said = self._bits(group.inode_bitmap, count)
        for what, wrong in (
            ("in use are marked free", used & ~said),
            ("marked in use are not", said & ~used),
        ):
            found = np.flatnonzero(wrong)
            if len(found):
                at = number * count + 1 + int(found[0])
                self.findings.say(place, f"{len(found)} inodes {what}, from {at}")
        self._padding(raw, count, f"{place}: inode bitmap")
        if bitmap_is_wrong(disk, raw, count, group.inode_bitmap_checksum):
            self.findings.say(place, "the checksum of the inode bitmap is wrong")


def features_left_out(disk: Disk) -> list[str]:
    """Return what of this file system the check does not look at."""
    sb = disk.sb
    left = []
    if sb.has(Compat.HAS_JOURNAL):
        left.append("what lies in the journal, which is not replayed")
    if sb.has(Incompat.CASEFOLD):
        left.append("the hashes of names in casefolded directories")
    if sb.has(RoCompat.VERITY):
        left.append("the hash trees of fs-verity")
    return left

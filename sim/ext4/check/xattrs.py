"""
Judging xattrs: entries, values, hashes, who shares a block, and values in inodes of their own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import partial

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.sums import is_wrong
from sim.ext4.format.inode import FLAG_EA_INODE, TYPE_REGULAR, decode_inode, ea_digest
from sim.ext4.format.xattr import (
    BLOCK_HEADER_BYTES,
    BODY_HEADER_BYTES,
    XATTR_MAGIC,
    Entry,
    XattrKey,
    block_references,
    entry_hash,
    iter_entries,
    padded,
    refuse_no_block,
)

_END_BYTES = 4


@dataclass
class Found:
    """
    The xattrs of an inode. values: those that lie in place. ea_inodes: (inode, bytes) of the others.
    """

    values: dict[XattrKey, bytes] = field(default_factory=dict)
    ea_inodes: list[tuple[int, int]] = field(default_factory=list)


class Xattrs:
    """The xattrs of a whole file system: blocks may be shared, values may lie in other inodes."""

    def __init__(self, disk: Disk, findings: Findings) -> None:
        self._disk = disk
        self._findings = findings
        self._blocks: dict[int, Found] = {}
        self._block_said: dict[int, int] = {}
        self.block_users: dict[int, int] = {}
        self.ea_references: dict[int, int] = {}

    def body(self, raw: bytes, start: int, place: str) -> Found:
        """Return the xattrs behind an inode's fields."""
        area = raw[start:]
        if len(area) < BODY_HEADER_BYTES or struct.unpack_from("<I", area)[0] != XATTR_MAGIC:
            return Found()
        return self._entries(area, BODY_HEADER_BYTES, BODY_HEADER_BYTES, place, in_block=False)

    def block(self, number: int, place: str) -> Found:
        """Return the xattrs in a block; each is judged once, however many inodes share it."""
        self.block_users[number] = self.block_users.get(number, 0) + 1
        if number in self._blocks:
            return self._blocks[number]
        self._blocks[number] = Found()
        raw = self._disk.block(number)
        place = f"{place}: xattr block {number}"
        try:
            refuse_no_block(raw, place)
        except ImageError as error:
            self._findings.say(error.place, error.problem)
            return self._blocks[number]
        self._block_said[number] = block_references(raw)
        if is_wrong(raw, partial(self._disk.checksums.xattr_block, block=number)):
            self._findings.say(place, "the checksum is wrong")
        self._blocks[number] = self._entries(raw, BLOCK_HEADER_BYTES, 0, place, in_block=True)
        return self._blocks[number]

    def _entries(
        self, area: bytes | memoryview, first: int, origin: int, place: str, in_block: bool
    ) -> Found:
        found = Found()
        taken: list[tuple[int, int]] = []
        end = first + _END_BYTES
        try:
            for entry in iter_entries(area, first, origin, place):
                end = entry.end + _END_BYTES
                if in_block and not entry.key[0]:
                    self._findings.say(place, f"the xattr name {entry.key[1]!r} of index 0 cannot be")
                if entry.inode:
                    self._ea_inode(entry, place)
                    found.ea_inodes.append((entry.inode, entry.size))
                    continue
                value = bytes(area[entry.value_at : entry.value_at + entry.size]) if entry.size else b""
                if value:
                    taken.append((entry.value_at, min(entry.value_at + padded(entry.size), len(area))))
                if (entry.hash or in_block) and not _has_hash(entry, value):
                    self._findings.say(place, f"xattr {entry.key[1]!r}: the hash is wrong")
                found.values[entry.key] = value
        except ImageError as error:
            self._findings.say(error.place, error.problem)
            return found
        for start, stop in sorted(taken):
            if start < end:
                self._findings.say(place, f"xattr values and entries overlap at byte {start}")
                break
            end = stop
        return found

    def _ea_inode(self, entry: Entry, place: str) -> None:
        disk, number, name = self._disk, entry.inode, entry.key[1]
        if not 0 < number <= disk.sb.inodes_count:
            self._findings.say(place, f"xattr {name!r} lies in inode {number}, which there is not")
            return
        self.ea_references[number] = self.ea_references.get(number, 0) + 1
        raw = disk.inode_raw(number)
        inode = decode_inode(raw)
        if not inode.flags & FLAG_EA_INODE or inode.type != TYPE_REGULAR or inode.size_bytes != entry.size:
            self._findings.say(place, f"inode {number}, which is to hold xattr {name!r}, is none for values")
        # Lustre's form of such inodes has no hash; there the entry's is 0 and nothing can be said.
        elif entry.hash and not _has_hash(entry, ea_digest(raw).to_bytes(4, "little")):
            self._findings.say(place, f"xattr {name!r}: the hash is not that of its inode {number}")

    def references(self) -> None:
        """Tell the blocks that are shared by more or fewer than they say."""
        for number, said in sorted(self._block_said.items()):
            users = self.block_users[number]
            self._findings.compare(f"xattr block {number}", "references", said, users)


def _has_hash(entry: Entry, value: bytes) -> bool:
    return entry.hash in (entry_hash(entry.key[1], value), entry_hash(entry.key[1], value, signed=True))

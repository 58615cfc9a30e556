"""
Judging xattrs: entries, values, hashes, who shares a block, and values in inodes of their own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.inode import FLAG_EA_INODE, TYPE_REGULAR, decode_inode
from sim.ext4.format.xattr import XATTR_MAGIC, XattrKey, entry_hash

_HEADER = struct.Struct("<5I")
_ENTRY = struct.Struct("<BBHIII")
_CHECKSUM_AT = 0x10
_HEADER_BYTES, _MAGIC_BYTES = 32, 4


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
        self.block_users: dict[int, int] = {}
        self.block_said: dict[int, int] = {}
        self.ea_references: dict[int, int] = {}

    def body(self, raw: bytes, start: int, place: str) -> Found:
        """Return the xattrs behind an inode's fields."""
        area = raw[start:]
        if len(area) < _MAGIC_BYTES or struct.unpack_from("<I", area)[0] != XATTR_MAGIC:
            return Found()
        return self._entries(area, _MAGIC_BYTES, _MAGIC_BYTES, place, in_block=False)

    def block(self, number: int, place: str) -> Found:
        """Return the xattrs in a block; each is judged once, however many inodes share it."""
        self.block_users[number] = self.block_users.get(number, 0) + 1
        if number in self._blocks:
            return self._blocks[number]
        self._blocks[number] = Found()
        raw = self._disk.block(number)
        magic, references, blocks, _hash, said = _HEADER.unpack_from(raw)
        place = f"{place}: xattr block {number}"
        if magic != XATTR_MAGIC or blocks != 1:
            self._findings.say(place, f"magic {magic:#010x}, {blocks} blocks, not {XATTR_MAGIC:#010x} and 1")
            return self._blocks[number]
        self.block_said[number] = references
        if self._disk.checksums:
            bare = bytearray(raw)
            struct.pack_into("<I", bare, _CHECKSUM_AT, 0)
            if said != crc32c(crc32c(self._disk.seed, number.to_bytes(8, "little")), bare):
                self._findings.say(place, "the checksum is wrong")
        self._blocks[number] = self._entries(raw, _HEADER_BYTES, 0, place, in_block=True)
        return self._blocks[number]

    def _entries(
        self, area: bytes | memoryview, first: int, origin: int, place: str, in_block: bool
    ) -> Found:
        found = Found()
        taken: list[tuple[int, int]] = []
        at, limit = first, len(area)
        while at + 4 <= limit and any(area[at : at + 4]):
            if at + _ENTRY.size > limit:
                self._findings.say(place, f"an xattr entry at byte {at} does not fit")
                return found
            length, index, offset, inode, size, said = _ENTRY.unpack_from(area, at)
            name = bytes(area[at + _ENTRY.size : at + _ENTRY.size + length])
            start = origin + offset
            at += _ENTRY.size + -(-length // 4) * 4
            if len(name) != length or at > limit or (in_block and not index):
                self._findings.say(place, f"the xattr name {name!r} of index {index} cannot be")
                return found
            if inode:
                self._ea_inode(inode, size, said, name, place)
                found.ea_inodes.append((inode, size))
                continue
            if size and (start + size > limit or start < first):
                self._findings.say(place, f"xattr {name!r} has {size} bytes at offset {offset}: not inside")
                return found
            value = bytes(area[start : start + size]) if size else b""
            if size:
                taken.append((start, min(start + -(-size // 4) * 4, limit)))
            if said not in (entry_hash(name, value), _signed_hash(name, value)) and (said or in_block):
                self._findings.say(place, f"xattr {name!r}: the hash is wrong")
            found.values[(index, name)] = value
        self._collisions(taken, at, limit, place)
        return found

    def _collisions(self, taken: list[tuple[int, int]], at: int, limit: int, place: str) -> None:
        end = at + 4
        if taken and at + 4 > limit:
            self._findings.say(place, "the xattr entries have no end mark")
        for start, stop in sorted(taken):
            if start < end:
                self._findings.say(place, f"xattr values and entries overlap at byte {start}")
                return
            end = stop

    def _ea_inode(self, number: int, size: int, said: int, name: bytes, place: str) -> None:
        disk = self._disk
        if not 0 < number <= disk.sb["inodes_count"]:
            self._findings.say(place, f"xattr {name!r} lies in inode {number}, which there is not")
            return
        self.ea_references[number] = self.ea_references.get(number, 0) + 1
        raw = disk.inode_raw(number)
        inode = decode_inode(raw)
        if not inode.flags & FLAG_EA_INODE or inode.type != TYPE_REGULAR or inode.size_bytes != size:
            self._findings.say(place, f"inode {number}, which is to hold xattr {name!r}, is none for values")
            return
        digest = int.from_bytes(raw[8:12], "little")
        # Lustre's form of such inodes has no hash; there the entry's is 0 and nothing can be said.
        known = {
            entry_hash(name, digest.to_bytes(4, "little")),
            _signed_hash(name, digest.to_bytes(4, "little")),
        }
        if said and said not in known:
            self._findings.say(place, f"xattr {name!r}: the hash is not that of its inode {number}")

    def references(self) -> None:
        """Tell the blocks that are shared by more or fewer than they say."""
        for number, said in sorted(self.block_said.items()):
            users = self.block_users[number]
            self._findings.compare(f"xattr block {number}", "references", said, users)


def _signed_hash(name: bytes, value: bytes) -> int:
    """Return the hash as systems with a signed char once wrote it."""
    result = 0
    for letter in name:
        rotated = (result << 5 | result >> 27) & 0xFFFF_FFFF
        result = rotated ^ ((letter - 256) & 0xFFFF_FFFF if letter > 127 else letter)
    for (word,) in struct.iter_unpack("<I", value.ljust(-(-len(value) // 4) * 4, b"\0")):
        result = ((result << 16 | result >> 16) & 0xFFFF_FFFF) ^ word
    return result

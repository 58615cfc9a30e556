"""
Judging directories: records, names, what they lead to, checksums of their blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.index import index_blocks, index_checksum_is_wrong
from sim.ext4.check.seen import Seen, Tables
from sim.ext4.check.sums import is_wrong
from sim.ext4.format import dirs
from sim.ext4.format import inode as inodes
from sim.ext4.format.checksums import has_tail
from sim.ext4.format.features import Compat, Incompat
from sim.ext4.format.xattr import INLINE_KEY

_LEAST_CIPHERTEXT = 16
"""fscrypt pads names to 16 bytes at least."""


class Record(NamedTuple):
    """A record in use of a directory: its inode, name and type code, and the block it is in."""

    inode: int
    name: bytes
    kind: int
    block: int


@dataclass
class Directory:
    """What one directory holds, "." and ".." apart."""

    number: int
    parent: int = 0
    records: list[Record] = field(default_factory=list)


class Names:
    """The walk over all directories."""

    def __init__(self, disk: Disk, findings: Findings, tables: Tables) -> None:
        self.disk = disk
        self.findings = findings
        self.tables = tables
        self.directories: dict[int, Directory] = {}
        self.links: dict[int, int] = {}
        self.parent_of: dict[int, int] = {}

    def run(self) -> dict[int, Directory]:
        """Judge all directories; return them."""
        for number, seen in self.tables.used.items():
            if seen.is_directory and (number == inodes.ROOT_INODE or number >= self.disk.sb.first_inode):
                self.directories[number] = self._directory(number, seen)
        for number, directory in self.directories.items():
            self._targets(number, directory)
        return self.directories

    # -- blocks --------------------------------------------------------------------------------------

    def _directory(self, number: int, seen: Seen) -> Directory:
        place = f"inode {number}"
        found = Directory(number)
        if seen.node.flags & inodes.FLAG_INLINE_DATA and self.disk.sb.has(Incompat.INLINE_DATA):
            self._inline(found, seen, place)
        else:
            index = self._index_blocks(seen)
            for logical, raw in self._blocks(seen, place):
                self._block(found, seen, logical, raw, index, f"{place}, directory block {logical}")
        self._twice(found, place)
        return found

    def _blocks(self, seen: Seen, place: str) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (logical block, bytes); tell blocks that are not there."""
        at, end = 0, -(-seen.node.size_bytes // self.disk.block_size)
        for extent in sorted(seen.mapped.extents):
            if extent.logical > at:
                self.findings.say(place, f"a directory with a hole at block {at}")
            for index in range(extent.length):
                if extent.logical + index < end and not extent.unwritten:
                    yield extent.logical + index, self.disk.block(extent.physical + index)
            at = extent.logical + extent.length
        if at < end:
            self.findings.say(place, f"a directory with a hole at block {at}")

    def _index_blocks(self, seen: Seen) -> set[int]:
        """Return the logical blocks of a directory that hold its hash tree, which look empty."""
        if not seen.node.flags & inodes.FLAG_INDEXED_DIRECTORY or not self.disk.sb.has(Compat.DIR_INDEX):
            return set()
        return index_blocks(self.disk, seen)

    def _inline(self, found: Directory, seen: Seen, place: str) -> None:
        found.parent = int.from_bytes(seen.node.block[: inodes.INLINE_PARENT_BYTES], "little")
        parts = (
            (seen.node.block[inodes.INLINE_PARENT_BYTES :], f"{place}, inline"),
            (seen.xattrs.values.get(INLINE_KEY, b""), f"{place}, inline xattr"),
        )
        for raw, where in parts:
            if raw:
                self._records(found, seen, 0, raw, where)
        self._links_of_dots(found)

    def _block(
        self, found: Directory, seen: Seen, logical: int, raw: bytes | memoryview, index: set[int], where: str
    ) -> None:
        if self.disk.checksums.on:
            self._checksum(found.number, seen, raw, logical in index, where)
        if logical in index and logical:
            return
        before = len(found.records)
        self._records(found, seen, logical, raw, where)
        if logical == 0:
            self._dots(found, found.records[before:], where)

    def _checksum(self, number: int, seen: Seen, raw: bytes | memoryview, is_index: bool, where: str) -> None:
        sums = self.disk.checksums
        if is_index:
            if index_checksum_is_wrong(raw, sums.inode_seed(seen.raw, number)):
                self.findings.say(where, "the checksum of the hash tree is wrong")
        elif not has_tail(raw):
            self.findings.say(where, "has no checksum")
        elif is_wrong(raw, partial(sums.directory_block, directory=seen.raw, number=number)):
            self.findings.say(where, "the checksum is wrong")

    # -- records -------------------------------------------------------------------------------------

    def _records(
        self, found: Directory, seen: Seen, logical: int, raw: bytes | memoryview, where: str
    ) -> None:
        encrypted = bool(seen.node.flags & inodes.FLAG_ENCRYPTED)
        entries, wrong = dirs.read_block(raw, encrypted)
        for problem, _allowed in wrong:
            self.findings.say(where, problem)
        for entry in entries:
            if encrypted and entry.name not in (b".", b"..") and len(entry.name) < _LEAST_CIPHERTEXT:
                self.findings.say(where, f"the encrypted name {entry.name!r} has {len(entry.name)} bytes")
            found.records.append(Record(*entry, logical))

    def _dots(self, found: Directory, first: list[Record], where: str) -> None:
        """Take "." and ".." from the head of a directory's first block."""
        if not first or first[0].name != b"." or first[0].inode != found.number:
            self.findings.say(where, 'does not start with "."')
        if len(first) < 2 or first[1].name != b"..":
            self.findings.say(where, 'does not go on with ".."')
        else:
            found.parent = first[1].inode
        for record in first[:2]:
            expected = inodes.DIRENT_TYPES[inodes.TYPE_DIRECTORY]
            if self.disk.sb.has(Incompat.FILETYPE) and record.kind not in (0, expected):
                self.findings.say(where, f"{record.name!r} has type code {record.kind}, not a directory's")
        skip = sum(record.name in (b".", b"..") for record in first[:2])
        if len(first) >= 2 and skip == 2 and first[0].name == b"." and first[1].name == b"..":
            del found.records[:2]
        self._links_of_dots(found)

    def _links_of_dots(self, found: Directory) -> None:
        self.links[found.number] = self.links.get(found.number, 0) + 1
        if found.parent:
            self.links[found.parent] = self.links.get(found.parent, 0) + 1

    def _twice(self, found: Directory, place: str) -> None:
        names = [record.name for record in found.records]
        if len(set(names)) != len(names):
            known: set[bytes] = set()
            twice = next(name for name in names if name in known or known.add(name))  # type: ignore[func-returns-value]
            self.findings.say(place, f"has the name {twice!r} twice")
        for name in (b".", b".."):
            if name in names:
                self.findings.say(place, f"has {name!r} where it cannot be")

    # -- targets -------------------------------------------------------------------------------------

    def _targets(self, number: int, directory: Directory) -> None:
        place = f"inode {number}"
        sb = self.disk.sb
        hidden = {sb.user_quota, sb.group_quota, sb.project_quota, sb.orphan_file}
        for record in directory.records:
            target, name = record.inode, record.name
            if record.name in (b".", b".."):
                continue
            first = target != inodes.ROOT_INODE and target < sb.first_inode
            if target > sb.inodes_count or first or target in hidden:
                self.findings.say(place, f"the name {name!r} leads to inode {target}, which no name may")
                continue
            self.links[target] = self.links.get(target, 0) + 1
            seen = self.tables.used.get(target)
            if target == inodes.ROOT_INODE:
                self.findings.say(place, f"the name {name!r} leads to the root")
            elif seen is None:
                where = (
                    ", in a part of its table that is not in use" if self.tables.was_skipped(target) else ""
                )
                self.findings.say(
                    place, f"the name {name!r} leads to inode {target}, which is not in use{where}"
                )
            else:
                self._kind(place, record, seen)
                self._adopt(place, number, record, seen)

    def _kind(self, place: str, record: Record, seen: Seen) -> None:
        kind = inodes.DIRENT_TYPES.get(seen.node.type, 0)
        if not self.disk.sb.has(Incompat.FILETYPE):
            if record.kind:
                self.findings.say(
                    place, f"the name {record.name!r} has a type code, the file system has none"
                )
        elif record.kind not in (0, kind):  # 0: not known, a kernel looks at the inode
            word = inodes.TYPE_WORDS.get(seen.node.type, "thing of no known type")
            self.findings.say(
                place,
                f"the name {record.name!r} has type code {record.kind}, inode {record.inode} is a {word}",
            )
        if seen.node.flags & inodes.FLAG_EA_INODE:
            self.findings.note(
                place, f"the name {record.name!r} leads to an xattr value, inode {record.inode}"
            )

    def _adopt(self, place: str, number: int, record: Record, seen: Seen) -> None:
        """Note who is a directory's parent: it may have one."""
        if not seen.is_directory:
            return
        if record.inode in self.parent_of or record.inode == number:
            self.findings.say(place, f"the name {record.name!r} is a second one of directory {record.inode}")
        else:
            self.parent_of[record.inode] = number

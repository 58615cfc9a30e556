"""
Holding what an inode says of its size, its sectors and its target against what it maps.
"""

from __future__ import annotations

from sim.ext4.check.disk import HURD, Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Seen
from sim.ext4.format import inode as inodes
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS, ROOT_BYTES
from sim.ext4.format.features import Compat, RoCompat
from sim.ext4.format.indirect import DIRECT_BLOCKS, POINTER_BYTES
from sim.ext4.format.xattr import INLINE_KEY

_LARGE_BYTES = 1 << 31


class Sizes:
    """What inodes of one file system say of their size."""

    def __init__(self, disk: Disk, findings: Findings) -> None:
        self.disk = disk
        self.sb = disk.sb
        self.findings = findings

    def is_short(self, seen: Seen) -> bool:
        """Return whether a symlink's target lies in the inode: short, without a block but for xattrs."""
        node = seen.node
        if node.flags & inodes.FLAG_EXTENTS:
            return False
        own = self.disk.block_size // 512 * self.sb.cluster_blocks if node.xattr_block else 0
        ea_blocks = sum(-(-size // self.disk.block_size) for _inode, size in seen.xattrs.ea_inodes)
        return node.size_bytes < ROOT_BYTES and node.sectors in (
            own,
            own + ea_blocks * self.disk.block_size // 512,
        )

    def size(self, number: int, seen: Seen, place: str) -> None:
        """Hold a size against the blocks that are mapped."""
        node, size = seen.node, self.disk.block_size
        extents = seen.mapped.extents
        last = max((e.logical + e.length for e in extents), default=0)
        written = max((e.logical + e.length for e in extents if not e.unwritten), default=0)
        if node.flags & inodes.FLAG_INLINE_DATA:
            self._inline(number, seen, place)
            self.limit(seen, place)
        elif seen.is_directory:
            self._directory_size(seen, last, place)
        elif node.type == inodes.TYPE_REGULAR or number < self.sb.first_inode:
            over = (
                written > 0 and node.size_bytes < (written - 1) * size and not node.flags & inodes.FLAG_VERITY
            )
            self.findings.expect(
                place, not over, f"of {node.size_bytes} bytes has a block that ends behind the last byte"
            )
            self.limit(seen, place)

    def limit(self, seen: Seen, place: str) -> None:
        """Tell a size that no map can reach, or the file system's features do not allow."""
        size, length = self.disk.block_size, seen.node.size_bytes
        pointers = size // POINTER_BYTES
        mapped = DIRECT_BLOCKS + pointers + pointers**2 + pointers**3
        most = MAX_LOGICAL_BLOCKS * size - 1 if seen.node.flags & inodes.FLAG_EXTENTS else mapped * size
        self.findings.expect(place, length <= most, f"the size is {length} bytes, at most {most}")
        if seen.is_regular and length >= _LARGE_BYTES and not self.sb.has(RoCompat.LARGE_FILE):
            self.findings.say(place, f"of {length} bytes, the file system has not the feature large_file")

    def _directory_size(self, seen: Seen, last: int, place: str) -> None:
        blocks, rest = divmod(seen.node.size_bytes, self.disk.block_size)
        spare = self.sb.prealloc_directory_blocks
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
        room = ROOT_BYTES + len(more)
        is_directory = seen.is_directory
        text = f"of {seen.node.size_bytes} bytes has room for {room} inline"
        if is_directory:
            self.findings.expect(place, seen.node.size_bytes == room, text)
        elif seen.node.size_bytes > room:
            self.findings.note(place, text)

    def sectors(self, seen: Seen, place: str) -> None:
        """Hold the sectors that an inode says it takes against its blocks, its tree's and its xattrs'."""
        if self.sb.creator_os == HURD:
            return
        disk, sb, node = self.disk, self.sb, seen.node
        taken = sum(extent.length for extent in seen.mapped.extents) + len(seen.mapped.own)
        if sb.cluster_blocks > 1:
            taken = self._clusters(seen) * sb.cluster_blocks
            self._alignment(seen, place)
        if node.xattr_block and sb.has(Compat.EXT_ATTR):
            taken += sb.cluster_blocks
        taken += sum(-(-size // disk.block_size) for _inode, size in seen.xattrs.ea_inodes)
        huge = node.flags & inodes.FLAG_HUGE_FILE and sb.has(RoCompat.HUGE_FILE)
        counted = taken if huge else taken * disk.block_size // 512
        self.findings.compare(place, "sectors", node.sectors, counted)

    def _clusters(self, seen: Seen) -> int:
        """Return how many clusters (bigalloc) an inode has."""
        ratio = self.sb.cluster_blocks
        clusters = {block // ratio for block in seen.mapped.own}
        for extent in seen.mapped.extents:
            last = (extent.physical + extent.length - 1) // ratio
            clusters.update(range(extent.physical // ratio, last + 1))
        return len(clusters)

    def _alignment(self, seen: Seen, place: str) -> None:
        """Tell blocks that do not lie in their cluster as they do in the file's."""
        ratio, before = self.sb.cluster_blocks, None
        for extent in seen.mapped.extents:
            inside = extent.logical % ratio
            apart = (
                before is not None
                and inside
                and (before.logical + before.length - 1) // ratio == extent.logical // ratio
                and (before.physical + before.length - 1) // ratio != extent.physical // ratio
            )
            if inside != extent.physical % ratio or apart:
                self.findings.say(
                    place, f"logical block {extent.logical} lies at block {extent.physical}, across clusters"
                )
                return
            before = extent

    def symlink(self, seen: Seen, place: str) -> None:
        """Judge where a symlink's target lies, and how long it is."""
        node, disk = seen.node, self.disk
        if not node.size_bytes or node.size_bytes >> 32 or node.flags & inodes.FLAG_INDEXED_DIRECTORY:
            self.findings.say(place, f"is a symlink of {node.size_bytes} bytes")
            return
        if node.flags & inodes.FLAG_INLINE_DATA:
            room = ROOT_BYTES + len(seen.xattrs.values.get(INLINE_KEY, b""))
            wrong = node.flags & inodes.FLAG_EXTENTS or node.size_bytes != room
            self.findings.expect(
                place, not wrong, f"is a symlink of {node.size_bytes} bytes, {room} lie inline"
            )
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
        self.findings.expect(
            place, not wrong, f"is a symlink of {node.size_bytes} bytes with a target of {length}"
        )

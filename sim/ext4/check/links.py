"""
What holds a tree together: every directory has its parent, every inode its names, every count is right.
"""

from __future__ import annotations

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.names import Names
from sim.ext4.check.seen import Tables
from sim.ext4.check.xattrs import Xattrs
from sim.ext4.format import inode as inodes
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import RoCompat

_MANY_LINKS = 65000
"""A directory with more stops counting, at 1 (feature dir_nlink)."""
_MOST_VALUE_BYTES = 1 << 24
"""No xattr is larger (EXT4_XATTR_SIZE_MAX)."""


def check_tree(findings: Findings, names: Names) -> None:
    """Tell directories that the root does not reach, and wrong parents."""
    root = names.tables.used.get(inodes.ROOT_INODE)
    if root is None or not root.is_directory:
        findings.say(f"inode {inodes.ROOT_INODE}", "there is no root directory")
    reached = {inodes.ROOT_INODE}
    stack = [inodes.ROOT_INODE]
    children: dict[int, list[int]] = {}
    for child, parent in names.parent_of.items():
        children.setdefault(parent, []).append(child)
    while stack:
        for child in children.get(stack.pop(), ()):
            if child not in reached:
                reached.add(child)
                stack.append(child)
    for number, directory in names.directories.items():
        parent = inodes.ROOT_INODE if number == inodes.ROOT_INODE else names.parent_of.get(number, 0)
        if number not in reached:
            findings.say(f"inode {number}", "is a directory that no way from the root leads to")
        elif directory.parent != parent:
            findings.say(f"inode {number}", f'".." leads to inode {directory.parent}, not {parent}')


def check_links(disk: Disk, findings: Findings, tables: Tables, names: Names, xattrs: Xattrs) -> None:
    """Hold link counts against names, and references to xattr values against xattrs."""
    named = disk.named_inodes()
    for number, seen in sorted(tables.used.items()):
        place = f"inode {number}"
        counted = names.links.get(number, 0)
        if seen.node.flags & inodes.FLAG_EA_INODE and not counted:
            _ea_value(findings, number, seen.raw, xattrs)
        elif number in named or (number < disk.sb.first_inode and number != inodes.ROOT_INODE):
            continue
        elif not counted:
            findings.say(place, "is in use and has no name")
        else:
            many = seen.is_directory and disk.sb.has(RoCompat.DIR_NLINK)
            if not (many and seen.node.links == 1 and counted > _MANY_LINKS):
                findings.compare(place, "links", seen.node.links, counted)


def _ea_value(findings: Findings, number: int, raw: bytes, xattrs: Xattrs) -> None:
    place = f"inode {number} (xattr value)"
    said = inodes.ea_references(raw)
    counted = xattrs.ea_references.get(number, 0)
    if not counted:
        findings.say(place, "is in use and no xattr leads to it")
        return
    node = inodes.decode_inode(raw)
    # Lustre's inodes for values keep parent and generation where others keep hash and references.
    if said:
        findings.compare(place, "references", said, counted)
    findings.compare(place, "links", node.links, 1)


def check_ea_values(disk: Disk, findings: Findings, tables: Tables, xattrs: Xattrs) -> None:
    """Hold the values in inodes of their own against their hash."""
    for number in sorted(xattrs.ea_references):
        seen = tables.used.get(number)
        if seen is None or not seen.node.flags & inodes.FLAG_EA_INODE or not seen.mapped.sound:
            continue
        size = seen.node.size_bytes
        if not inodes.ea_references(seen.raw) or size > _MOST_VALUE_BYTES:
            continue  # of Lustre's form, without a hash; too large, which is told as its size
        blocks = (seen.block(disk, logical) for logical in range(-(-size // disk.block_size)))
        value = b"".join(bytes(block or bytes(disk.block_size)) for block in blocks)[:size]
        if inodes.ea_digest(seen.raw) != crc32c(disk.checksums.seed, value):
            findings.say(f"inode {number} (xattr value)", "the value's hash is wrong")

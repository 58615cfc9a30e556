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
from sim.ext4.format.features import Compat, RoCompat

_MANY_LINKS = 65000
"""A directory with more stops counting, at 1 (feature dir_nlink)."""


def check_tree(findings: Findings, names: Names) -> None:
    """Tell directories that the root does not reach, and wrong parents."""
    root = names.tables.used.get(inodes.ROOT_INODE)
    if root is None or root.node.type != inodes.TYPE_DIRECTORY:
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
    special = _without_names(disk)
    for number, seen in sorted(tables.used.items()):
        place = f"inode {number}"
        counted = names.links.get(number, 0)
        if seen.node.flags & inodes.FLAG_EA_INODE and not counted:
            _ea_value(findings, number, seen.raw, xattrs)
        elif number in special or (number < disk.sb.first_inode and number != inodes.ROOT_INODE):
            continue
        elif not counted:
            findings.say(place, "is in use and has no name")
        else:
            many = seen.node.type == inodes.TYPE_DIRECTORY and disk.sb.has(RoCompat.DIR_NLINK)
            if not (many and seen.node.links == 1 and counted > _MANY_LINKS):
                findings.compare(place, "links", seen.node.links, counted)


def _without_names(disk: Disk) -> set[int]:
    """Return the inodes that the superblock leads to."""
    sb = disk.sb
    found = {sb["journal_inode"]} if sb.has(Compat.HAS_JOURNAL) else set()
    if sb.has(RoCompat.QUOTA):
        found |= {sb["user_quota"], sb["group_quota"], sb["project_quota"]}
    return found | ({sb["orphan_file"]} if sb.has(Compat.ORPHAN_FILE) else set())


def _ea_value(findings: Findings, number: int, raw: bytes, xattrs: Xattrs) -> None:
    place = f"inode {number} (xattr value)"
    said = int.from_bytes(raw[12:16], "little") << 32 | int.from_bytes(raw[36:40], "little")
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
        if size > disk.store.size_bytes:
            continue
        value = bytearray(size)
        for extent in seen.mapped.extents:
            for index in range(extent.length):
                at = (extent.logical + index) * disk.block_size
                if at < size and not extent.unwritten:
                    raw = disk.block(extent.physical + index)
                    value[at : at + disk.block_size] = raw[: size - at]
        said = int.from_bytes(seen.raw[8:12], "little")
        references = int.from_bytes(seen.raw[12:16], "little") << 32 | int.from_bytes(
            seen.raw[36:40], "little"
        )
        if references and said != crc32c(disk.seed, value):
            findings.say(f"inode {number} (xattr value)", "the value's hash is wrong")

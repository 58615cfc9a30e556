"""
The steps of a check, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sim.errors import ImageError
from sim.ext4.check.bitmaps import Bitmaps, check_groups
from sim.ext4.check.claims import Claims
from sim.ext4.check.counts import check_counts
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import EnoughError, Findings
from sim.ext4.check.htree import check_hash_trees
from sim.ext4.check.inodes import Inodes
from sim.ext4.check.journal import check_journal, check_mmp
from sim.ext4.check.links import check_ea_values, check_links, check_tree
from sim.ext4.check.names import Names
from sim.ext4.check.orphans import check_orphan_file
from sim.ext4.check.quota import check_quotas
from sim.ext4.check.resize import check_resize_inode
from sim.ext4.check.superblock import UnusableError, check_superblock, open_disk
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore


def check_store(store: ByteStore, name: str) -> Findings:
    """
    Return what is wrong with the file system in a store.

    Raises ImageError only if there is none: a damaged one, wherever the damage lies, is told of.
    """
    findings = Findings()
    try:
        disk = open_disk(store, name, findings)
        findings.unchecked += _left_out(disk)
        _check(disk, findings)
    except (EnoughError, UnusableError):
        pass
    return findings


def _check(disk: Disk, findings: Findings) -> None:
    claims = Claims(disk.sb.cluster_blocks)

    def step(action: Callable[[], object]) -> None:
        try:
            action()
        except ImageError as error:  # cut short, or points out of the image: that step ends, the others go on
            findings.say(error.place.removeprefix(f"{disk.name}: "), error.problem)

    step(partial(check_superblock, disk, findings))
    step(partial(check_groups, disk, findings, claims))
    step(partial(check_mmp, disk, findings))
    if disk.sb.has(Incompat.MMP):
        claims.add(disk.sb.mmp_block, 1, 0, "mmp")
    walk = Inodes(disk, findings, claims)
    step(walk.run)
    tables = walk.tables
    step(partial(check_journal, disk, findings, tables))
    step(partial(check_orphan_file, disk, findings, tables))
    step(partial(check_resize_inode, disk, findings, tables, claims))
    names = Names(disk, findings, tables)
    step(names.run)
    step(partial(check_hash_trees, disk, findings, tables, names.directories))
    step(partial(check_tree, findings, names))
    step(partial(check_links, disk, findings, tables, names, walk.xattrs))
    step(partial(check_ea_values, disk, findings, tables, walk.xattrs))
    step(partial(check_quotas, disk, findings, tables))
    step(partial(check_counts, disk, findings, tables))
    step(partial(_owners, disk, findings, claims))
    step(Bitmaps(disk, findings, claims, tables).run)


def _left_out(disk: Disk) -> list[str]:
    """Return what of this file system is not looked at."""
    sb = disk.sb
    left = ["contents of files; copies of the superblock and the descriptors, while the first are sound"]
    if sb.has(Compat.HAS_JOURNAL):
        left.append("what lies in the journal, which is not replayed")
    if sb.has(Incompat.CASEFOLD):
        left.append("the hashes of names in casefolded directories")
    if sb.has(RoCompat.VERITY):
        left.append("the hash trees of fs-verity")
    return left


def _owners(disk: Disk, findings: Findings, claims: Claims) -> None:
    """Tell blocks with two owners; with shared_blocks (Android's images) inodes may share theirs."""
    shared = disk.sb.has(RoCompat.SHARED_BLOCKS)
    for start, stop, place, other in claims.overlaps():
        if not (shared and place.startswith("inode") and other.startswith("inode")):
            findings.say(place, f"block {start} has another owner, {other} ({stop - start} such blocks)")


def check_image(image: Image) -> list[str]:
    """
    Return a line for each problem of an open image, at most MAX_PROBLEMS and one more; none for a sound one.

    An image that was not unmounted cleanly is told, too: nobody may change it.
    """
    findings = check_store(image.store, image.name)
    return [*findings.problems, *findings.unclean]

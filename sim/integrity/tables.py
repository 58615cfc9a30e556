"""
Static tables of tags: one for every block of the volume, or for every block that is not fixed metadata.

The table is a regular file of the root directory, ".checksums", immutable, its blocks wherever they are. A
file and no reserved inode: e2fsck has inodes 1 to 10 without a mode (it clears 9 and 10), and the boot
loader's inode 5, which it lets be, is a boot loader's. Not past the end of the device either: then it would
not be the file system's, and nothing would keep it when the device grows.

    block of the table: tag, tag, ...   zeros   the block's own tag, over all before it

A tag of its own, as ext4's metadata has, since no entry of the table can be for the table: those of its own
blocks are left out, so is in table_data all that belongs to groups (superblock, descriptors, bitmaps, inode
tables: each has a checksum of its own with metadata_csum). The entry of a block is found without reading
anything: by its number among those that are left. Free blocks have entries too, of what lies there.

Left out: what changes a block without the table (a kernel, other verbs) leaves a wrong tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.inode import FLAG_IMMUTABLE
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image
from sim.integrity.findings import DATA, TAGS, Bad, Checked
from sim.integrity.owners import NOBODY, Owners
from sim.integrity.plan import Plan
from sim.integrity.tagger import OWN_POSITION, Place, Tagger

TABLE_PATH = "/.checksums"


def fixed_blocks(image: Image) -> set[int]:
    """Return the blocks of superblocks, descriptors, bitmaps and inode tables."""
    sb = image.superblock
    fixed = set(range(sb.first_data_block))
    for group, runs in own_blocks_of(image).items():
        start = sb.group_blocks(group).start
        fixed.update(start + at for run in runs for at in run)
    return fixed


@dataclass(frozen=True, slots=True)
class Geometry:
    """
    Which entry is whose. covered: physical blocks in the order of the entries. own: the table's blocks.

    per_block: entries of a block of the table.
    """

    covered: npt.NDArray[np.int64]
    own: list[int]
    per_block: int

    def entry_of(self, physical: int) -> tuple[int, int] | None:
        """Return (block of the table, entry in it) of a physical block; None if it has none."""
        rank = int(np.searchsorted(self.covered, physical))
        if rank == len(self.covered) or self.covered[rank] != physical:
            return None
        return divmod(rank, self.per_block)

    def rows(self) -> Iterator[tuple[int, int, list[int]]]:
        """Yield for each block of the table: its number, where it lies, and the blocks it has tags of."""
        for index, physical in enumerate(self.own):
            mine = self.covered[index * self.per_block : (index + 1) * self.per_block]
            yield index, physical, mine.tolist()


def entries_per_block(plan: Plan, block_size: int) -> int:
    """Return how many tags a block of the table has besides its own."""
    return block_size // plan.tag_bytes - 1


def table_blocks(plan: Plan, image: Image) -> int:
    """Return how many blocks the table of an image takes."""
    total = image.blocks_count - (len(fixed_blocks(image)) if plan.layout == "table_data" else 0)
    return -(-total // (entries_per_block(plan, image.block_size) + 1))


def geometry(image: Image, plan: Plan) -> Geometry:
    """Return the geometry of the table that an image has; ImageError if it cannot be one."""
    inode = image.inode(plan.table_inode)
    own = [e.physical + index for e in inode.tree.extents for index in range(e.length)]
    wanted = table_blocks(plan, image)
    if len(own) != wanted:
        raise ImageError(inode.place, f"a table of {len(own)} blocks", f"{wanted}")
    covered = np.ones(image.blocks_count, dtype=np.bool_)
    covered[own] = False
    if plan.layout == "table_data":
        covered[list(fixed_blocks(image))] = False
    return Geometry(np.flatnonzero(covered), own, entries_per_block(plan, image.block_size))


def own_place(tagger: Tagger, index: int) -> Place:
    """Return the place of the own tag of a block of the table."""
    return tagger.place(b"B", OWN_POSITION | index, (index,), 0, 0)


def make_table(editor: FileEditor, plan: Plan, known: int) -> int:
    """
    Return the inode of the table; known: of the one that the image has, 0 for none, then it is made.

    Raises ImageError for another file of the table's name.
    """
    if known:
        return known
    size = table_blocks(plan, editor.image) * editor.image.block_size
    return editor.add_file(TABLE_PATH, size, 0o400, FLAG_IMMUTABLE)


def write_table(editor: FileEditor, plan: Plan, tagger: Tagger, fresh: bool) -> None:
    """
    Write the tags of all blocks, and encrypt what the cipher makes the tags of.

    fresh: what is in the table is no tags; files that the cipher is to seal are plaintext.
    """
    image, size = editor.image, editor.image.block_size
    shape, owners = geometry(image, plan), Owners(image)
    for index, physical, blocks in shape.rows():
        old = bytes(size) if fresh else bytes(image.read_block(physical))
        row = bytearray()
        for block in blocks:
            owner = owners.of(block)
            place = tagger.block(block, owner.inode, owner.logical)
            was = old[len(row) : len(row) + plan.tag_bytes]
            stored = bytes(image.store.read(block * size, size))
            if tagger.makes_tags(place):
                stored, tag = _resealed(tagger, place, stored, was, fresh)
                editor.write_block(block, stored)
            else:
                tag = tagger.make(place, stored, was)
            row += tag
        row = row.ljust(size - plan.tag_bytes, b"\0")
        editor.write_block(
            physical, row + tagger.of_tags(own_place(tagger, index), bytes(row), old[len(row) :])
        )


def _resealed(tagger: Tagger, place: Place, stored: bytes, was: bytes, fresh: bool) -> tuple[bytes, bytes]:
    """Return a unit and its tag as they are to be: sealed now, or as they are if they hold."""
    if fresh:
        return tagger.seal(place, stored, bytes(len(was)))
    if tagger.again(place, stored, was) == was:
        return stored, was
    raise ImageError("tags", f"inode {place.inode}: block {place.logical} does not open", "what was sealed")


def check_table(image: Image, plan: Plan, tagger: Tagger) -> Checked:
    """Hold every block against its tag, and every block of the table against its own."""
    shape, owners, size = geometry(image, plan), Owners(image), image.block_size
    done = Checked()
    for index, physical, blocks in shape.rows():
        row = bytes(image.read_block(physical))
        done.tag_bytes += size
        body, own = row[: -plan.tag_bytes], row[-plan.tag_bytes :]
        if tagger.can_judge(0):
            done.units += 1
            found = tagger.of_tags_again(own_place(tagger, index), body, own)
            if found != own:
                done.bad.append(Bad(TAGS, TABLE_PATH, plan.table_inode, index, physical, own, found))
        else:
            done.unjudged += 1
        for number, block in enumerate(blocks):
            # Whose a block is decides about its tag only where files have keys; asking takes time.
            owner = owners.of(block) if plan.scheme.file_keys else NOBODY
            if not tagger.can_judge(owner.inode):
                done.unjudged += 1
                continue
            done.units += 1
            place = tagger.block(block, owner.inode, owner.logical)
            tag = row[number * plan.tag_bytes : (number + 1) * plan.tag_bytes]
            found = tagger.again(place, bytes(image.store.read(block * size, size)), tag)
            if found != tag:
                owner = owners.of(block)
                logical = owner.logical if owner.inode else None
                done.bad.append(Bad(DATA, owner.path, owner.inode, logical, block, tag, found))
    return done

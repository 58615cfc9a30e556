"""
What a write of one block does to the tags: the bytes that it hashes, reads and writes, in each layout.

A table: one entry, and the own tag of its block. A list: the tag of the run, for which the rest of it is
read, and the own tag of the whole list. A Merkle tree is for files that do not change: the kernel
refuses the write, here the tree is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.integrity.extents import TAGS_KEY, decode, encode_list, run_place
from sim.integrity.pieces import joined, replaced
from sim.integrity.plan import Plan
from sim.integrity.protect import keyed_files, plan_under
from sim.integrity.tables import geometry, own_place
from sim.integrity.tagger import Secrets, Tagger
from sim.integrity.verity import write_trees


@dataclass(frozen=True, slots=True)
class WriteCost:
    """Bytes of a write of one block: hashed; read besides it; written, the block itself among them."""

    hashed_bytes: int
    read_bytes: int
    written_bytes: int


def update_block(editor: FileEditor, secrets: Secrets, path: str, logical: int, data: bytes) -> WriteCost:
    """
    Write a block of a file as it is to be stored, and bring the tags up to date.

    data: ciphertext of a file that is encrypted, but plaintext where the cipher makes the tags. Raises
    ImageError for an image without tags, a hole, and tags that are wrong already.
    """
    plan = plan_under(editor, secrets)
    tagger = Tagger(plan, editor.image.uuid, secrets, keyed_files(editor.image, secrets))
    inode = editor.image.lookup(path)
    extent = inode.tree.find(logical)
    if extent is None or extent.unwritten:
        raise ImageError(inode.place, f"block {logical} is a hole", "a block that was written")
    physical = extent.physical + logical - extent.logical
    if plan.is_table:
        return _in_table(editor, plan, tagger, physical, (inode.number, logical), data)
    if plan.is_list:
        return _in_list(editor, plan, tagger, inode.number, logical, data)
    editor.write_block(physical, data)
    write_trees(editor, tagger)
    return WriteCost(tagger.hashed_bytes, tagger.hashed_bytes - len(data), 0)


def _in_table(
    editor: FileEditor, plan: Plan, tagger: Tagger, physical: int, owner: tuple[int, int], data: bytes
) -> WriteCost:
    size, shape = editor.image.block_size, geometry(editor.image, plan)
    entry = shape.entry_of(physical)
    assert entry is not None, "a file's block has an entry"
    index, number = entry
    row = bytearray(editor.image.read_block(shape.own[index]))
    at = number * plan.tag_bytes
    was = bytes(row[at : at + plan.tag_bytes])
    place = tagger.block(physical, *owner)
    if tagger.makes_tags(place):
        data, tag = tagger.seal(place, data, was)
    else:
        tag = tagger.make(place, data, was)
    row[at : at + plan.tag_bytes] = tag
    body = bytes(row[: -plan.tag_bytes])
    row[-plan.tag_bytes :] = tagger.of_tags(own_place(tagger, index), body, bytes(row[-plan.tag_bytes :]))
    editor.write_block(physical, data)
    editor.write_block(shape.own[index], row)
    return WriteCost(tagger.hashed_bytes, size, 2 * size)


def _in_list(
    editor: FileEditor, plan: Plan, tagger: Tagger, number: int, logical: int, data: bytes
) -> WriteCost:
    image, size = editor.image, editor.image.block_size
    inode = image.inode(number)
    runs, own = decode(inode, plan)
    which = next(i for i, run in enumerate(runs) if run.logical <= logical < run.logical + run.blocks)
    run = runs[which]
    extent = inode.tree.find(run.logical)
    assert extent is not None, "a run is of blocks that are there"
    first = extent.physical + run.logical - extent.logical
    stored = bytes(image.store.read(first * size, run.blocks * size))
    place, at = run_place(tagger, inode, run.logical, run.blocks, first), (logical - run.logical) * size
    if tagger.makes_tags(place):
        plain = tagger.open(place, stored, run.tag)
        if plain is None:
            raise ImageError(inode.place, f"block {run.logical} does not open", "what was sealed")
        stored, tag = tagger.seal(place, plain[:at] + data + plain[at + size :], run.tag)
        changed = range(run.blocks)
    else:
        stored = stored[:at] + data + stored[at + size :]
        tag, changed = (
            tagger.make(place, stored, run.tag),
            range(logical - run.logical, logical - run.logical + 1),
        )
    for index in changed:
        editor.write_block(first + index, stored[index * size : (index + 1) * size])
    runs[which] = run._replace(tag=tag)
    value = encode_list(plan, tagger, inode, runs, own)
    editor.set_xattrs(number, replaced(inode.xattrs, TAGS_KEY, value))
    read = (run.blocks - 1) * size + len(joined(inode.xattrs, TAGS_KEY))
    return WriteCost(tagger.hashed_bytes, read, len(changed) * size + len(value))

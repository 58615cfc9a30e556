"""
Who can write to the image and has no key: blocks put where they like, and the tags after them.

Mallory tries in turn, from the data alone to all tags made anew: an attack counts as noticed if each try is.
What needs a key, Mallory makes with a key of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from sim.ext4.edit.files import FileEditor
from sim.integrity.algorithms import KEY_BYTES
from sim.integrity.extents import TAGS_KEY, decode, encode_list, run_place, runs_of
from sim.integrity.merkle import HASH_BYTES, area_of
from sim.integrity.pieces import joined, replaced
from sim.integrity.plan import SCHEMES
from sim.integrity.tables import own_place
from sim.integrity.tagger import FileSecret, Secrets, Tagger
from sim.integrity.verity import SEAL_KEY, write_trees
from sim.volume.attacks.lab import BLOCK_BYTES, Lab, edited, image_of

DATA, MOVED, MOVED_OWN, MADE, PUT_BACK = (
    "data alone",
    "tags moved too",
    "tags moved, own tags made",
    "all tags made",
    "tags put back whole",
)


class Move(NamedTuple):
    """A block that comes from another place or time: where to; which image, path and block it comes from."""

    path: str
    logical: int
    source: bytes
    source_path: str
    source_logical: int


class Try(NamedTuple):
    """One try: its name, and the image it leaves."""

    name: str
    raw: bytes


def with_blocks(raw: bytes, blocks: Mapping[int, bytes]) -> bytes:
    """Return an image with other bytes in some physical blocks."""
    changed = bytearray(raw)
    for physical, data in blocks.items():
        changed[physical * BLOCK_BYTES : (physical + 1) * BLOCK_BYTES] = data
    return bytes(changed)


def moved(lab: Lab, base: bytes, moves: list[Move]) -> bytes:
    """Return an image with blocks moved, and nothing else done."""
    blocks = {
        lab.physical(move.path, move.logical): lab.block(move.source, move.source_path, move.source_logical)
        for move in moves
    }
    return with_blocks(base, blocks)


def tries(lab: Lab, base: bytes, moves: list[Move], back_to: bytes | None = None) -> Iterator[Try]:
    """
    Yield what Mallory can make of it; back_to: an older image whose tags may be put back whole.
    """
    data = moved(lab, base, moves)
    yield Try(DATA, data)
    if lab.plan.layout != "merkle":
        yield Try(MOVED, edited(data, lambda editor: _move_tags(lab, editor, moves, own=False)))
        yield Try(MOVED_OWN, edited(data, lambda editor: _move_tags(lab, editor, moves, own=True)))
    yield Try(MADE, edited(data, lambda editor: make_tags(lab, editor, moves)))
    if back_to is not None:
        yield Try(PUT_BACK, put_back(lab, data, back_to, sorted({move.path for move in moves})))


# -- tags ----------------------------------------------------------------------------------------------


def _tag(lab: Lab, raw: bytes, path: str, logical: int) -> bytes:
    """Return the tag that covers a block in one of the images."""
    image = image_of(raw)
    if lab.plan.is_table:
        row_at, at = _entry(lab, path, logical)
        row = bytes(image.read_block(row_at))
        return row[at : at + lab.plan.tag_bytes]
    runs, _own = decode(image.lookup(path), lab.plan)
    return next(run.tag for run in runs if run.logical <= logical < run.logical + run.blocks)


def _entry(lab: Lab, path: str, logical: int) -> tuple[int, int]:
    """Return the physical block of the table that has the tag of a block, and at which byte."""
    entry = lab.shape.entry_of(lab.physical(path, logical))
    assert entry is not None, "a file's block has an entry"
    return lab.shape.own[entry[0]], entry[1] * lab.plan.tag_bytes


def guessed(lab: Lab) -> Secrets:
    """Return keys of Mallory's, and none where the scheme has none."""
    guess = bytes(KEY_BYTES)
    cipher = {number: FileSecret(guess * 2, lambda data, _block: data) for number in lab.secrets.files}
    return Secrets(guess if lab.plan.scheme.volume_key else b"", cipher)


def _guesser(lab: Lab, editor: FileEditor) -> Tagger:
    return Tagger(lab.plan, editor.image.uuid, guessed(lab), frozenset(lab.secrets.files))


def _put(lab: Lab, editor: FileEditor, path: str, tags: Mapping[int, bytes], own: bool) -> None:
    """Put tags of blocks of a file, by logical block; own: make the own tags anew, as far as that goes."""
    tagger, image = _guesser(lab, editor), editor.image
    if lab.plan.is_table:
        for logical, tag in tags.items():
            row_at, at = _entry(lab, path, logical)
            row = bytearray(editor.image.read_block(row_at))
            row[at : at + len(tag)] = tag
            if own:
                size = lab.plan.tag_bytes
                place = own_place(tagger, lab.shape.own.index(row_at))
                row[-size:] = tagger.of_tags(place, bytes(row[:-size]), bytes(row[-size:]))
            editor.write_block(row_at, row)
        return
    inode = image.lookup(path)
    runs, own_tag = decode(inode, lab.plan)
    runs = [
        run._replace(
            tag=next((tags[at] for at in range(run.logical, run.logical + run.blocks) if at in tags), run.tag)
        )
        for run in runs
    ]
    value = encode_list(lab.plan, tagger, inode, runs, own_tag)
    if not own:
        value = value[: -lab.plan.tag_bytes] + own_tag
    editor.set_xattrs(inode.number, replaced(inode.xattrs, TAGS_KEY, value))


def _move_tags(lab: Lab, editor: FileEditor, moves: list[Move], own: bool) -> None:
    for path in sorted({move.path for move in moves}):
        tags = {
            move.logical: _tag(lab, move.source, move.source_path, move.source_logical)
            for move in moves
            if move.path == path
        }
        _put(lab, editor, path, tags, own)


def make_tags(lab: Lab, editor: FileEditor, moves: list[Move]) -> None:
    """Make the tags of moved blocks anew, own tags and all, as far as that needs no key."""
    image, tagger = editor.image, _guesser(lab, editor)
    if lab.plan.layout == "merkle":
        plain = Tagger(replace(lab.plan, scheme=SCHEMES["checksum"]), image.uuid, Secrets(), frozenset())
        write_trees(editor, plain)
        return
    for path in sorted({move.path for move in moves}):
        inode, tags = image.lookup(path), dict[int, bytes]()
        wanted = {move.logical for move in moves if move.path == path}
        for logical, physical, blocks in runs_of(inode, 1 if lab.plan.is_table else lab.plan.extent_blocks):
            covered = wanted & set(range(logical, logical + blocks))
            if covered:
                place = run_place(tagger, inode, logical, blocks, physical)
                if lab.plan.is_table:
                    place = tagger.block(physical, inode.number, logical)
                stored = bytes(image.store.read(physical * BLOCK_BYTES, blocks * BLOCK_BYTES))
                old = _tag(lab, lab.new, path, logical)
                tags[min(covered)] = tagger.make(place, stored, old)
        _put(lab, editor, path, tags, own=True)


def put_back(lab: Lab, raw: bytes, old: bytes, paths: list[str]) -> bytes:
    """Return an image with the tags that some files had in an older one: table blocks, lists, trees."""
    image = image_of(old)
    if lab.plan.is_table:
        rows = {
            _entry(lab, path, logical + at)[0]
            for path in paths
            for logical, _physical, blocks in runs_of(image.lookup(path), 0)
            for at in range(blocks)
        }
        return with_blocks(raw, {row: bytes(image.read_block(row)) for row in rows})

    def put(editor: FileEditor) -> None:
        for path in paths:
            inode, was = editor.image.lookup(path), image.lookup(path)
            if lab.plan.layout == "merkle":
                for extent in was.tree.extents:
                    if extent.logical >= was.blocks:
                        for at in range(extent.physical, extent.physical + extent.length):
                            editor.write_block(at, bytes(image.read_block(at)))
                kept = {key: value for key, value in inode.xattrs.items() if key != SEAL_KEY}
                seal = {SEAL_KEY: was.xattrs[SEAL_KEY]} if SEAL_KEY in was.xattrs else {}
                editor.set_xattrs(inode.number, {**kept, **seal})
            else:
                value = joined(was.xattrs, TAGS_KEY)
                editor.set_xattrs(inode.number, replaced(inode.xattrs, TAGS_KEY, value))

    return edited(raw, put)


def flip_tag(lab: Lab, path: str, logical: int) -> bytes:
    """Return the image with one bit changed where the tag of a block lies: on the disk, by no editor."""
    if lab.plan.layout == "merkle":
        inode = lab.image.lookup(path)
        area = area_of(inode.size_bytes, BLOCK_BYTES)
        at = lab.physical(path, area.first) * BLOCK_BYTES + logical * HASH_BYTES
    elif lab.plan.is_table:
        row, inside = _entry(lab, path, logical)
        at = row * BLOCK_BYTES + inside
    else:
        value = joined(lab.image.lookup(path).xattrs, TAGS_KEY)
        at = lab.new.index(value) + value.index(_tag(lab, lab.new, path, logical))
    return lab.new[:at] + bytes((lab.new[at] ^ 1,)) + lab.new[at + 1 :]

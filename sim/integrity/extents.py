"""
Tags with each extent: a list in an xattr of the file, of which an entry is of a run of blocks.

    4 magic "rptg"   4 blocks of a run at most, 0: any   8 bytes of the file   4 entries
    entry: 4 first logical block   4 blocks   the tag of all of them
    the list's own tag

Little endian, index 4 (trusted), name "readpath.tags", further pieces "readpath.tags1" and so on. An xattr,
because an entry of the extent tree has 12 bytes and none to spare. ext4 puts it into the inode (two runs of
crc32c), into the xattr block, or, if it is longer, into inodes of its own (ea_inode), whose value e2fsck
holds against a hash. A run is an extent of the tree, cut every so many blocks; unwritten ones
have no tag, for they read as zeros. Every written block must be in a run, and the file as long as it was.

A tag is of a run's place in its file (per_extent): nobody else can use it, a clone neither. Or of its place
on the device (per_extent_place): a clone may have the same tags, in a list whose own tag names the clone.

Only files have tags here: directories, symlinks and all metadata have none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.features import RoCompat
from sim.ext4.format.xattr import INDEX_TRUSTED, XattrKey
from sim.ext4.read.counts import COUNTS_PATH
from sim.ext4.read.reader import Image, Inode
from sim.integrity.findings import DATA, GONE, TAGS, Bad, Checked
from sim.integrity.pieces import joined, replaced
from sim.integrity.plan import Plan
from sim.integrity.tagger import LIST_BLOCK, Place, Tagger

TAGS_KEY: XattrKey = (INDEX_TRUSTED, b"readpath.tags")
_HEAD = struct.Struct("<4sIQI")
_RUN = struct.Struct("<II")
_MAGIC = b"rptg"


class TaggedRun(NamedTuple):
    """A run of logical blocks and its tag."""

    logical: int
    blocks: int
    tag: bytes


def list_bytes(plan: Plan, runs: int) -> int:
    """Return how many bytes a list of so many runs has."""
    return _HEAD.size + runs * (_RUN.size + plan.tag_bytes) + plan.tag_bytes


def are_cut(pieces: Sequence[tuple[int, int]], runs: Sequence[tuple[int, int]]) -> bool:
    """Tell whether pieces (first block, blocks), in order, are runs, of which some were cut."""
    rest = iter(pieces)
    for start, blocks in runs:
        at = start
        while at < start + blocks:
            first, count = next(rest, (at, 0))
            if first != at or not 0 < count <= start + blocks - at:
                return False
            at += count
    return next(rest, None) is None


def files_of(image: Image) -> Iterator[tuple[str, Inode]]:
    """
    Yield the regular files that have contents in blocks, each once.

    Counts of shared blocks are no file's data, and have checksums of their own.
    """
    seen = set[int]()
    counts = COUNTS_PATH if image.superblock.has(RoCompat.SHARED_BLOCKS) else ""
    for path, inode in image.walk():
        if path != counts and inode.is_regular and inode.has_contents and inode.number not in seen:
            seen.add(inode.number)
            yield path, inode


def runs_of(inode: Inode, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield (logical, physical, blocks) of a file's runs: its written extents, cut every `most` blocks."""
    for logical, physical, length, unwritten in inode.tree.extents:
        if not unwritten:
            for at in range(0, length, most or length):
                yield logical + at, physical + at, min(most or length, length - at)


def run_place(tagger: Tagger, inode: Inode, logical: int, blocks: int, physical: int) -> Place:
    """Return the place of a run."""
    return tagger.extent(inode.number, inode.raw.generation, logical, blocks, physical)


def list_place(tagger: Tagger, inode: Inode) -> Place:
    """Return the place of a file's list."""
    numbers = (inode.number, inode.raw.generation)
    return tagger.place(b"L", inode.number << 32 | LIST_BLOCK, numbers, inode.number, LIST_BLOCK)


def encode_list(plan: Plan, tagger: Tagger, inode: Inode, runs: Sequence[TaggedRun], old: bytes) -> bytes:
    """Return a file's list with its own tag; old: the own tag of the list before."""
    said = _HEAD.pack(_MAGIC, plan.extent_blocks, inode.size_bytes, len(runs))
    said += b"".join(_RUN.pack(run.logical, run.blocks) + run.tag for run in runs)
    return said + tagger.of_tags(list_place(tagger, inode), said, old)


def write_lists(editor: FileEditor, plan: Plan, tagger: Tagger, fresh: bool) -> None:
    """
    Write the lists of all files, and encrypt what the cipher makes the tags of.

    fresh: lists that are there are of no plan; files that the cipher is to seal are plaintext.
    """
    for _path, inode in list(files_of(editor.image)):
        write_list(editor, plan, tagger, editor.image.inode(inode.number), fresh)


def write_list(editor: FileEditor, plan: Plan, tagger: Tagger, inode: Inode, fresh: bool) -> None:
    """Write the list of one file; as `write_lists`."""
    image, size = editor.image, editor.image.block_size
    old = decode(inode, plan) if joined(inode.xattrs, TAGS_KEY) and not fresh else ([], b"")
    had = {(run.logical, run.blocks): run.tag for run in old[0]}
    runs: list[TaggedRun] = []
    for logical, physical, blocks in runs_of(inode, plan.extent_blocks):
        place = run_place(tagger, inode, logical, blocks, physical)
        stored = bytes(image.store.read(physical * size, blocks * size))
        was = had.get((logical, blocks), b"")
        if not tagger.makes_tags(place):
            tag = tagger.make(place, stored, was)
        elif was and tagger.again(place, stored, was) == was:
            tag = was
        elif was:
            raise ImageError(inode.place, f"block {logical} does not open", "what was sealed")
        else:
            stored, tag = tagger.seal(place, stored, b"")
            for index in range(blocks):
                editor.write_block(physical + index, stored[index * size : (index + 1) * size])
        runs.append(TaggedRun(logical, blocks, tag))
    value = encode_list(plan, tagger, inode, runs, old[1])
    editor.set_xattrs(inode.number, replaced(inode.xattrs, TAGS_KEY, value))


def decode(inode: Inode, plan: Plan) -> tuple[list[TaggedRun], bytes]:
    """Return the runs of a file's list, and the list's own tag; ImageError for what can be none."""
    raw = joined(inode.xattrs, TAGS_KEY)
    if len(raw) < _HEAD.size:
        raise ImageError(inode.place, f"a list of tags of {len(raw)} bytes", f"{_HEAD.size} and more")
    magic, most, _size, count = _HEAD.unpack_from(raw)
    if (magic, most) != (_MAGIC, plan.extent_blocks) or len(raw) != list_bytes(plan, count):
        problem = f"a list of {count} tags of at most {most} blocks in {len(raw)} bytes"
        raise ImageError(
            inode.place, problem, f"{list_bytes(plan, count)} bytes, {plan.extent_blocks} blocks"
        )
    step = _RUN.size + plan.tag_bytes
    starts = range(_HEAD.size, _HEAD.size + count * step, step)
    runs = [_run(raw[at : at + step]) for at in starts]
    return runs, raw[len(raw) - plan.tag_bytes :]


def _run(raw: bytes) -> TaggedRun:
    logical, blocks = _RUN.unpack_from(raw)
    return TaggedRun(logical, blocks, raw[_RUN.size :])


def check_lists(image: Image, plan: Plan, tagger: Tagger) -> Checked:
    """Hold every run against its tag, every list against its own, and the files against their lists."""
    done = Checked()
    for path, inode in files_of(image):
        if tagger.can_judge(inode.number):
            _check_file(image, plan, tagger, path, inode, done)
        else:
            done.unjudged += 1
    return done


def _check_file(image: Image, plan: Plan, tagger: Tagger, path: str, inode: Inode, done: Checked) -> None:
    def say(
        what: str, logical: int | None, physical: int | None, expected: bytes, found: bytes, blocks: int = 1
    ) -> None:
        done.bad.append(Bad(what, path, inode.number, logical, physical, expected, found, blocks))

    try:
        runs, own = decode(inode, plan)
    except ImageError:
        say(GONE, None, None, b"", b"")
        return
    raw = joined(inode.xattrs, TAGS_KEY)
    done.tag_bytes += len(raw)
    done.units += 1
    found = tagger.of_tags_again(list_place(tagger, inode), raw[: -plan.tag_bytes], own)
    if found != own:
        say(TAGS, None, None, own, found)
    said_size = _HEAD.unpack_from(raw)[2]
    if said_size != inode.size_bytes:
        say(GONE, None, None, said_size.to_bytes(8, "big"), inode.size_bytes.to_bytes(8, "big"))
    mapped = {
        logical + at: physical + at for logical, physical, blocks in runs_of(inode, 0) for at in range(blocks)
    }
    for logical, blocks, tag in runs:
        done.units += 1
        if not 0 < blocks <= len(mapped) or any(at not in mapped for at in range(logical, logical + blocks)):
            say(GONE, logical, None, tag, b"", blocks)
            continue
        places = [mapped.pop(block) for block in range(logical, logical + blocks)]
        stored = _stored(image, places)
        found = tagger.again(run_place(tagger, inode, logical, blocks, places[0]), stored, tag)
        if found != tag:
            say(DATA, logical, places[0], tag, found, blocks)
    for logical, physical in sorted(mapped.items()):
        say(GONE, logical, physical, b"", b"")


def _stored(image: Image, places: Sequence[int]) -> bytes:
    """Return the bytes of some physical blocks, those in a row read in one go."""
    size = image.block_size
    if places[-1] - places[0] == len(places) - 1 and all(b - a == 1 for a, b in pairwise(places)):
        return bytes(image.store.read(places[0] * size, len(places) * size))
    return b"".join(bytes(image.read_block(block)) for block in places)

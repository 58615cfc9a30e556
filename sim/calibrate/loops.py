"""
The hot loops among the ns records: which constants one turn of each spends.

A loop is a lower bound: in place, caches are colder and branches less known. The fit takes it with a wide
margin (fit.LOOP_SIGMA). Left out: `clock`, `pgalloc` (frees what it allocates, which no read does),
`memcpy` and `memset` (they are the priors of what moves bytes), loops on a device that copies.
"""

from __future__ import annotations

from sim.calibrate.constants import SELF, Constant
from sim.calibrate.measured import Features, Primitive
from sim.errors import ConfigError
from sim.units import PAGE_BYTES

_MOVED = {
    "memcpy": {("copy_page_to_iter", "byte"): 1, ("memcpy_page", "sector"): 512},
    "memset": {
        ("clear_page_erms", SELF): PAGE_BYTES,
        ("folio_zero_range", "byte"): 1,
        ("folio_zero_segment", "byte"): 1,
        ("zero_user_segments", "byte"): 1,
        ("bvec_alloc", "vector"): 16,
    },
}
"""Bytes that a constant copies or clears."""
BYTE_CONSTANTS = frozenset(constant for moved in _MOVED.values() for constant in moved)
"""Constants that move bytes: a byte counts as an instruction and takes far less."""

REP_BYTES: dict[Constant, int] = {("copy_from_nullb", "sector"): 512}
"""
Of a constant's instructions, those that are bytes of a `rep` which copies: null_blk looks its page up for
every sector it copies, and rep movsb is one a byte.
"""

MOVED_BYTES: dict[Constant, int] = {
    constant: count for moved in _MOVED.values() for constant, count in moved.items()
} | REP_BYTES
"""Bytes that each constant moves or sets."""


def byte_loops(loops: list[Primitive]) -> dict[Constant, float]:
    """
    Return the prior in ns of the constants that move bytes: memcpy and memset of a page in a hot loop.

    Raises ConfigError if the records have no such loop.
    """
    prior: dict[Constant, float] = {}
    for what, moved in _MOVED.items():
        times = [loop.ns for loop in loops if loop.what == what]
        if not times:
            raise ConfigError("the times", f"have no loop {what!r}", "one per machine")
        prior |= {constant: min(times) / PAGE_BYTES * count for constant, count in moved.items()}
    return prior


_BIO = (
    "bio_alloc_bioset submit_bio submit_bio_noacct submit_bio_noacct_nocheck __submit_bio brd_submit_bio"
    " bio_endio bio_put bio_free"
)


def _once(words: str) -> Features:
    return {(symbol, SELF): 1.0 for symbol in words.split()}


def _nodes(block_size: int, extents: int) -> int:
    """Return how many tree blocks a walk meets: 4 extents lie in the inode, (block - 12) / 12 in a block."""
    per_block, depth, room = (block_size - 12) // 12, 0, 4
    while extents > room:
        depth, room = depth + 1, room * per_block
    return depth


def _walk(block_size: int, extents: int) -> Features:
    nodes = _nodes(block_size, extents)
    return _once("ext4_find_extent") | {
        ("ext4_find_extent", "node"): nodes,
        ("__read_extent_tree_block", SELF): nodes,
        ("__getblk_gfp", SELF): nodes,
    }


def loop_features(loop: Primitive) -> Features:
    """Return what one turn of a loop charges; nothing for one that is not used."""
    if loop.device != "ram":
        return {}
    level = float(loop.known.bit_length())
    lookup = _once("ext4_map_blocks ext4_es_lookup_extent") | {("ext4_es_lookup_extent", "level"): level}
    per_page = PAGE_BYTES // loop.block_size
    match loop.what:
        case "map_blocks":
            return lookup
        case "get_block" if loop.status == "warm":
            return lookup | _once("ext4_get_block")
        case "get_block" if _nodes(loop.block_size, loop.extents):  # without a tree: as warm, all but once
            grown = lookup | {
                ("ext4_es_lookup_extent", "level"): level - 1,
                ("ext4_es_insert_extent", "level"): level - 1,
            }
            walked = _once("ext4_get_block ext4_ext_map_blocks ext4_es_insert_extent")
            return grown | walked | _walk(loop.block_size, loop.extents)
        case "find_extent":
            return _walk(loop.block_size, loop.extents)
        case "bhalloc":
            heads = _once("alloc_buffer_head free_buffer_head")
            return heads | {("alloc_page_buffers", SELF): 1 / per_page, ("alloc_page_buffers", "block"): 1.0}
        case "bio" if loop.arg == 1:
            return _once(_BIO)
        case "hit":
            return _hit(loop.arg)
        case "inval" if loop.path == "mpage":
            return _once("shrink_folio_list")
        case "inval":
            return _once("shrink_folio_list try_to_free_buffers") | {
                ("free_buffer_head", SELF): float(per_page)
            }
    return {}


def _hit(read_bytes: int) -> Features:
    """A page of a cached read in calls of `read_bytes`: batches of 15 pages."""
    pages = read_bytes // PAGE_BYTES
    batches = -(-pages // 15) / pages
    features = _once("folio_mark_accessed copy_page_to_iter") | {
        ("copy_page_to_iter", "byte"): float(PAGE_BYTES),
        ("filemap_read", "page"): 1.0,
        ("filemap_get_read_batch", "page"): 1.0,
    }
    for symbol, times in (("vfs_read", 1 / pages), ("filemap_read", 1 / pages)):
        features[symbol, SELF] = times
    return features | {("filemap_get_pages", SELF): batches, ("filemap_get_read_batch", SELF): batches}

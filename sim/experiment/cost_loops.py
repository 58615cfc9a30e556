"""
The hot loops among the ns records: which constants one turn of each spends.

A loop is a lower bound: in place, caches are colder and branches less known. The fit takes it with a wide
margin (cost_fit.LOOP_SIGMA). Left out: `clock`, `pgalloc` (frees what it allocates, which no read does),
`memcpy` and `memset` (they are the priors of what moves bytes), loops on a device that copies.
"""

from __future__ import annotations

from sim.experiment.cost_model import SELF, Constant
from sim.experiment.cost_records import Features, Primitive
from sim.units import PAGE_BYTES

MEMCPY_NS, MEMSET_NS = 78.0 / PAGE_BYTES, 66.0 / PAGE_BYTES
"""ns a byte: memcpy and memset of 4 KiB in the second-level cache (`memcpy`, `memset` of uml-ns.jsonl)."""

BYTE_LOOPS: dict[Constant, float] = {
    ("copy_page_to_iter", "byte"): MEMCPY_NS,
    ("memcpy_page", "sector"): MEMCPY_NS * 512,
    ("clear_page_erms", SELF): MEMSET_NS * PAGE_BYTES,
    ("folio_zero_range", "byte"): MEMSET_NS,
    ("folio_zero_segment", "byte"): MEMSET_NS,
    ("zero_user_segments", "byte"): MEMSET_NS,
    ("bvec_alloc", "vector"): MEMSET_NS * 16,
}
"""Constants that move bytes, with their prior in ns: a byte counts as an instruction and takes far less."""

_EXTENTS = {
    (1024, "contig"): 2,
    (1024, "frag1"): 16384,
    (1024, "frag4"): 4096,
    (1024, "sparse"): 4096,
    (4096, "contig"): 1,
    (4096, "frag1"): 4096,
    (4096, "frag4"): 1024,
    (4096, "sparse"): 4096,
}
"""Entries of the status cache when all of the file is known (extents and holes), by block size and layout."""

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
    entries = _EXTENTS.get((loop.block_size, loop.layout))
    if not loop.name.startswith("ram/") or entries is None:
        return {}
    level = float(entries.bit_length())
    extents = entries // 2 if loop.layout == "sparse" else entries
    lookup = _once("ext4_map_blocks ext4_es_lookup_extent") | {("ext4_es_lookup_extent", "level"): level}
    per_page = PAGE_BYTES // loop.block_size
    match loop.what:
        case "map_blocks":
            return lookup
        case "get_block" if loop.status == "warm":
            return lookup | _once("ext4_get_block")
        case "get_block" if loop.layout != "contig":
            grown = lookup | {
                ("ext4_es_lookup_extent", "level"): level - 1,
                ("ext4_es_insert_extent", "level"): level - 1,
            }
            walked = _once("ext4_get_block ext4_ext_map_blocks ext4_es_insert_extent")
            return grown | walked | _walk(loop.block_size, extents)
        case "find_extent":
            return _walk(loop.block_size, extents)
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

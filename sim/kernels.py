"""
What differs between kernel versions, as data: readahead, plug, names of symbols, large folios, read paths.

A version is one entry of KERNELS. `NULL` is none: it reads what is asked for and plugs nothing, so that what
readahead and plugging save can be told. Which paths have large folios on a version says the path's design.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sim.cache.folios import LINUX_6_1, LINUX_6_12, LINUX_7_3, FolioRules
from sim.cache.readahead import Linux61, Linux316, NoReadahead, ReadaheadPolicy
from sim.cache.readahead_73 import Linux73
from sim.cache.readahead_612 import Linux612
from sim.paths import rules

_SYMBOLS_316 = {
    "filemap_read": "do_generic_file_read",
    "ext4_file_read_iter": "generic_file_read_iter",
    "folio_mark_accessed": "mark_page_accessed",
    "copy_page_to_iter": "copy_page_to_iter",
    "folio_put_wait_locked": "__lock_page_killable",
    "page_cache_sync_ra": "page_cache_sync_readahead",
    "page_cache_async_ra": "page_cache_async_readahead",
    "force_page_cache_ra": "force_page_cache_readahead",
    "page_cache_ra_unbounded": "__do_page_cache_readahead",
    "page_cache_ra_order": "ra_submit",
    "filemap_alloc_folio": "__page_cache_alloc",
    "filemap_add_folio": "add_to_page_cache_lru",
    "__filemap_add_folio": "__add_to_page_cache_locked",
    "folio_add_lru": "lru_cache_add",
    "folio_unlock": "unlock_page",
    "shrink_folio_list": "shrink_page_list",
    "block_read_full_folio": "block_read_full_page",
    "mpage_readahead": "mpage_readpages",
    "ext4_readahead": "ext4_readpages",
}


_SYMBOLS_612 = {
    "filemap_alloc_folio": "filemap_alloc_folio_noprof",
    "page_endio": "folio_end_read",
    "unlock_page": "folio_end_read",
    "unlock_page;folio_unlock": "",
    "block_read_full_folio;folio_unlock": "folio_end_read",
    "iomap_finish_folio_read;folio_unlock": "folio_end_read",
    "create_page_buffers": "",
    "alloc_page_buffers": "folio_alloc_buffers",
    "submit_bh_wbc;bio_add_page": "",
    "bio_add_page": "bio_add_folio",
    "mpage_end_io": "mpage_read_end_io",
    "iomap_page_create": "",
}
_SYMBOLS_73 = _SYMBOLS_612 | {
    "copy_page_to_iter": "copy_folio_to_iter",
    "create_page_buffers": "folio_create_buffers",
    "submit_bh": "bh_submit",
    "submit_bh_wbc": "__bh_submit",
    "end_bio_bh_io_sync": "",
    "end_buffer_async_read_io": "bh_end_async_read",
    "ext4_mpage_readpages": "",
    "ext4_es_insert_extent": "ext4_es_cache_extent",
    "iomap_readpage_iter": "iomap_read_folio_iter",
}
"""Names of other versions for symbols of 6.1: see Ledger. "": none, the caller does it."""


def _assumed(like: str, self_ns: float, instructions: float, group: str = "decrypt") -> dict[str, Any]:
    """Return the cost of a symbol that no recording tells from its callers: that of one that does as much."""
    source = f"assumption: as {like} of 6.1"
    return {"self": self_ns, "instructions": instructions, "group": group, "spread": 0.5, "source": source}


_SHA256: Final = {"per_unit": 0.5, "unit_instructions": 1.5, "unit": "byte"}
"""By the CPU's own instructions."""

_COSTS_61: Final = {
    "verity_work": _assumed("decrypt_work", 5, 20, "other"),
    "fsverity_enqueue_verify_work": _assumed("fscrypt_enqueue_decrypt_work", 10, 50, "other"),
    "fsverity_verify_bio": _assumed("fscrypt_decrypt_bio", 30, 150, "other"),
    "verify_page": _assumed("fscrypt_decrypt_pagecache_blocks", 20, 100, "other"),
    "ext4_read_merkle_tree_page": _assumed("filemap_get_read_batch", 20, 100, "other"),
    "read_cache_page": _assumed("a call that hands on", 3, 12, "other"),
    "do_read_cache_folio": _assumed("filemap_get_read_batch", 20, 100, "other"),
    "fsverity_hash_page": _assumed("fscrypt_crypt_block", 40, 200, "other"),
    "crypto_ahash_digest": _assumed("crypto_skcipher_decrypt", 10, 40, "other"),
    "crypto_shash_digest": _assumed("crypto_skcipher_decrypt", 10, 40, "other"),
    "crypto_shash_finup": _assumed("crypto_skcipher_decrypt", 10, 40, "other") | _SHA256,
}
"""fs-verity of 6.1: its calls are recorded, what they cost is not."""

_COSTS_73: Final = {
    "__blk_crypto_submit_bio": _assumed("__blk_crypto_bio_prep", 6, 30),
    "blk_crypto_fallback_bio_prep": _assumed("bio_crypt_set_ctx", 30, 150),
    "blk_crypto_fallback_decrypt_endio": _assumed("fscrypt_enqueue_decrypt_work", 10, 50),
    "blk_crypto_fallback_decrypt_bio": _assumed("fscrypt_decrypt_bio", 30, 150),
    "fsverity_readahead": _assumed("fscrypt_decrypt_bio", 20, 100, "other"),
    "ext4_readahead_merkle_tree": _assumed("a call that hands on", 3, 12, "other"),
    "generic_readahead_merkle_tree": _assumed("filemap_get_read_batch", 20, 100, "other"),
    "fsverity_enqueue_verify_work": _assumed("fscrypt_enqueue_decrypt_work", 10, 50, "other"),
    "fsverity_verify_bio": _assumed("fscrypt_decrypt_bio", 30, 150, "other"),
    "fsverity_add_data_blocks": _assumed("fscrypt_decrypt_pagecache_blocks", 20, 100, "other"),
    "fsverity_verify_pending_blocks": _assumed("a call that hands on", 3, 12, "other"),
    "ext4_read_merkle_tree_page": _assumed("a call that hands on", 3, 12, "other"),
    "generic_read_merkle_tree_page": _assumed("filemap_get_read_batch", 20, 100, "other"),
    "verify_data_block": _assumed("fscrypt_crypt_block", 40, 200, "other") | _SHA256,
}
"""
blk-crypto-fallback, and fs-verity with SHA-256 by the CPU's own instructions: not in any recording of costs.
"""


@dataclass(frozen=True, slots=True)
class KernelVersion:
    """
    One version.

    readahead: makes its policy. plug_*: see QueueLimits. renamed: its names for symbols of the same duty.
    folios: the rules of its page cache, and of its large folios, None without. folios_unasked: files have
    them unless told otherwise (on a path whose design has them there). encrypt_forbids_folios: no file of a
    file system with the feature encrypt has them, plain ones neither; else encrypted files have none.
    large_blocks: file systems may have blocks larger than a page. paths: what its read paths do. queue_rqs: a
    plug's requests go down as a list (since 5.16). newest_first: a plug is a stack, its newest request goes
    down first (until 6.12). rest_checked: what is left of a bio that was cut passes submit_bio_noacct()
    again. costs: of symbols that 6.1 does not have, as in a profile's [cost]. measured: the file of
    profiles/kernels that has what 6.1's symbols take on it, "" for 6.1's own.
    """

    name: str
    readahead: Callable[[], ReadaheadPolicy]
    plug_requests: int
    plug_flush_sectors: int
    plug_sorted: bool
    renamed: dict[str, str] = field(default_factory=dict)
    folios: FolioRules | None = None
    folios_unasked: bool = False
    encrypt_forbids_folios: bool = False
    large_blocks: bool = False
    paths: rules.PathRules = rules.LINUX_3_16
    queue_rqs: bool = True
    newest_first: bool = True
    rest_checked: bool = True
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measured: str = ""


KERNELS: dict[str, KernelVersion] = {
    kernel.name: kernel
    for kernel in (
        KernelVersion("3.16", Linux316, 16, 0, True, _SYMBOLS_316, queue_rqs=False),
        KernelVersion(
            "6.1", Linux61, 32, 256, False, folios=LINUX_6_1, paths=rules.LINUX_6_1, costs=_COSTS_61
        ),
        KernelVersion(
            "6.12",
            Linux612,
            32,
            256,
            False,
            _SYMBOLS_612,
            LINUX_6_12,
            paths=rules.LINUX_6_12,
            measured="linux-6.12",
        ),
        KernelVersion(
            "7.3",
            Linux73,
            32,
            256,
            False,
            _SYMBOLS_73,
            LINUX_7_3,
            folios_unasked=True,
            encrypt_forbids_folios=True,
            large_blocks=True,
            paths=rules.LINUX_7_3,
            newest_first=False,
            rest_checked=False,
            costs=_COSTS_73,
            measured="linux-7.3",
        ),
    )
}
"""
6.1, 6.12 and 7.3 are recorded (results/kernel). ext4 has large folios since 6.16; XFS, and so iomap, since
5.18: for 6.1 and 6.12 they must be asked for.
"""

NULL = KernelVersion("null", NoReadahead, 1, 0, False, queue_rqs=False)
"""No version: no readahead, and a plug that holds one request."""

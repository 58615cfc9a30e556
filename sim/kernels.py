"""
What differs between kernel versions, as data: readahead, the plug, names of symbols, large folios.

A version is one entry of KERNELS. `NULL` is none: it reads what is asked for and plugs nothing, so that what
readahead and plugging save can be told. Which paths have large folios on a version says the path's design.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.cache.folios import LINUX_6_1, LINUX_6_16, FolioRules
from sim.cache.readahead import Linux61, Linux316, Linux616, NoReadahead, ReadaheadPolicy

_SYMBOLS_316 = {
    "filemap_read": "do_generic_file_read",
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


_SYMBOLS_616 = {
    "copy_page_to_iter": "copy_folio_to_iter",
    "page_endio": "folio_end_read",
    "unlock_page": "folio_end_read",
    "create_page_buffers": "folio_create_buffers",
    "alloc_page_buffers": "folio_alloc_buffers",
    "iomap_page_create": "ifs_alloc",
}


@dataclass(frozen=True, slots=True)
class KernelVersion:
    """
    One version.

    readahead: makes its policy. plug_*: see QueueLimits. renamed: its names for symbols of the same duty.
    folios: the rules of its large folios, None without. folios_unasked: files have them unless told otherwise
    (on a path whose design has them there). queue_rqs: a plug's requests go down as a list (since 5.16).
    """

    name: str
    readahead: Callable[[], ReadaheadPolicy]
    plug_requests: int
    plug_flush_sectors: int
    plug_sorted: bool
    renamed: dict[str, str] = field(default_factory=dict)
    folios: FolioRules | None = None
    folios_unasked: bool = False
    queue_rqs: bool = True


KERNELS: dict[str, KernelVersion] = {
    kernel.name: kernel
    for kernel in (
        KernelVersion("3.16", Linux316, 16, 0, True, _SYMBOLS_316, queue_rqs=False),
        KernelVersion("6.1", Linux61, 32, 256, False, folios=LINUX_6_1),
        KernelVersion("6.16", Linux616, 32, 256, False, _SYMBOLS_616, LINUX_6_16, folios_unasked=True),
    )
}
"""ext4 has large folios since 6.16; XFS, and so iomap, since 5.18: for 6.1 they must be asked for."""

NULL = KernelVersion("null", NoReadahead, 1, 0, False, queue_rqs=False)
"""No version: no readahead, and a plug that holds one request."""

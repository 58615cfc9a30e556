"""
Which kernel a record is of, and which counters that version has that 6.1 has not.

A record names its kernel (`kernel`: "7.3.4"); one that does not is of the kernel that its folder names
("linux-7.3.4"), or of 6.1.192. A symbol that a version lacks
is not in its records, and then named by the comparison where the simulator has calls of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sim.errors import ConfigError
from sim.kernels import KERNELS

FIRST: Final = "6.1.192"
"""The kernel of records that name none."""

_OWN = ""


@dataclass(frozen=True, slots=True)
class VersionCounters:
    """
    The counters of one version beside, or instead of, those of 6.1 (counters.py).

    compared: symbol -> what it is in the simulator, "" for its own name there. at_least, not_compared:
    symbol -> why, as in counters.py. events: block events that are something else than in 6.1.
    """

    compared: Mapping[str, str] = field(default_factory=dict)
    at_least: Mapping[str, str] = field(default_factory=dict)
    not_compared: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)


_MARKED: Final = "getblk marks a page of the device by what the CPU's own list of buffers holds"
_CACHE: Final = (
    "a bio for at most 4 vectors comes from a list of its CPU, and goes back there or not: time decides"
)
_INSERTS: Final = "what of an extent is known already is passed over: entries are not modelled one by one"
_TRIED: Final = "an attempt that the limits of a request end counts too"
_INNER: Final = "not modelled by itself: a helper of calls that are compared"

_SINCE_612: Final = {
    "filemap_alloc_folio_noprof": _OWN,
    "folio_alloc_noprof": "filemap_alloc_folio_noprof",
    "folio_alloc_buffers": _OWN,
    "folio_end_read": _OWN,
    "mpage_read_end_io": _OWN,
    "mpage_end_io": "ext4_mpage_end_io",
    "bio_add_page": "bio_add_folio",
    "ext4_map_query_blocks": "ext4_ext_map_blocks",
    "blk_add_rq_to_plug": "requests put into plugs",
    "null_queue_rqs": "lists of requests",
    "blk_mq_flush_plug_list": _OWN,
    "iomap_adjust_read_range": "pieces of folios",
}
_INNER_612: Final = (
    "__bio_release_pages",
    "__folio_alloc_noprof",
    "blk_attempt_req_merge",
    "bio_split_rw",
    "iomap_set_range_uptodate",
    "ifs_free",
    "ifs_set_range_uptodate",
    "page_cache_next_miss",
    "page_cache_prev_miss",
    "fsverity_enqueue_verify_work",
    "fsverity_verify_bio",
    "fsverity_verify_blocks",
    "ext4_read_merkle_tree_page",
    "verify_data_block",
)

_VERITY: Final = (
    "ext4_read_merkle_tree_page",
    "ext4_readahead_merkle_tree",
    "fsverity_add_data_blocks",
    "fsverity_enqueue_verify_work",
    "fsverity_readahead",
    "fsverity_verify_bio",
    "fsverity_verify_pending_blocks",
    "generic_read_merkle_tree_page",
    "generic_readahead_merkle_tree",
    "verify_data_block",
)

VERSIONS: Final = {
    "6.1": VersionCounters(),
    "6.12": VersionCounters(
        _SINCE_612,
        {"bio_attempt_back_merge": _TRIED},
        dict.fromkeys(_INNER_612, _INNER) | {"__es_insert_extent": _INSERTS},
        {"unplug": "plugs begun"},
    ),
    "7.3": VersionCounters(
        _SINCE_612
        | {
            "__bh_submit": _OWN,
            "bh_submit": _OWN,
            "bh_end_async_read": _OWN,
            "folio_create_buffers": _OWN,
            "iomap_read_folio_iter": _OWN,
            "iomap_bio_submit_read": "iomap_read_end_io",
            "__iomap_read_end_io": "iomap_read_end_io",
            "iomap_finish_folio_read": _OWN,
            "do_page_cache_ra": "windows handed on",
            "ifs_alloc": "iomap_read_folio_iter",
            "xfs_read_iomap_next": "iomap_iter",
            **dict.fromkeys(_VERITY, _OWN),
            "fscrypt_set_bio_crypt_ctx": _OWN,
            "fscrypt_mergeable_bio": _OWN,
            "bio_crypt_set_ctx": _OWN,
            "__blk_crypto_submit_bio": _OWN,
            "blk_crypto_fallback_bio_prep": _OWN,
            "blk_crypto_fallback_decrypt_endio": _OWN,
            "blk_crypto_fallback_decrypt_bio": _OWN,
            "__blk_crypto_fallback_decrypt_bio": "blk_crypto_fallback_decrypt_bio",
            "blk_mq_dispatch_queue_requests": "lists of requests",
        },
        {"folio_mark_accessed": _MARKED, "bio_attempt_back_merge": _TRIED},
        events={"unplug": "plugs begun"},
        not_compared=dict.fromkeys(
            (
                *sorted({*_INNER_612} - {*_VERITY}),
                "bio_crypt_ctx_mergeable",
                "bio_crypt_dun_is_contiguous",
                "bio_split_io_at",
                "bio_submit_split",
                "bio_submit_split_bioset",
                "iomap_bio_read_folio_range",
                "iomap_bio_submit_read_endio",
                "iomap_iter_advance",
                "iomap_read_end",
                "sha256_finup_2x",
            ),
            _INNER,
        )
        | {"__es_insert_extent": _INSERTS, "bio_free": _CACHE},
    ),
}
"""By the name of the version (sim/kernels.py)."""


_FOLDER: Final = re.compile(r"linux-(\d{1,3}(?:\.\d{1,4}){1,2})")


def kernel_of_folder(folder: str) -> str:
    """Return the version that a folder of recordings is of, by its name."""
    found = _FOLDER.fullmatch(folder)
    return found[1] if found else FIRST


def kernel_name(record: Mapping[str, Any], at: str) -> str:
    """
    Return the version that a record is of, by its name here; ConfigError at `at` for one that is not known.
    """
    said = str(record.get("kernel", FIRST))
    name = ".".join(said.split(".")[:2])
    if name not in VERSIONS or name not in KERNELS:
        raise ConfigError(f"{at}: kernel", f"{said!r} is not known", ", ".join(f"{v}.n" for v in VERSIONS))
    return name


def known_symbols() -> frozenset[str]:
    """Return all symbols that any version's records may have beside those of counters.known()."""
    found: set[str] = set()
    for version in VERSIONS.values():
        found |= {*version.compared, *version.at_least, *version.not_compared}
    return frozenset(found)

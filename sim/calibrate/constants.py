"""
The cost model: which constants a machine profile has, in which group and unit, and what measures each.

A constant is a pair (symbol, "self") or (symbol, unit). The recordings count instructions per *recorded*
symbol: a function with all that it calls and that is not recorded itself. Where the simulator tells apart
what the compiler has inlined into one function, several constants share one recorded symbol (`within`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.engine.costs import WRITES, Cost, CostTable, load_costs

SELF = "self"
READS, STACKED, DRIVEN = "symbols.jsonl", "symbols-encryption.jsonl", "symbols-drivers.jsonl"
"""The records of instructions by symbol: of ext4 alone; of encryption around it, and of opens; of drivers."""
Constant = tuple[str, str]
"""(symbol, "self" or the symbol's unit)."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """
    One symbol of the model.

    within: the recorded symbol its instructions are part of, "" if none is. like: the symbols whose sum it
    costs, for what no recording has. parts: recorded symbols that the model counts as its own. record: the
    file that measures it.
    """

    symbol: str
    group: str
    unit: str = ""
    within: str = ""
    like: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    why: str = ""
    record: str = READS


@dataclass(frozen=True, slots=True)
class Stated:
    """What no count of instructions shows: the time of the hardware, assumed, with its interval, in ns."""

    symbol: str
    ns: float
    interval: tuple[float, float]
    instructions: float
    source: str


def _of(group: str, *entries: Modelled | str) -> list[Modelled]:
    """Return symbols of one group; "name unit" stands for a recorded one with that unit."""
    made = []
    for entry in entries:
        if isinstance(entry, str):
            name, _, unit = entry.partition(" ")
            entry = Modelled(name, group, unit, within=name)
        made.append(entry)
    return made


def _in(record: str, group: str, *entries: Modelled | str) -> list[Modelled]:
    """Return symbols of one group that another record than READS measures."""
    return [replace(entry, record=record) for entry in _of(group, *entries)]


def _like(group: str, symbol: str, like: str, why: str, unit: str = "") -> Modelled:
    return Modelled(symbol, group, unit, like=tuple(like.split()), why=why)


_CACHE, _MAP, _BIO, _BLOCK = "page cache", "mapping", "bio", "block layer"
_HEADS, _CRYPT, _DRIVER, _OTHER = "buffer heads", "decrypt", "driver", "other"

SYMBOLS: tuple[Modelled, ...] = (
    *_of(
        _OTHER,
        "entry_SYSCALL_64",
        Modelled("vfs_read", _OTHER, within="vfs_read", parts=("ext4_file_read_iter",)),
        "schedule",
        "try_to_wake_up",
        "process_one_work",
        _like(_OTHER, "folio_put_wait_locked", "queue_work_on", "takes a lock and queues an entry too"),
        _like(_OTHER, "__wait_on_buffer", "queue_work_on", "the same wait on a bit"),
    ),
    *_of(
        _CACHE,
        "filemap_read page",
        "filemap_get_pages",
        "filemap_get_read_batch page",
        "folio_mark_accessed",
        "filemap_alloc_folio",
        "clear_page_erms",
        "filemap_add_folio",
        "__filemap_add_folio",
        Modelled("folio_add_lru", _CACHE, within="folio_add_lru", parts=("release_pages",)),
        "folio_unlock",
        "unlock_page",
        "page_endio",
        "page_cache_sync_ra",
        "page_cache_async_ra",
        "ondemand_readahead",
        "page_cache_ra_order",
        "force_page_cache_ra",
        "page_cache_ra_unbounded page",
        "read_pages page",
        _like(_CACHE, "iomap_finish_folio_read", "page_endio", "the same duty: a page is up to date"),
        _like(_CACHE, "iomap_page_create", "alloc_buffer_head", "one zeroed slab object per page"),
        _like(_CACHE, "filemap_create_folio", "page_cache_sync_ra", "a few calls around a page's insertion"),
        _like(_CACHE, "filemap_read_folio", "page_cache_sync_ra", "a call of ->read_folio"),
        Modelled("shrink_folio_list", _CACHE, within="mapping_evict_folio"),
        Modelled("folio_zero_range", _CACHE, "byte", within="zero_user_segments"),
        Modelled("folio_zero_segment", _CACHE, "byte", within="do_mpage_readpage"),
        Modelled("zero_user_segments", _CACHE, "byte", within="ext4_mpage_readpages"),
    ),
    *_of("copy", "copy_page_to_iter byte"),
    *_of(
        _MAP,
        "ext4_map_blocks written",
        "ext4_es_lookup_extent level",
        "ext4_get_block",
        "ext4_ext_map_blocks",
        "ext4_find_extent node",
        "__read_extent_tree_block",
        "__getblk_gfp",
        "ext4_es_insert_extent level",
        "ext4_cache_extents",
        "ext4_es_cache_extent entry",
        "ext4_read_bh",
        _like(_MAP, "ext4_iomap_begin", "ext4_get_block", "wraps the same call"),
        _like(_MAP, "iomap_iter", "ext4_get_block", "wraps the same call"),
    ),
    *_of(
        _BIO,
        "mpage_readahead page",
        "do_mpage_readpage map",
        "ext4_readahead",
        "ext4_mpage_readpages page",
        Modelled("ext4_readpage_loop", _BIO, "map", within="ext4_mpage_readpages"),
        "bio_alloc_bioset",
        Modelled("bvec_alloc", _BIO, "vector", within="bio_alloc_bioset"),
        Modelled("bvec_free", _BIO, within="bio_free"),
        "bio_add_page behind",
        "bio_add_folio behind",
        "submit_bio",
        "submit_bio_noacct",
        "submit_bio_noacct_nocheck",
        "__submit_bio",
        "bio_endio",
        "bio_put",
        "bio_free",
        "mpage_end_io page",
        "ext4_mpage_end_io",
        "__read_end_io page",
        _like(_BIO, "iomap_readahead", "mpage_readahead", "the same loop over the window", "page"),
        _like(_BIO, "iomap_readpage_iter", "do_mpage_readpage", "the same work on a page"),
        _like(_BIO, "iomap_read_end_io", "mpage_end_io", "the same loop over the pages", "page"),
    ),
    *_of(
        _BLOCK,
        "blk_mq_submit_bio segment",
        "blk_attempt_plug_merge",
        "__blk_mq_alloc_requests",
        "blk_mq_start_request",
        "blk_mq_complete_request",
        "blk_mq_end_request",
        "blk_update_request bio",
        "__blk_mq_end_request",
        "blk_mq_free_request",
        "blk_finish_plug",
        "__blk_flush_plug",
        "blk_mq_flush_plug_list request",
        "blk_mq_insert_requests request",
        "blk_mq_sched_dispatch_requests",
        "blk_mq_dispatch_rq_list request",
        "io_schedule",
        _like(_BLOCK, "mod_delayed_work_on", "queue_work_on", "queues the same, without a delay"),
    ),
    *_of(
        _DRIVER,
        "null_queue_rq",
        "brd_submit_bio",
        Modelled("memcpy_page", _DRIVER, "sector", within="brd_submit_bio"),
        Modelled("copy_from_nullb", _DRIVER, "sector", within="null_handle_cmd"),
    ),
    *_of(
        _HEADS,
        "block_read_full_folio block",
        "create_page_buffers",
        "create_empty_buffers",
        "alloc_page_buffers block",
        "alloc_buffer_head fresh",
        "submit_bh_wbc",
        "end_bio_bh_io_sync",
        "end_buffer_async_read_io",
        "end_buffer_async_read visit",
        "try_to_free_buffers",
        "free_buffer_head",
        _like(_HEADS, "submit_bh", "unlock_page", "a call around another"),
    ),
    *_of(
        _CRYPT,
        "bio_post_read_processing",
        "fscrypt_enqueue_decrypt_work",
        "queue_work_on",
        _like(_CRYPT, "__tasklet_schedule", "queue_work_on", "puts an entry into a list of the core"),
        _like(_CRYPT, "tasklet_action_common", "process_one_work", "takes an entry from a list and calls it"),
        "decrypt_work",
        "decrypt_bh",
        "fscrypt_decrypt_bio",
        "fscrypt_decrypt_pagecache_blocks",
        "fscrypt_crypt_block",
        "fscrypt_generate_iv",
        "crypto_skcipher_decrypt",
        "xts_decrypt byte",
    ),
    *_in(STACKED, _BLOCK, "dm_submit_bio", "clone_endio", "crypt_map", "kcryptd_io_read"),
    *_in(
        STACKED,
        _CRYPT,
        "crypt_endio",
        "kcryptd_queue_crypt",
        "kcryptd_crypt",
        "crypt_convert",
        Modelled("crypt_convert_block_skcipher", _CRYPT, within="crypt_convert"),
        "crypt_iv_plain64_gen",
        "crypt_iv_essiv_gen",
        "essiv_skcipher_decrypt",
        "cbc_decrypt byte",
        "cbc_decrypt_128 byte",
        "ecryptfs_read_folio",
        "ecryptfs_decrypt_page",
        "ecryptfs_derive_iv",
        "crypt_scatterlist",
        "fscrypt_file_open",
        "fscrypt_get_encryption_info",
        "ext4_xattr_get block",
        "fscrypt_setup_encryption_info",
        "fscrypt_find_master_key",
        "fscrypt_hkdf_expand",
        "fscrypt_prepare_key",
        "crypto_alloc_skcipher",
        "crypto_skcipher_setkey",
        "xts_aesni_setkey",
        "aesni_skcipher_setkey",
        "aes_set_key",
        "ecb_decrypt",
        "ecryptfs_open",
        "ecryptfs_read_metadata",
        "ecryptfs_init_crypt_ctx",
        "ecryptfs_parse_packet_set",
        "ecryptfs_compute_root_iv",
    ),
    *_in(STACKED, _CACHE, "ecryptfs_read_lower"),
    *_in(
        DRIVEN,
        _DRIVER,
        "__common_interrupt",
        "handle_edge_irq",
        "__blk_rq_map_sg segment",
        Modelled("__blk_bios_map_sg", _DRIVER, within="__blk_rq_map_sg"),
        "sg_alloc_table_chained",
        Modelled("sg_init_table", _DRIVER, "segment", within="sg_alloc_table_chained"),
        Modelled("sg_pool_alloc", _DRIVER, "entry", within="sg_alloc_table_chained"),
        "sg_free_table_chained",
        Modelled("sg_pool_free", _DRIVER, within="sg_free_table_chained"),
        "dma_map_page_attrs",
        "dma_unmap_page_attrs",
        "dma_map_sg_attrs run",
        "dma_unmap_sg_attrs run",
        "dma_pool_alloc",
        "dma_pool_free",
        "nvme_queue_rqs request",
        "nvme_setup_cmd",
        Modelled("nvme_map_data", _DRIVER, "segment", within="nvme_queue_rqs"),
        Modelled("nvme_pci_setup_prps", _DRIVER, "run", within="nvme_queue_rqs"),
        "nvme_irq",
        "nvme_poll_cq request",
        "blk_mq_complete_request_remote",
        "nvme_pci_complete_batch request",
        "nvme_complete_batch_req",
        "nvme_unmap_data",
        Modelled("nvme_free_prps", _DRIVER, within="nvme_unmap_data"),
        "blk_mq_end_request_batch",
        Modelled("blk_complete_request", _DRIVER, "bio", within="blk_mq_end_request_batch"),
        "virtio_queue_rqs request",
        "virtblk_add_req",
        "virtqueue_add_sgs run",
        "virtqueue_kick_prepare",
        "virtqueue_notify",
        "vp_notify",
        "vring_interrupt",
        "virtblk_done request",
        "virtblk_request_done",
        "scsi_mq_get_budget",
        "scsi_queue_rq",
        Modelled("scsi_cmd_priv", _DRIVER, within="scsi_queue_rq"),
        "sd_init_command",
        "scsi_alloc_sgtables",
        "virtscsi_queuecommand",
        "virtscsi_req_done request",
        "virtscsi_complete_cmd",
        "scsi_done",
        "scsi_complete",
        "scsi_finish_command",
        "sd_done",
        "scsi_io_completion",
        "scsi_end_request",
        "ata_scsi_queuecmd",
        "ata_qc_issue",
        "ahci_qc_prep run",
        "ahci_qc_issue",
        "ahci_single_level_irq_intr",
        "ahci_handle_port_interrupt",
        "ata_qc_complete_multiple request",
        "ata_qc_complete",
        Modelled("asm_common_interrupt", _DRIVER),
        Modelled("writel", _DRIVER),
        _like(_DRIVER, "nvme_queue_rq", "nvme_queue_rqs", "a list of one", "request"),
        _like(_DRIVER, "virtio_queue_rq", "virtio_queue_rqs", "a list of one", "request"),
    ),
)

HARDWARE: tuple[Stated, ...] = (
    Stated(
        "asm_common_interrupt",
        500,
        (200, 1000),
        132,
        "instructions: symbols-drivers.jsonl, what is outside its symbols in interrupts, least squares over"
        " the device's and the timer's; ns: assumption: entry by the CPU, end of interrupt and return are"
        " serialising, and caches are cold",
    ),
    Stated(
        "writel", 100, (20, 300), 1, "assumption: an uncached store to a register of the device, over PCIe"
    ),
)
"""On all machines the same."""

NOT_CHARGED: dict[str, str] = {
    "invalidate_mapping_pagevec": "of dropping pages, which shrink_folio_list stands for",
    "remove_mapping": "of dropping pages, which shrink_folio_list stands for",
    "null_complete_rq": "of null_blk, which no profile of a device is",
    "folio_put_wait_locked": "the model has it like queue_work_on: no record of reading plain files has it",
    "folio_wake_bit": "in try_to_wake_up's caller; the model wakes without it",
    "preempt_schedule_common": "a task switched away in cond_resched(): time decides, the model does not",
    "ecryptfs_read_update_atime": "a few instructions around filemap_read",
    "do_sys_openat2": "path look-up, which the model leaves out",
    "ext4_lookup": "path look-up, which the model leaves out",
    "__ext4_iget": "path look-up, which the model leaves out",
    "ecryptfs_lookup": "path look-up, which the model leaves out",
    "vfs_open": "of every open, plain ones too",
    "ext4_file_open": "of every open, plain ones too",
    "vfs_getxattr": "a system call beside the file system's own reading of an xattr",
    "keyctl_keyring_search": "a system call; fs/crypto looks keys up in a table of its own",
    "aesni_xts_decrypt": "counted with xts_decrypt",
    "aesni_cbc_dec": "counted with cbc_decrypt",
    "blk_mq_insert_requests": "of a full queue, where time decides whether requests wait",
    "virtscsi_commit_rqs": "of a full ring, where time decides whether requests wait",
    "irq_exit_rcu": "23 instructions a device's interrupt; most of what is recorded is the timer's",
    "aesni_enc": "counted with xts_decrypt, or with essiv_skcipher_decrypt",
}
"""Recorded symbols that are no constants, and why."""

MODEL: dict[str, Modelled] = {entry.symbol: entry for entry in SYMBOLS}


def counting_table() -> CostTable:
    """
    Return a table in which every call costs one instruction and takes a nanosecond.

    So things come one after another, as at the kernel: a worker that goes first is done with one work item
    before the next is queued, and a tag is back before another request is made.

    A call is 1,000 thousandths and a unit 1, so that rows without calls stay in the ledger. What the model
    does not have costs nothing.
    """
    others = load_costs(WRITES).costs
    return CostTable(
        "counting",
        {symbol: replace(cost, self_ps=0, unit_ps=0, self_mi=0, unit_mi=0) for symbol, cost in others.items()}
        | {
            entry.symbol: Cost(entry.symbol, 1000, 0, entry.unit, entry.group, 0.0, "", 1000, 1)
            for entry in SYMBOLS
        },
    )

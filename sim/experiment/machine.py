"""
A machine put together: clock, cores, page cache, block queue, device and one read path.

This is the composition root of the core; it takes plain values, so that tests and recorded kernel cases can
build a machine without an experiment file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sim.block.io_record import IoRecord
from sim.block.limits import BlockTracer, Hardware, QueueLimits
from sim.block.queue import BlockQueue
from sim.cache.filemap import Filemap, OpenFile, ReadPages
from sim.cache.pages import Mapping, PageCache
from sim.cache.readahead import Linux61, Linux316, ReadaheadPolicy
from sim.engine.clock import Clock
from sim.engine.costs import CostTable
from sim.engine.cpu import Cpu
from sim.engine.ledger import Ledger
from sim.errors import ConfigError, InvariantError
from sim.ext4.store import ByteStore
from sim.paths.buffer_cache import BufferCache
from sim.paths.buffer_head import BufferHeadPath, BufferHeadReader
from sim.paths.contents import Contents
from sim.paths.extent_walk import IOMAP, PAGE_IO_PURE, ExtentWalkPath
from sim.paths.inode import FsInode
from sim.paths.map_blocks import Mapper
from sim.paths.mpage import EXT4_MPAGE, MPAGE, MpagePath
from sim.paths.no_io import NoIo
from sim.paths.page_bio import PageBioFactory
from sim.paths.post_read import BufferEndIo, PageEndIo
from sim.units import PAGE_SECTORS

NO_IO = "nop"
"""The path that reads nothing: pages are up to date at once. For calibration: a read's costs besides I/O."""
PATHS = ("buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block")

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


@dataclass(frozen=True, slots=True)
class KernelVersion:
    """What differs between kernel versions: readahead, the plug, and names of symbols."""

    readahead: Callable[[], ReadaheadPolicy]
    plug_requests: int
    plug_flush_sectors: int
    plug_sorted: bool
    renamed: dict[str, str] = field(default_factory=dict)


KERNELS: dict[str, KernelVersion] = {
    "3.16": KernelVersion(Linux316, 16, 0, True, _SYMBOLS_316),
    "6.1": KernelVersion(Linux61, 32, 256, False),
}


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """
    What a machine is made of.

    path: one of PATHS. memory_pages: the page cache's limit. limits: of the queue, without the plug's, which
    are the kernel's. store: the device's bytes, None when data is off. ra_pages: readahead of the device.
    tracer: sees every block event. record_io: keep an IoRecord per bio.
    """

    path: str
    block_size: int
    limits: QueueLimits
    costs: CostTable
    kernel: str = "6.1"
    cpus: int = 4
    memory_pages: int = 1 << 40
    ra_pages: int = 32
    store: ByteStore | None = None
    tracer: BlockTracer | None = None
    record_io: bool = False


class Machine:
    """One machine: open files, run processes on `clock`, then read `ledger` and `queue.stats`."""

    def __init__(self, spec: MachineSpec, device: Callable[[Clock], Hardware]) -> None:
        if spec.kernel not in KERNELS:
            raise ConfigError("machine.kernel", f"{spec.kernel!r} is not modelled", ", ".join(KERNELS))
        if spec.path not in (*PATHS, NO_IO):
            raise ConfigError("path", f"{spec.path!r} is not modelled", ", ".join(PATHS))
        kernel = KERNELS[spec.kernel]
        self.spec = spec
        self.clock = Clock()
        self.cpu = Cpu(self.clock, spec.cpus)
        self.ledger = Ledger(spec.costs, kernel.renamed)
        limits = spec.limits
        self.records: list[IoRecord] | None = [] if spec.record_io else None
        self.queue = BlockQueue(
            self.clock,
            self.cpu,
            self.ledger,
            replace(
                limits,
                plug_requests=kernel.plug_requests,
                plug_flush_sectors=kernel.plug_flush_sectors,
                plug_sorted=kernel.plug_sorted,
            ),
            device(self.clock),
            spec.tracer,
            self.records,
        )
        self.buffers = BufferCache(self.clock, self.ledger, self.queue, spec.block_size, spec.store)
        self.mapper = Mapper(self.ledger, self.buffers)
        self.buffer_reader: BufferHeadReader
        self.path = self._build_path()
        self.cache = PageCache(spec.memory_pages)
        self.filemap = Filemap(
            self.clock,
            self.ledger,
            self.cache,
            kernel.readahead(),
            self.path,
            _io_pages(limits),
        )

    def _build_path(self) -> ReadPages:
        spec, ledger, queue, mapper = self.spec, self.ledger, self.queue, self.mapper
        bs = spec.block_size
        contents = Contents(spec.store, bs) if spec.store is not None else None
        callers = {
            "buffer_head": "read_pages",
            "mpage": "mpage_readahead;do_mpage_readpage",
            "per_block": "mpage_readahead;do_mpage_readpage",
            "page_io": "ext4_readahead;ext4_mpage_readpages",
        }
        self.buffer_reader = BufferHeadReader(
            ledger, queue, mapper, BufferEndIo(ledger, self.cpu, bs, contents), bs, callers.get(spec.path, "")
        )
        if spec.path == NO_IO:
            return NoIo(ledger)
        if spec.path == "buffer_head":
            return BufferHeadPath(queue, self.buffer_reader)
        if spec.path in ("mpage", "per_block"):
            end_io = PageEndIo(
                ledger,
                self.cpu,
                bs,
                contents,
                "mpage_end_io",
                "page_endio mpage_end_io:page",
                *_POST_READ_MPAGE,
            )
            bios = PageBioFactory(ledger, queue, end_io, bs, callers["mpage"], "bio_add_folio")
            per_block = spec.path == "per_block"
            return MpagePath(ledger, queue, mapper, bios, self.buffer_reader, bs, MPAGE, per_block)
        if spec.path == "iomap":
            per_page = "iomap_finish_folio_read iomap_finish_folio_read;folio_unlock iomap_read_end_io:page"
            end_io = PageEndIo(
                ledger, self.cpu, bs, contents, "iomap_read_end_io", per_page, *_POST_READ_IOMAP
            )
            bios = PageBioFactory(
                ledger, queue, end_io, bs, "iomap_readahead;iomap_readpage_iter", "bio_add_folio"
            )
            return ExtentWalkPath(ledger, queue, mapper, bios, bs, IOMAP)
        end_io = PageEndIo(
            ledger,
            self.cpu,
            bs,
            contents,
            "ext4_mpage_end_io ext4_mpage_end_io;__read_end_io",
            "unlock_page unlock_page;folio_unlock ext4_mpage_end_io;__read_end_io:page",
            *_POST_READ_EXT4,
        )
        bios = PageBioFactory(ledger, queue, end_io, bs, callers["page_io"], "bio_add_page")
        if spec.path == "page_io":
            return MpagePath(ledger, queue, mapper, bios, self.buffer_reader, bs, EXT4_MPAGE)
        return ExtentWalkPath(ledger, queue, mapper, bios, bs, PAGE_IO_PURE)

    def mapping(self, inode: FsInode) -> Mapping:
        """Return a new, empty mapping for `inode`."""
        return Mapping(inode.pages, self.spec.store is not None)

    def open(self, mapping: Mapping, inode: FsInode, random: bool = False) -> OpenFile:
        """Open a file; `random` is POSIX_FADV_RANDOM."""
        return OpenFile(mapping, inode, inode.size_bytes, self.spec.ra_pages, random)

    def check_quiet(self, *mappings: Mapping) -> None:
        """Raise InvariantError if anything is pending after a run: a bio, a locked page, a waiting task."""
        if self.queue.stats.pending:
            raise InvariantError(f"{self.queue.stats.pending} bios never completed")
        if not self.clock.idle:
            raise InvariantError("events are left in the queue")
        if mappings:
            self.cache.check(list(mappings))
        for mapping in mappings:
            if mapping.parts or mapping.waiters or mapping.locked:
                parts, waited = len(mapping.parts), len(mapping.waiters)
                raise InvariantError(f"{mapping.locked} pages locked, {parts} in parts, {waited} waited for")


def _io_pages(limits: QueueLimits) -> int:
    """
    Return the largest I/O of a device in pages (bdi->io_pages).

    A bio-based driver of 6.1 that sets no limits has BLK_SAFE_MAX_SECTORS, 255, there: 31 pages. Its bios are
    not split by it.
    """
    return 31 if limits.bio_based else limits.max_sectors // PAGE_SECTORS


_POST_READ_EXT4 = (
    "ext4_mpage_end_io ext4_mpage_end_io;bio_post_read_processing",
    "bio_post_read_processing __read_end_io",
)
_POST_READ_MPAGE = ("mpage_end_io mpage_end_io;bio_post_read_processing", "bio_post_read_processing")
_POST_READ_IOMAP = (
    "iomap_read_end_io iomap_read_end_io;bio_post_read_processing",
    "bio_post_read_processing",
)

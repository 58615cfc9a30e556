"""
A machine put together: clock, cores, page cache, block queue, device and one read path.

This is the composition root of the core; it takes plain values, so that tests and recorded kernel cases can
build a machine without an experiment file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

from sim.block.hardware import Hardware
from sim.block.io_record import IoRecord
from sim.block.protocols import BioQueue
from sim.block.queue.limits import BlockTracer, QueueLimits
from sim.block.queue.submit import BlockQueue
from sim.cache.filemap import ENTERED, Filemap, OpenFile, ReadPages
from sim.cache.folios import LINUX_6_1, LINUX_6_16, PAGES, FolioMapping, FolioRules
from sim.cache.page_cache import PageCache
from sim.cache.pages import Mapping
from sim.cache.readahead import Linux61, Linux316, Linux616, ReadaheadPolicy
from sim.crypto.dmcrypt import DmCrypt, DmCryptStore
from sim.crypto.ecryptfs import LowerFile
from sim.engine.clock import Clock
from sim.engine.costs import CostTable
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import Ledger
from sim.engine.mode import make_clock
from sim.errors import ConfigError, InvariantError
from sim.ext4.store import ByteStore
from sim.fs.buffer_cache import BufferCache
from sim.fs.ext4_map import Mapper
from sim.fs.fs_inode import FsInode
from sim.fs.other_maps import IndirectMapper, LinearMapper
from sim.paths.buffer_head import BufferHeadPath, BufferHeadReader
from sim.paths.extent_walk import ExtentWalkPath
from sim.paths.mpage import EXT4_MPAGE, MPAGE, MpagePath
from sim.paths.no_io import NoIo
from sim.paths.page_bio import PageBioFactory
from sim.paths.page_data import Contents
from sim.paths.post_read import FSCRYPT, RFC2014, BufferEndIo, PageEndIo
from sim.paths.walk_symbols import IOMAP, PAGE_IO_PURE
from sim.stack.dm_crypt import CryptTable, CryptTarget
from sim.stack.ecryptfs import EcryptfsInode, EcryptfsMount, EcryptfsPath, NestedPlug
from sim.units import PAGE_BYTES, PAGE_SECTORS

VM_READAHEAD_PAGES = 32
"""Readahead of a file system without a device of its own (include/linux/pagemap.h: 128 KiB)."""

_LOWER = "filemap_read;ecryptfs_read_folio;ecryptfs_decrypt_page;ecryptfs_read_lower"

NO_IO = "nop"
"""The path that reads nothing: pages are up to date at once. For calibration: a read's costs besides I/O."""
PATHS = ("buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block")

MAPPINGS = ("extents", "indirect", "linear", "linear-remembered")

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
    What differs between kernel versions: readahead, the plug, names of symbols, large folios.

    folios: their rules, None without. folio_paths: whose regular files may have them, unless encrypted.
    folios_unasked: they have. queue_rqs: a plug's requests go down as a list (since 5.16).
    """

    readahead: Callable[[], ReadaheadPolicy]
    plug_requests: int
    plug_flush_sectors: int
    plug_sorted: bool
    renamed: dict[str, str] = field(default_factory=dict)
    folios: FolioRules | None = None
    folio_paths: tuple[str, ...] = PATHS
    folios_unasked: bool = False
    queue_rqs: bool = True


KERNELS: dict[str, KernelVersion] = {
    "3.16": KernelVersion(Linux316, 16, 0, True, _SYMBOLS_316, queue_rqs=False),
    "6.1": KernelVersion(Linux61, 32, 256, False, folios=LINUX_6_1, folio_paths=("iomap",)),
    "6.16": KernelVersion(Linux616, 32, 256, False, _SYMBOLS_616, LINUX_6_16, folios_unasked=True),
}
"""ext4 has large folios since 6.16; XFS, and so iomap, since 5.18: for 6.1 they must be asked for."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """
    What a machine is made of.

    path: one of PATHS. memory_pages: the limit of the page cache, its buffer heads included. limits: of the
    queue, without the plug's, which are the kernel's. large_folios: None: as the kernel has them. mapping:
    one of MAPPINGS. store: the device's bytes, None when data is off. ra_pages: readahead of the device.
    tracer: sees every block event. record_io: keep an IoRecord per bio.
    dm_crypt: the file system lies on a crypt target over the device. sectors: how that decrypts `store`.
    ecryptfs: the file system is the lower one of eCryptfs. rfc2014: encrypted files are decrypted as in the
    patches of 2014. wakeup_ns: see Cpu.
    """

    path: str
    block_size: int
    limits: QueueLimits
    costs: CostTable
    kernel: str = "6.1"
    large_folios: bool | None = None
    mapping: str = "extents"
    cpus: int = 4
    memory_pages: int = 1 << 40
    ra_pages: int = 32
    store: ByteStore | None = None
    tracer: BlockTracer | None = None
    record_io: bool = False
    dm_crypt: CryptTable | None = None
    sectors: DmCrypt | None = None
    ecryptfs: EcryptfsMount | None = None
    rfc2014: bool = False
    wakeup_ns: int = 0


class Machine:
    """One machine: open files, run processes on `clock`, then read `ledger` and `queue.stats`."""

    def __init__(self, spec: MachineSpec, device: Callable[[Clock], Hardware]) -> None:
        if spec.kernel not in KERNELS:
            raise ConfigError("machine.kernel", f"{spec.kernel!r} is not modelled", ", ".join(KERNELS))
        if spec.path not in (*PATHS, NO_IO):
            raise ConfigError("path", f"{spec.path!r} is not modelled", ", ".join(PATHS))
        kernel = KERNELS[spec.kernel]
        if spec.large_folios and not (kernel.folios and spec.path in kernel.folio_paths):
            has = ", ".join(
                name
                for name, version in KERNELS.items()
                if version.folios and spec.path in version.folio_paths
            )
            told = f"kernel {spec.kernel} has none on {spec.path}"
            raise ConfigError("machine.large_folios", told, f"false, or kernel {has}")
        self.folio_pairs = kernel.folios is not None and kernel.folios.pairs
        self._large = kernel.folios_unasked if spec.large_folios is None else spec.large_folios
        if self._large and spec.ecryptfs is not None:
            raise ConfigError("machine.large_folios", "not modelled below eCryptfs", "false")
        self.spec = spec
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, spec.cpus, spec.wakeup_ns)
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
                lists=kernel.queue_rqs,
            ),
            device(self.clock),
            spec.tracer,
            self.records,
            below=CryptTarget.SUBMITS if spec.dm_crypt else "",
        )
        self.crypt: CryptTarget | None = None
        if spec.dm_crypt is not None:
            self.crypt = CryptTarget(self.cpu, self.ledger, self.queue, spec.dm_crypt, spec.tracer)
        self.disk: BioQueue = self.crypt or self.queue
        self._nested = NestedPlug(self.disk)
        self._fs_queue: BioQueue = self._nested if spec.ecryptfs else self.disk
        self._fs_ledger = self.ledger.below(_LOWER) if spec.ecryptfs else self.ledger
        plain = DmCryptStore(spec.store, spec.sectors) if spec.store and spec.sectors else spec.store
        tree_store = plain if spec.mapping == "extents" else None  # only tree blocks can be recognized
        self.buffers = BufferCache(self.clock, self._fs_ledger, self._fs_queue, spec.block_size, tree_store)
        self.mapper = self._build_mapper()
        self.cache = PageCache(spec.memory_pages, PAGE_BYTES // spec.block_size)
        self.path = self._build_path()
        self.filemap = self._fs_filemap = self._build_filemap(kernel, _io_pages(limits))
        self._lower_mappings: list[Mapping] = []
        if spec.ecryptfs is not None:
            upper = EcryptfsPath(self.ledger, self.disk, self._nested, self.filemap, spec.ecryptfs)
            parts = self.clock, self.ledger, self.cache, kernel.readahead(), upper, VM_READAHEAD_PAGES
            self.filemap = Filemap(*parts, kernel.folios or PAGES)

    def _build_filemap(self, kernel: KernelVersion, io_pages: int) -> Filemap:
        parts = self.clock, self._fs_ledger, self.cache, kernel.readahead(), self.path, io_pages
        entered = "" if self.spec.ecryptfs else ENTERED
        return Filemap(*parts, kernel.folios or PAGES, entered, self.queue.limits.bio_based)

    def _build_mapper(self) -> Mapper:
        spec, ledger, buffers = self.spec, self._fs_ledger, self.buffers
        if spec.mapping == "indirect":
            return IndirectMapper(ledger, buffers, spec.block_size)
        if spec.mapping in ("linear", "linear-remembered"):
            return LinearMapper(ledger, buffers, spec.mapping != "linear")
        if spec.mapping != "extents":
            raise ConfigError("mapping", f"{spec.mapping!r} is not modelled", ", ".join(MAPPINGS))
        return Mapper(ledger, buffers)

    def _build_path(self) -> ReadPages:
        spec, ledger, queue, mapper = self.spec, self._fs_ledger, self._fs_queue, self.mapper
        bs = spec.block_size
        contents = Contents(spec.store, bs, spec.sectors) if spec.store is not None else None
        calls = RFC2014 if spec.rfc2014 else FSCRYPT
        callers = {
            "buffer_head": "read_pages",
            "mpage": "mpage_readahead;do_mpage_readpage",
            "per_block": "mpage_readahead;do_mpage_readpage",
            "page_io": "ext4_readahead;ext4_mpage_readpages",
        }
        alone = {
            "buffer_head": "filemap_read_folio",
            "mpage": "filemap_read_folio;mpage_read_folio;do_mpage_readpage",
            "per_block": "filemap_read_folio;mpage_read_folio;do_mpage_readpage",
            "page_io": "filemap_read_folio;ext4_read_folio;ext4_mpage_readpages",
        }
        buffer_end_io = BufferEndIo(ledger, self.cpu, bs, contents, calls)
        buffers, buffers_alone = (
            BufferHeadReader(
                ledger, queue, mapper, buffer_end_io, bs, by.get(spec.path, ""), self.cache.attach_buffers
            )
            for by in (callers, alone)
        )
        if spec.path == NO_IO:
            return NoIo(ledger)
        if spec.path == "buffer_head":
            return BufferHeadPath(queue, buffers, buffers_alone)
        if spec.path in ("mpage", "per_block"):
            end_io = PageEndIo(
                ledger,
                self.cpu,
                bs,
                contents,
                "mpage_end_io",
                "page_endio mpage_end_io:page",
                *_POST_READ_MPAGE,
                calls,
            )
            bios = PageBioFactory(ledger, queue, end_io, bs, callers["mpage"], "bio_add_folio")
            per_block = spec.path == "per_block"
            return MpagePath(ledger, queue, mapper, bios, buffers, buffers_alone, bs, MPAGE, per_block)
        if spec.path == "iomap":
            end_io = PageEndIo(
                ledger,
                self.cpu,
                bs,
                contents,
                "iomap_read_end_io",
                "iomap_finish_folio_read iomap_read_end_io:page",
                *_POST_READ_IOMAP,
                calls,
                "iomap_finish_folio_read;folio_unlock",
            )
            bios = PageBioFactory(
                ledger, queue, end_io, bs, "iomap_readahead;iomap_readpage_iter", "bio_add_folio"
            )
            return ExtentWalkPath(ledger, queue, mapper, bios, bs, IOMAP)
        unlock, per_page = "unlock_page unlock_page;folio_unlock", "ext4_mpage_end_io;__read_end_io:page"
        in_parts = spec.path == "page_io_pure"
        end_io = PageEndIo(
            ledger,
            self.cpu,
            bs,
            contents,
            "ext4_mpage_end_io ext4_mpage_end_io;__read_end_io",
            per_page if in_parts else f"{unlock} {per_page}",
            *_POST_READ_EXT4,
            calls,
            unlock if in_parts else "",
        )
        bios = PageBioFactory(ledger, queue, end_io, bs, callers["page_io"], "bio_add_page")
        if spec.path == "page_io":
            return MpagePath(ledger, queue, mapper, bios, buffers, buffers_alone, bs, EXT4_MPAGE)
        return ExtentWalkPath(ledger, queue, mapper, bios, bs, PAGE_IO_PURE)

    def ecryptfs_inode(self, size_bytes: int, lower: FsInode, key: LowerFile | None) -> EcryptfsInode:
        """
        Return a file of eCryptfs over the file `lower`, of which nothing is in memory.

        size_bytes: of the plaintext. key: how to decrypt, None when data is off.
        """
        mapping = self.mapping(lower)
        self._lower_mappings.append(mapping)
        return EcryptfsInode(size_bytes, self.open(mapping, lower), key)

    def read_header(self, task: Task, inode: EcryptfsInode) -> Generator[Any, Any, int]:
        """
        ecryptfs_lookup(): read the first page of the lower file, through a struct file that is then closed.

        Left out: the second reading at open, which finds it in memory, and the parsing of the packets.
        """
        lower = inode.lower
        return self._fs_filemap.read(task, self.open(lower.mapping, lower.inode), 0, PAGE_BYTES)

    def mapping(self, inode: FsInode | EcryptfsInode) -> Mapping:
        """Return a new, empty mapping for `inode`."""
        plain = isinstance(inode, FsInode) and not inode.encrypted and not inode.inline
        kind = FolioMapping if self._large and plain else Mapping
        return kind(inode.pages, self.spec.store is not None)

    def open(self, mapping: Mapping, inode: FsInode | EcryptfsInode, random: bool = False) -> OpenFile:
        """Open a file; `random` is POSIX_FADV_RANDOM. eCryptfs has its own readahead, 128 KiB."""
        ra_pages = VM_READAHEAD_PAGES if isinstance(inode, EcryptfsInode) else self.spec.ra_pages
        return OpenFile(mapping, inode, inode.size_bytes, ra_pages, random)

    def check_quiet(self, *mappings: Mapping) -> None:
        """Raise InvariantError if anything is pending after a run: a bio, a locked page, a waiting task."""
        if self.crypt is not None and self.crypt.pending:
            raise InvariantError(f"{self.crypt.pending} bios of dm-crypt never completed")
        if self.queue.stats.pending:
            raise InvariantError(f"{self.queue.stats.pending} bios never completed")
        if not self.clock.idle:
            raise InvariantError("events are left in the queue")
        if mappings:
            mappings = (*mappings, *self._lower_mappings)
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

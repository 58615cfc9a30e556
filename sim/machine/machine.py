"""
A machine put together: clock, cores, page cache, block queue, device and one read path.

This is the composition root of the core; it takes plain values, so that tests and recorded kernel cases can
build a machine without an experiment file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from sim.block.drivers.modules import DRIVERS
from sim.block.hardware import Hardware
from sim.block.io_record import IoRecord
from sim.block.protocols import BioQueue
from sim.block.queue.limits import QueueLimits
from sim.block.queue.submit import BlockQueue
from sim.cache.address_space import OpenFile, ReadPath
from sim.cache.filemap import ENTERED, Filemap
from sim.cache.folios import PAGES, FolioMapping
from sim.cache.page_cache import PageCache
from sim.cache.pages import Mapping
from sim.crypto.dmcrypt import DmCryptStore
from sim.crypto.ecryptfs import LowerFile
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import Ledger
from sim.engine.mode import make_clock
from sim.engine.workqueue import WorkQueue
from sim.errors import ConfigError, InvariantError
from sim.ext4.format.extents import ExtentTree
from sim.ext4.store import ByteStore
from sim.fs.buffer_cache import BufferCache
from sim.fs.ext4_map import Ext4Mapper
from sim.fs.fs_inode import FsInode
from sim.fs.mapper import Mapper
from sim.fs.mappers import MakeMapper, mapper_factory
from sim.fs.merkle import MerkleTree, VerityState
from sim.fs.read_tree_map import ReadTreeMapper
from sim.fs.status_cache import END_OF_BLOCKS
from sim.integrity.merkle import Descriptor
from sim.kernels import KernelVersion
from sim.machine.spec import (
    EXTENTS,
    MachineSpec,
    check_file,
    check_kernel,
    check_verity,
    has_large_folios,
    kernel_of,
)
from sim.paths.checksums.read_path import ChecksumPath, ChecksumQueue
from sim.paths.checksums.tag_cache import TagCache
from sim.paths.checksums.updates import ChecksumUpdates
from sim.paths.checksums.verification import Verification
from sim.paths.live_maps import LiveMaps
from sim.paths.page_data import Contents
from sim.paths.parts import PathParts
from sim.paths.post_read_steps import FSCRYPT, RFC2014
from sim.paths.registry import design_of
from sim.paths.verity_worker import WorkerTreeReader
from sim.stack.device_mapper import SUBMITS
from sim.stack.dm_crypt import CryptTarget
from sim.stack.dm_integrity import IntegrityTarget
from sim.stack.ecryptfs import EcryptfsInode, EcryptfsPath, NestedPlug
from sim.units import PAGE_BYTES, PAGE_SECTORS

VM_READAHEAD_PAGES = 32
"""Readahead of a file system without a device of its own (include/linux/pagemap.h: 128 KiB)."""

_LOWER = "filemap_read;ecryptfs_read_folio;ecryptfs_decrypt_page;ecryptfs_read_lower"


class Machine:
    """
    One machine: open files, run processes on `clock`, then read `ledger` and `queue.stats`.

    sums: verifies data, kept_sums: keeps up the checksums of what is written; None where nobody does.
    """

    kept_sums: ChecksumUpdates | None = None

    def __init__(self, spec: MachineSpec, device: Callable[[Clock], Hardware]) -> None:
        self.kernel = kernel = kernel_of(spec.kernel)
        self.design = design_of(spec.path)
        check_kernel(spec, kernel, self.design)
        self.large_folios = has_large_folios(spec, kernel, self.design)
        self.folio_pairs = kernel.folios is not None and kernel.folios.pairs
        self.spec = spec
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, spec.cpus, spec.wakeup_ns, spec.llc_cpus)
        costs = spec.costs.measured_on(kernel.measured).extended(self.design.name, self.design.costs)
        self.ledger = Ledger(costs.extended(f"kernel {kernel.name}", kernel.costs), kernel.renamed)
        self.records: list[IoRecord] | None = [] if spec.record_io else None
        self.queue = BlockQueue(
            self.clock,
            self.cpu,
            self.ledger,
            replace(
                spec.limits,
                plug_requests=kernel.plug_requests,
                plug_flush_sectors=kernel.plug_flush_sectors,
                plug_sorted=kernel.plug_sorted,
                lists=kernel.queue_rqs,
                newest_first=kernel.newest_first,
                rest_checked=kernel.rest_checked,
                max_segment_sectors=DRIVERS[spec.limits.driver].max_segment_sectors,
            ),
            device(self.clock),
            spec.recorder.block if spec.recorder else spec.tracer,
            self.records,
            below=SUBMITS if spec.dm_crypt or spec.dm_integrity else "",
            media=spec.media,
        )
        if spec.recorder is not None:
            spec.recorder.attach(self.cpu, self.ledger, self.queue)
        self.crypt, self.integrity = self._targets()
        self.disk: BioQueue = self.crypt or self.integrity or self.queue
        self._nested = NestedPlug(self.disk)
        self._fs_queue: BioQueue = self._nested if spec.ecryptfs else self.disk
        self._fs_ledger = self.ledger.below(_LOWER) if spec.ecryptfs else self.ledger
        plain = DmCryptStore(spec.store, spec.sectors) if spec.store and spec.sectors else spec.store
        self.mapper = self._build_mapper(plain)
        self.buffers = self.mapper.buffers
        self.cache = PageCache(
            spec.memory_pages, max(PAGE_BYTES // spec.block_size, 1), max(spec.block_size // PAGE_BYTES, 1)
        )
        self.path, self.sums = self._build_path()
        self.filemap = self.fs_filemap = self._build_filemap(kernel, _io_pages(spec.limits))
        self._lower_mappings: list[Mapping] = []
        if spec.ecryptfs is not None:
            upper = EcryptfsPath(self.ledger, self.disk, self._nested, self.filemap, spec.ecryptfs)
            parts = self.clock, self.ledger, self.cache, kernel.readahead(), upper, VM_READAHEAD_PAGES
            self.filemap = Filemap(*parts, kernel.folios or PAGES)

    def _build_mapper(self, plain: ByteStore | None) -> Mapper:
        """Return what finds blocks; plain: the blocks of the file system, None when data is off."""
        spec, make_mapper = self.spec, mapper_factory(self._mapping())
        of_trees = make_mapper is Ext4Mapper
        buffers = BufferCache(
            self.clock,
            self._fs_ledger,
            self._fs_queue,
            spec.block_size,
            plain if of_trees else None,  # only tree blocks can be recognized
            log=spec.ra_log,
            asks_contexts=self.kernel.paths.asks_contexts,
            fails=of_trees and self.design.maps_fail and spec.checksums is None,
            noticed=spec.noticed,
        )
        if spec.validity is not None:
            return ReadTreeMapper(self._fs_ledger, buffers, spec.block_size, spec.validity)
        return make_mapper(self._fs_ledger, buffers, spec.block_size)

    def _targets(self) -> tuple[CryptTarget | None, IntegrityTarget | None]:
        """Return what lies between file system and device, dm-crypt above dm-integrity; None where not."""
        spec, machine = self.spec, (self.clock, self.cpu, self.ledger)
        crypt, integrity = None, None
        if spec.dm_integrity is not None:
            table, encrypted = spec.dm_integrity, spec.dm_crypt is not None
            integrity = IntegrityTarget(*machine, self.queue, table, spec.tracer, encrypted)
        if spec.dm_crypt is not None:
            crypt = CryptTarget(*machine, integrity or self.queue, spec.dm_crypt, spec.tracer)
        return crypt, integrity

    def _build_filemap(self, kernel: KernelVersion, io_pages: int) -> Filemap:
        recorder = self.spec.recorder
        self.live_maps = LiveMaps(self.path)
        path = self.live_maps if recorder is None else recorder.watched(self.live_maps)
        parts = self.clock, self._fs_ledger, self.cache, kernel.readahead(), path, io_pages
        entered = "" if self.spec.ecryptfs else ENTERED
        in_caller = self.queue.limits.bio_based
        return Filemap(*parts, kernel.folios or PAGES, entered, in_caller, self.spec.ra_log)

    def _mapping(self) -> str | MakeMapper:
        """Return what finds blocks: the path's own, or what is asked for."""
        own, asked = self.design.mapper, self.spec.mapping
        if own is None:
            return asked
        if asked != EXTENTS:
            raise ConfigError(
                "mapping", f"{asked!r}, but {self.design.name} has a mapper of its own", EXTENTS
            )
        return own

    def _build_path(self) -> tuple[ReadPath, Verification | None]:
        """Return the path, and what verifies its data, None where no file has checksums."""
        spec = self.spec
        contents = None
        if spec.store is not None:
            contents = Contents(spec.store, spec.block_size, spec.sectors, spec.noticed)
        sums, queue = self._build_sums(contents), self._fs_queue
        if sums is not None and sums.rules.read == "with":
            queue = ChecksumQueue(queue, sums)
        parts = PathParts(
            self._fs_ledger,
            self.cpu,
            queue,
            self.mapper,
            self.cache,
            WorkQueue(self.cpu, self._fs_ledger, spec.work_queue),
            spec.block_size,
            contents,
            RFC2014 if spec.rfc2014 else FSCRYPT,
            self.design.post_read,
            self.kernel.paths,
            spec.ra_log,
            sums,
        )
        path = self.design.make(parts)
        if sums is not None:
            path = ChecksumPath(path, self._fs_ledger, self.cache, self.mapper, sums)
        return path, sums

    def _build_sums(self, contents: Contents | None) -> Verification | None:
        spec, ledger, size = self.spec, self._fs_ledger, self.spec.block_size
        if spec.checksums is None:
            return None
        tags = TagCache(self.clock, ledger, self._fs_queue, size, spec.store, spec.noticed)
        return Verification(self.clock, self.cpu, ledger, tags, size, spec.checksums, contents)

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
        return self.fs_filemap.read(task, self.open(lower.mapping, lower.inode), 0, PAGE_BYTES)

    def mapping(self, inode: FsInode | EcryptfsInode) -> Mapping:
        """Return a new, empty mapping for `inode`."""
        if isinstance(inode, FsInode):
            check_file(self.design, inode)
        plain = isinstance(inode, FsInode) and not inode.encrypted and not inode.inline
        if self.kernel.encrypt_forbids_folios and self.spec.encrypt_feature:
            plain = False
        keeps, rules = self.spec.store is not None, self.kernel.folios
        least = max(self.spec.block_size // PAGE_BYTES, 1).bit_length() - 1
        slots = rules is not None and rules.slots
        if self.large_folios and plain:
            return FolioMapping(inode.pages, keeps, slots=slots, min_order=least)
        if least:
            return FolioMapping(inode.pages, keeps, least, slots, least)
        return Mapping(inode.pages, keeps)

    def enable_verity(self, inode: FsInode, descriptor: Descriptor | None = None) -> None:
        """
        Give a file its Merkle tree, of which nothing is in memory; ConfigError where none is modelled.

        descriptor: what hashes are held against, with real data; None: all that is read is taken as right.
        """
        check_verity(self.spec, self.kernel, self.design)
        size, store = self.spec.block_size, self.spec.store
        tree = MerkleTree(inode.size_bytes, size)
        pages = FsInode(inode.map.tree, tree.end_page * PAGE_BYTES, size)
        pages.map = inode.map
        pages.mappable = inode.mappable = END_OF_BLOCKS
        mapping = Mapping(tree.end_page, store is not None and descriptor is not None)
        state = VerityState(tree, self.open(mapping, pages))
        if store is not None and descriptor is not None:
            state.root, state.salt = descriptor.root, descriptor.salt
            state.stored = partial(_stored, store, inode.map.tree, size)
        if self.kernel.paths.verity == "worker":
            state.reader = WorkerTreeReader(self.clock, self.ledger, self.cache, self.path)
        inode.verity = pages.tree_of = state
        self._lower_mappings.append(mapping)

    def open(self, mapping: Mapping, inode: FsInode | EcryptfsInode, random: bool = False) -> OpenFile:
        """Open a file; `random` is POSIX_FADV_RANDOM. eCryptfs has its own readahead, 128 KiB."""
        ra_pages = VM_READAHEAD_PAGES if isinstance(inode, EcryptfsInode) else self.spec.ra_pages
        return OpenFile(mapping, inode, inode.size_bytes, ra_pages, random)

    def check_quiet(self, *mappings: Mapping) -> None:
        """Raise InvariantError if anything is pending after a run: a bio, a locked page, a waiting task."""
        if self.crypt is not None and self.crypt.pending:
            raise InvariantError(f"{self.crypt.pending} bios of dm-crypt never completed")
        if self.integrity is not None and self.integrity.pending:
            raise InvariantError(f"{self.integrity.pending} bios of dm-integrity never completed")
        if self.queue.stats.pending:
            raise InvariantError(f"{self.queue.stats.pending} bios never completed")
        if not self.clock.idle:
            raise InvariantError("events are left in the queue")
        if mappings:
            mappings = (*mappings, *self._lower_mappings)
            self.cache.check(list(mappings))
        for mapping in mappings:
            if mapping.parts or mapping.waiters.count or mapping.locked:
                parts, waited = len(mapping.parts), mapping.waiters.count
                raise InvariantError(f"{mapping.locked} pages locked, {parts} in parts, {waited} waited for")


def _io_pages(limits: QueueLimits) -> int:
    """
    Return the largest I/O of a device in pages (bdi->io_pages).

    A bio-based driver of 6.1 that sets no limits has BLK_SAFE_MAX_SECTORS, 255, there: 31 pages. Its bios are
    not split by it.
    """
    return 31 if limits.bio_based else limits.max_sectors // PAGE_SECTORS


def _stored(store: ByteStore, tree: ExtentTree, block_size: int, lblk: int) -> bytes:
    """Return a block of a file as its device has it."""
    extent = tree.find(lblk)
    if extent is None:
        raise InvariantError(f"block {lblk} of a Merkle tree is a hole")
    return bytes(store.read((extent.physical + lblk - extent.logical) * block_size, block_size))

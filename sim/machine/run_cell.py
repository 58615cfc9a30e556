"""
From a cell's configuration to a machine, a run and its results.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.block.device.make import make_device
from sim.block.device.profile import DeviceProfile, load_device_profile
from sim.block.io_record import STAGES
from sim.block.queue.limits import QueueLimits
from sim.cache.pages import CONTENT_SLACK_BYTES, Mapping
from sim.config.cell import Cell, CellConfig
from sim.config.cell_result import CellResult, IoRow, Number, ReadRow
from sim.crypto.ecryptfs import HEADER_BYTES
from sim.crypto.fscrypt.contexts import ContentsCipher, Context
from sim.crypto.keys.keyfile import read_keys
from sim.engine.costs import CostTable, load_costs
from sim.engine.streams import stream
from sim.errors import ConfigError, CryptoError, InvariantError
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.fs.fs_inode import FsInode
from sim.machine.browser_run import BrowserRun
from sim.machine.delete_run import DeleteRun
from sim.machine.initial_cache import cache_pages, every_nth, pages_with_buffers, random_share
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.machine import Machine, MachineSpec
from sim.machine.schemes import Scheme, xattr_blocks
from sim.machine.verify import PieceVerifier, StreamVerifier, Verifier
from sim.machine.write_run import WriteRun
from sim.stack.ecryptfs import EcryptfsInode
from sim.units import MIB, NS_PER_S, PAGE_BYTES, SECTOR_BYTES
from sim.volume.images import keys_of, plaintext_digests
from sim.workload.fio.generator import job_stream, passes, reads_once_in_order
from sim.workload.fio.job import Job
from sim.workload.player import Played, play

NOT_COMPARED = -1
SYSTEM_CALL = "entry_SYSCALL_64"
"""The symbol that machine.syscall adds to."""


@dataclass(slots=True)
class _File:
    """A file of the volume as the machine sees it."""

    path: str
    inode: FsInode | EcryptfsInode
    mapping: Mapping
    on_disk: Inode

    xattr_blocks: list[list[int]]
    """See sim.machine.schemes.xattr_blocks."""


def run_cell(cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """
    Run one cell on its image and return its metrics, calls and histograms.

    Raises ReadpathError for whatever in the configuration or the image cannot be used.
    """
    return played_cell(cell, image, trace)[0]


def played_cell(
    cell: Cell,
    image: Path | None,
    trace: bool = False,
    costs: CostTable | None = None,
    device: DeviceProfile | None = None,
) -> tuple[CellResult, Machine]:
    """
    Run one cell as `run_cell` does; return its result, and the machine as it stands at the end.

    costs, device: instead of those of the cell's profiles.
    """
    if image is None:
        raise ConfigError("volume", "there is no image to read", "files to make one of, or image")
    config = cell.config
    system = Scheme(config.encryption, config.volume.seed)
    volume = system.open_image(image)
    machine = _machine(cell, volume, trace, system, costs, device)
    if config.workload.writes and trace:
        raise ConfigError("--trace", "with a workload that writes", "a workload that reads")
    if config.workload.secure_delete is not None:
        return DeleteRun(cell, machine, volume, image).run(), machine
    if config.workload.stream_write is not None:
        path = f"/{config.volume.all_files[0].name}"
        written = _open_volume_file(cell, image, volume, machine, path, system)
        return WriteRun(cell, machine, written.inode, written.mapping).run(), machine
    opener = system.opener(machine)
    openings: list[int] = []
    files: dict[str, _File] = {}
    players: list[Played] = []
    processes: list[Any] = []
    opened_paths: set[str] = set()
    wall: Any = None  # what jobs from here on wait for: the end of all before the last stonewall
    verifiers: list[Verifier] = []
    digests = plaintext_digests(cell, image) if config.data == "real" else {}
    if config.workload.browser_cache is not None:
        run = BrowserRun(
            cell,
            machine,
            opener,
            lambda path: _open_volume_file(cell, image, volume, machine, path, system),
            digests,
        )
        players = run.start()
        machine.clock.run()
        machine.check_quiet(*(file.mapping for file in run.files.values()))
        _check_delivery(machine, players)
        outcome = _result(machine, players, run.verifiers, run.openings_ns)
        return replace(outcome, metrics={**outcome.metrics, **run.metrics()}), machine
    clones = [(job, clone) for job in config.workload.jobs for clone in range(job.numjobs)]
    for number, (job, clone) in enumerate(clones):
        path = _path(cell, volume, job)
        file = files.get(path)
        if file is None:
            file = files[path] = _open_volume_file(cell, image, volume, machine, path, system)
        task = machine.cpu.task(number, f"{job.name}.{clone}")
        opened = machine.open(file.mapping, file.inode, random=job.advice == "random")
        if job.advice == "sequential":
            opened.ra_pages *= 2  # POSIX_FADV_SEQUENTIAL doubles the window (mm/fadvise.c)
        if config.data == "real":
            verifier = _verifier(volume, file, job, digests.get(path))
            opened.sink = verifier
            verifiers.append(verifier)
        played = Played()
        players.append(played)
        if job.stonewall and not clone and processes:
            wall = machine.clock.all_of(tuple(processes))
        reads = passes(job, file.inode.size_bytes, job_stream(job, cell.seed, clone))
        player = play(machine.clock, machine.filemap, task, opened, reads, job, played, wall)
        if opener is not None:
            first = path not in opened_paths
            opened_paths.add(path)
            player = opener.before(player, task, file.inode, file.xattr_blocks, first, openings)
        processes.append(machine.clock.process(player))
    machine.clock.run()
    machine.check_quiet(*(file.mapping for file in files.values()))
    _check_delivery(machine, players)
    return _result(machine, players, verifiers, openings), machine


def _machine(
    cell: Cell,
    volume: Image,
    trace: bool,
    system: Scheme,
    costs: CostTable | None,
    given: DeviceProfile | None,
) -> Machine:
    config = cell.config
    profile = given or load_device_profile(cell.profile(config.device.profile))
    device = config.device
    read_ahead = (
        profile.limits.read_ahead_bytes if device.read_ahead_kb is None else device.read_ahead_kb * 1024
    )
    ra_pages = read_ahead // PAGE_BYTES
    memory_pages = config.machine.memory_bytes // PAGE_BYTES
    least = max(4 * ra_pages, 64)
    if memory_pages < least:
        raise ConfigError(
            "machine.memory", f"{memory_pages} pages", f"at least {least}: four readahead windows, 64 pages"
        )
    spec = MachineSpec(
        path=config.path,
        block_size=volume.block_size,
        limits=_limits(config, profile),
        costs=(costs or load_costs(cell.profile(config.machine.profile)))
        .scaled(config.machine.cost_scale)
        .dearer(SYSTEM_CALL, config.machine.syscall_ns),
        kernel=config.machine.kernel,
        large_folios=config.machine.large_folios,
        mapping=config.mapping,
        cpus=config.machine.cpus,
        memory_pages=memory_pages,
        ra_pages=ra_pages,
        store=system.store(volume) if config.data == "real" else None,
        record_io=trace,
        wakeup_ns=config.machine.wakeup_ns,
        **system.machine_options(),
    )
    return Machine(spec, lambda clock: make_device(clock, profile, cell.seed))


def _limits(config: CellConfig, profile: DeviceProfile) -> QueueLimits:
    device, limits = config.device, profile.limits
    max_sectors = limits.max_sectors
    if device.max_sectors_kb is not None:
        max_sectors = device.max_sectors_kb * 1024 // SECTOR_BYTES
    write = profile.write
    if config.workload.writes and not profile.can_write:
        raise ConfigError(f"device {profile.name}", "cannot be written to", "a profile with [write]")
    return QueueLimits(
        max_sectors=max_sectors,
        max_segments=device.max_segments or limits.max_segments,
        queue_depth=min(limits.queue_depth, device.nr_requests or limits.queue_depth),
        scheduler=device.scheduler or limits.scheduler,
        bio_based=limits.bio_based,
        driver=limits.driver,
        copies=profile.copies,
        write_cache=write is not None and write.volatile_cache,
        fua=write is not None and write.fua,
    )


def _path(cell: Cell, volume: Image, job: Job) -> str:
    """Return the absolute path of the file a job reads."""
    if job.filename is not None:
        return "/" + job.filename.lstrip("/")
    if cell.config.volume.files:
        return "/" + cell.config.volume.files[0].name
    files = [path for path, inode in volume.walk() if inode.is_regular]
    if len(files) != 1:
        raise ConfigError(
            f"job {job.name!r}",
            f"the image has {len(files)} files",
            "filename= one of " + ", ".join(files[:8]),
        )
    return files[0]


def _open_volume_file(
    cell: Cell, image: Path, volume: Image, machine: Machine, path: str, system: Scheme
) -> _File:
    """Look a file up, find its key, and bring caches into the asked-for state."""
    on_disk = volume.lookup(path)
    if not on_disk.is_regular or not on_disk.size_bytes:
        raise ConfigError(path, f"is a {on_disk.type_word} of {on_disk.size_bytes} bytes", "a file with data")
    decrypt = None
    has_key = on_disk.is_encrypted or system.wraps_keys
    if has_key and cell.config.data == "real":
        if system.wraps_keys:
            decrypt = system.file_contents(on_disk, path, volume.block_size).decrypt_blocks_into
        else:
            decrypt = _cipher(cell, image, volume, on_disk, path).decrypt_blocks_into
    indirect, mapping_kind = on_disk.indirect, cell.config.mapping
    if indirect is not None and mapping_kind != "indirect":
        raise ConfigError("mapping", f"{mapping_kind!r}, but {path} has a block map", "indirect")
    encrypted = has_key and not system.inline
    inode = FsInode(
        on_disk.tree,
        on_disk.size_bytes,
        volume.block_size,
        encrypted,
        decrypt,
        inline=system.inline,
        indirect=indirect,
    )
    status = cell.config.cache.status
    if status == "warm":
        inode.map.status.fill()
    if status != "all_cold":
        machine.buffers.warm(list(indirect.nodes.values()) if indirect is not None else on_disk.tree.blocks)
    opened = system.upper_inode(machine, volume, on_disk, inode, path)
    mapping = machine.mapping(opened)
    if isinstance(opened, FsInode):
        _fill_page_cache(cell, machine, mapping, opened, path)
    return _File(path, opened, mapping, on_disk, xattr_blocks(volume, on_disk))


def _fill_page_cache(cell: Cell, machine: Machine, mapping: Mapping, inode: FsInode, path: str) -> None:
    """Have the pages cached that the experiment asks for."""
    said = cell.config.cache.pages
    if said == "empty":
        return
    if said == "warm":
        cache_pages(machine, mapping, inode, every_nth(inode.pages, 1))
        return
    if said.every is not None:
        ranges = every_nth(inode.pages, said.every)
    else:
        ranges = random_share(inode.pages, said.share or 0, stream(cell.seed, f"cached pages {path}"))
    if said.buffers:
        pages_with_buffers(machine, mapping, inode, ranges, said.uptodate_blocks)
    else:
        cache_pages(machine, mapping, inode, ranges)


def _cipher(cell: Cell, image: Path, volume: Image, inode: Inode, path: str) -> ContentsCipher:
    context = Context.parse(inode.encryption_context or b"", path)
    keys_path = keys_of(cell, image)
    public = cell.config.volume.image is None  # made from the experiment's seed, which anyone can read
    keys = read_keys(keys_path, public=public) if keys_path is not None else {}
    key = keys.get(context.key_reference)
    if key is None:
        raise CryptoError(path, f"no key {context.key_reference.hex()}", "volume.keys with that key")
    return ContentsCipher(
        key, context, volume.block_size, inode_number=inode.number, filesystem_uuid=volume.uuid
    )


def _verifier(volume: Image, file: _File, job: Job, sha256: str | None) -> Verifier:
    """Return the check for a job: by stream where it reads the file once, front to back."""
    if sha256 is not None and reads_once_in_order(job, file.inode.size_bytes):
        return StreamVerifier(file.inode.size_bytes, sha256)
    plaintext = plain_contents(volume, file.on_disk, file.inode)
    if sha256 is not None and hashlib.sha256(plaintext).hexdigest() != sha256:
        raise CryptoError(
            file.path, "the plaintext's digest is not the one it was made with", "the right key"
        )
    return PieceVerifier(plaintext)


def plain_contents(volume: Image, on_disk: Inode, inode: FsInode | EcryptfsInode) -> bytes:
    """Return a file's plaintext without the simulator: read, decrypt what is written, cut at EOF."""
    block_size = volume.block_size
    raw = volume.read_file(on_disk, whole_blocks=True)
    if isinstance(inode, EcryptfsInode):
        assert inode.key is not None
        return inode.key.decrypt_extents(raw[HEADER_BYTES : on_disk.size_bytes], 0)[: inode.size_bytes]
    if inode.decrypt is None:
        return raw[: on_disk.size_bytes]
    plain = memoryview(bytearray(len(raw) + CONTENT_SLACK_BYTES))
    for extent in on_disk.tree.extents:
        start, end = extent.logical, min(extent.logical + extent.length, inode.blocks)
        if not extent.unwritten and start < end:
            data = memoryview(raw)[start * block_size : end * block_size]
            inode.decrypt(data, start, plain[start * block_size : end * block_size + CONTENT_SLACK_BYTES])
    return bytes(plain[: on_disk.size_bytes])


def _check_delivery(machine: Machine, players: list[Played]) -> None:
    """Raise InvariantError unless the device delivered what was asked of it, and time went on."""
    sectors = sum(size * count for size, count in machine.queue.stats.request_sectors.items())
    bios = sum(size * count for size, count in machine.queue.stats.bio_sectors.items())
    if not machine.spec.limits.bio_based and sectors != bios:
        raise InvariantError(f"{bios} sectors asked of the device, {sectors} delivered")
    if any(played.ended_ns < played.started_ns for played in players):
        raise InvariantError("a job ended before it began")


def _result(
    machine: Machine, players: list[Played], verifiers: list[Verifier], openings: list[int]
) -> CellResult:
    stats = machine.queue.stats
    rows = machine.ledger.rows()
    calls = machine.ledger.calls()
    elapsed = max(played.ended_ns for played in players) - min(played.started_ns for played in players)
    bytes_read = sum(played.bytes_read for played in players)
    latencies = np.concatenate([np.asarray(played.latencies_ns, np.int64) for played in players])
    good = int(all(verifier.good() for verifier in verifiers)) if verifiers else NOT_COMPARED
    metrics: dict[str, Number] = {
        "elapsed_ns": elapsed,
        "bytes_read": bytes_read,
        "pages_read": machine.cache.inserted + machine.cache.updated,
        **cpu_metrics([(row.context, row.ps) for row in rows], bytes_read),
        **instruction_metrics(rows, bytes_read),
        "reads": len(latencies),
        "latency_mean_ns": float(latencies.mean()),
        "latency_p50_ns": float(np.percentile(latencies, 50)),
        "latency_p99_ns": float(np.percentile(latencies, 99)),
        "bios": stats.queued,
        "requests": stats.issued,
        "back_merges": stats.back_merges,
        "front_merges": stats.front_merges,
        "map_calls": sum(calls.get(symbol, 0) for symbol in _MAP_CALLS),
        "get_block_calls": calls.get("ext4_get_block", 0),
        "pages_cached": machine.cache.cached,
        "buffer_head_pages": machine.cache.head_pages,
        "buffer_heads": calls.get("create_empty_buffers", 0) * (PAGE_BYTES // machine.spec.block_size),
        "device_busy_ns": machine.queue.stats.busy_ns,
        "throughput_mib_s": bytes_read / MIB * NS_PER_S / elapsed,
        "open_ns": sum(openings) / len(openings) if openings else 0.0,
        "peak_pages": machine.cache.peak,
        "digest_ok": good,
    }
    histograms = {"bio_sectors": dict(stats.bio_sectors), "request_sectors": dict(stats.request_sectors)}
    return CellResult(metrics, call_rows(rows), histograms, _io_rows(machine), _read_rows(machine, players))


def _io_rows(machine: Machine) -> list[IoRow]:
    """Return the traced bios with the length of their stages."""
    return [
        IoRow(
            record.sector,
            record.sectors,
            record.bios,
            record.merges,
            record.queued_ns,
            *(getattr(record, end) - getattr(record, start) for start, end in STAGES.values()),
        )
        for record in machine.records or ()
    ]


def _read_rows(machine: Machine, players: list[Played]) -> list[ReadRow]:
    """Return the traced reads."""
    if machine.records is None:
        return []
    return [
        ReadRow(reader, number, latency)
        for reader, played in enumerate(players)
        for number, latency in enumerate(played.latencies_ns)
    ]


_MAP_CALLS = ("ext4_map_blocks", "ext3_get_blocks_handle", "udf_get_block")

"""
What cannot go together in one cell: a workload with a volume, a scheme with a layout.

Each raises the validation error that the loader turns into one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.config.cache_state import SomePages
from sim.config.checksums import LISTS
from sim.config.layouts import Aged
from sim.config.table import custom
from sim.config.workload import SecureDelete
from sim.kernels import KERNELS
from sim.paths.registry import DESIGNS
from sim.paths.writepages.designs import READS_AS, WRITE_PATHS
from sim.units import PAGE_BYTES, SECTOR_BYTES, format_size

if TYPE_CHECKING:
    from sim.config.cell import CellConfig


def check_crash(config: CellConfig) -> None:
    """Raise for a [crash] table where nothing can be judged."""
    if config.data != "real" or not any(job.ddir != "read" for job in config.workload.jobs):
        raise custom("crash with data off, or without jobs that write", 'data = "real", and rw = "write"')
    if config.encryption.scheme == "ecryptfs":
        problem = "crash with encryption.scheme 'ecryptfs': a torn sector spoils the next in CBC"
        raise custom(problem, "another scheme")
    for job in config.workload.jobs:
        if any(size % SECTOR_BYTES for size in job.bs_limits_bytes):
            raise custom(
                f"crash with job {job.name!r} of {job.bs_limits_bytes} bytes", "whole sectors of 512"
            )


def check_checksums(config: CellConfig) -> None:
    """Raise for what has no checksums here, or what they cannot be verified in."""
    said, jobs = config.checksums, config.workload.jobs
    what = f"checksums.layout {said.layout!r}"
    if not jobs:
        raise custom(f"{what} without fio jobs", "workload.job")
    if any(job.ddir != "read" for job in jobs):
        _check_written_checksums(config, what)
    elif said.overwrite != "read":
        raise custom(f"overwrite {said.overwrite!r} without jobs that write", "rw = write, randwrite")
    schemes = ("none", "fscrypt-v2", "file-keys", "rfc2014")
    if config.encryption.scheme not in schemes:
        raise custom(f"{what} with encryption.scheme {config.encryption.scheme!r}", ", ".join(schemes))
    if said.key == "file":
        _check_file_keys(config)
    if config.mapping != "extents":
        raise custom(f"{what} with mapping {config.mapping!r}", 'mapping = "extents"')
    if said.layout in LISTS:
        if isinstance(config.cache.pages, SomePages) and config.cache.pages.buffers:
            raise custom(f"{what} with cache.pages: buffers", "pages that are up to date, or empty")
        asked = config.machine.large_folios
        if asked or (asked is None and config.machine.kernel not in ("3.16", "6.1", "6.12")):
            allowed = "machine.large_folios = false, or a table"
            raise custom(f"{what} with large folios", allowed)


def _check_file_keys(config: CellConfig) -> None:
    """Raise for tags under files' own keys where files have none, or their data is decrypted elsewhere."""
    said, kernel = config.checksums, KERNELS.get(str(config.machine.kernel))
    if config.encryption.scheme != "file-keys":
        what = said.order if said.order != "encrypt-then-checksum" else "key 'file'"
        problem = f"checksums: {what} with encryption.scheme {config.encryption.scheme!r}"
        raise custom(problem, "file-keys: each file has a key of its own")
    if said.order != "encrypt-then-checksum" and kernel is not None and kernel.paths.decrypts_below:
        able = [name for name, version in KERNELS.items() if not version.paths.decrypts_below]
        problem = f"checksums.order {said.order!r} with kernel {kernel.name}, which decrypts below ext4"
        raise custom(problem, f"kernel {', '.join(able)}")


def _check_written_checksums(config: CellConfig, what: str) -> None:
    """Raise for jobs that write where their checksums are not kept up."""
    if config.writes_through != "page_io":
        raise custom(f"{what} with write_path {config.writes_through!r}", "page_io")
    order, lists = config.checksums.order, config.checksums.layout in LISTS
    if order == "aead" and lists:
        raise custom(f"{what} with jobs that write and order {order!r}", "a table")
    if order == "aead" and config.crash is not None:
        problem = f"checksums.order {order!r} with crash: a block without its own tag cannot be decrypted"
        raise custom(problem, "encrypt-then-checksum, checksum-then-encrypt")
    if not lists:
        return
    if config.checksums.extent_blocks != 1:  # a run of a block is read as a block of a table is
        _check_read_runs(config, what)
    for file in config.volume.all_files:
        if file.layout.kind not in ("contiguous", "fragmented", "random"):
            allowed = "files that are written over: contiguous, fragmented, random; or a table"
            raise custom(f"{what} with jobs that write and layout {file.layout.kind!r}", allowed)


def _check_read_runs(config: CellConfig, what: str) -> None:
    """Raise for jobs that read runs of which a part may be newer in memory than its checksum."""
    if any(job.ddir not in ("read", "write") for job in config.workload.jobs):
        allowed = "jobs that do one of them, extent_blocks = 1, or a table"
        raise custom(f"{what} with a job that reads and writes", allowed)
    split = config.checksums.overwrite == "split"
    if (split or config.data == "real") and any(job.ddir == "read" for job in config.workload.jobs):
        also = 'overwrite "split"' if split else 'data "real"'
        problem = f"{what} with jobs that read and jobs that write, and {also}"
        allowed = 'jobs that write, extent_blocks = 1, a table, or overwrite = "read" and data = "off"'
        raise custom(problem, allowed)


def check_paths(config: CellConfig) -> None:
    """Raise for a path that is said twice, for one that cannot write, and for one that differs in nothing."""
    said = [key for key in ("read_path", "write_path") if getattr(config, key) is not None]
    if said and "path" in config.model_fields_set:
        raise custom(f"path and {said[0]}", "path for reading and writing, or read_path and write_path")
    writes = config.writes_through
    if any(job.ddir != "read" for job in config.workload.jobs):
        if writes not in WRITE_PATHS:
            name = writes if isinstance(writes, str) else writes.word
            raise custom(f"path {name!r} does not write", f"write_path, one of {', '.join(WRITE_PATHS)}")
    elif config.write_path is not None:
        raise custom("write_path with a workload in which no job writes", "read_path, or path")
    elif config.path in READS_AS:
        raise custom(
            f"path {config.path!r} with a workload in which no job writes",
            f"{READS_AS[str(config.path)]}: they differ in writing alone",
        )


def check_design(config: CellConfig) -> None:
    """Raise for a kernel, a scheme, a mount or a mapping that the design which reads is not of."""
    said, kernel = config.reads_through, config.machine.kernel
    if not isinstance(said, str):
        return
    design, scheme, data = DESIGNS[said], config.encryption.scheme, config.mount.data
    if design.kernels and isinstance(kernel, str) and kernel not in design.kernels:
        raise custom(f"path {said!r} with kernel {kernel}", f"kernel {', '.join(design.kernels)}")
    if not design.plain_files:
        return
    if scheme not in ("none", "dm-crypt", "ecryptfs"):
        raise custom(f"path {said!r} with encryption.scheme {scheme!r}", "none, dm-crypt, ecryptfs")
    if data == "journal":
        raise custom(f"path {said!r} with mount.data {data!r}", "ordered, writeback")
    if config.mapping != "extents":
        raise custom(f"path {said!r} with mapping {config.mapping!r}", "extents")


def check_stream(config: CellConfig) -> None:
    """Raise for what a stream of writes cannot be run on."""
    files, what = config.volume.all_files, "workload.stream_write"
    if len(files) != 1 or files[0].layout.kind not in ("contiguous", "fragmented", "aged"):
        raise custom(f"{what} on this volume", "one file: contiguous, fragmented or aged")
    if config.encryption.scheme not in ("none", "ecryptfs"):
        raise custom(f"{what} with encryption.scheme {config.encryption.scheme!r}", "none or ecryptfs")
    if config.encryption.cipher not in (None, "aes-128"):
        raise custom(f"{what} with cipher {config.encryption.cipher!r}", "aes-128")
    if config.data == "real":
        raise custom(f'{what} with data "real"', 'data = "off"')
    if files[0].size_bytes % PAGE_BYTES or files[0].size_bytes * 10 > config.machine.memory_bytes:
        problem = f"{what}: a file of {format_size(files[0].size_bytes)}"
        raise custom(problem, "whole pages, up to a tenth of machine.memory")
    if (
        config.machine.kernel not in ("3.16", "6.1")
        or config.mapping != "extents"
        or config.cache.pages != "empty"
    ):
        raise custom(f"{what} on this machine", 'kernel 6.1 or 3.16, mapping "extents", cache.pages "empty"')


def check_delete(config: CellConfig, said: SecureDelete) -> None:
    """Raise for what a deletion cannot be run on."""
    files, what = config.volume.all_files, "workload.secure_delete"
    if len(files) != 1 or config.volume.journal_bytes is None:
        raise custom(f"{what} on this volume", 'one file in files, and a journal: journal = "4MiB"')
    if files[0].layout.kind not in ("contiguous", "fragmented", "aged"):
        raise custom(f"{what} with layout {files[0].layout.kind!r}", "contiguous, fragmented, aged")
    schemes = ("file-keys",) if said.method.startswith("clobber") else ("none", "file-keys")
    if config.encryption.scheme not in schemes:
        problem = f"{what}.method {said.method!r} with encryption.scheme {config.encryption.scheme!r}"
        raise custom(problem, " or ".join(schemes))
    if config.machine.kernel != "6.1" or config.mapping != "extents" or config.cache.pages != "empty":
        raise custom(f"{what} on this machine", 'kernel 6.1, mapping "extents", cache.pages "empty"')
    if files[0].size_bytes * 10 > config.machine.memory_bytes:
        problem = f"{what}: a file of {format_size(files[0].size_bytes)}"
        raise custom(problem, "a tenth of machine.memory: beyond, writeback in the background begins")


def check_scheme(config: CellConfig) -> None:
    """Raise for what a scheme cannot do with this volume."""
    scheme, block = config.encryption, config.volume.block_size_bytes or 0
    if scheme.sector_bytes > block:
        problem = f"encryption.sector_size {scheme.sector_bytes} with blocks of {block} bytes"
        raise custom(problem, "blocks as large as a sector, or larger")
    if scheme.scheme == "rfc2014" and block != PAGE_BYTES:
        problem = f"encryption.scheme 'rfc2014' with blocks of {block} bytes"
        raise custom(problem, "4KiB: it encrypts pages, one block each")
    if scheme.scheme == "ecryptfs":
        if config.cache.pages != "empty":
            raise custom("cache.pages with encryption.scheme 'ecryptfs'", '"empty": two caches hold a page')
        for file in config.volume.files:
            if file.layout.kind in ("sparse", "unwritten", "hole", "fiemap", "filefrag"):
                problem = f"encryption.scheme 'ecryptfs' with layout {file.layout.kind!r}"
                raise custom(problem, "contiguous, fragmented, aged, random: eCryptfs writes every page")
            layout = file.layout
            if isinstance(layout, Aged) and (layout.hole_share or layout.unwritten_share):
                shares = f"hole_share {layout.hole_share}, unwritten_share {layout.unwritten_share}"
                problem = f"encryption.scheme 'ecryptfs' with layout 'aged' of {shares}"
                raise custom(problem, "0 and 0: eCryptfs writes every page")

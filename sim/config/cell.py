"""
What an experiment file may say: frozen models of its tables, one cell of its matrix at a time.

Sizes are written "4KiB" or 4096 in TOML and held as int bytes in a field that says so. Values that mean the
same give the same hash. Files that a configuration names (an image, keys, a recorded layout, a profile of
one's own) enter the hash with their content: see `FileRef`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator

from sim.config.cache_state import Cache, SomePages
from sim.config.check_faults import check_faults, check_verity
from sim.config.checks import (
    check_checksums,
    check_crash,
    check_delete,
    check_design,
    check_paths,
    check_scheme,
    check_stream,
)
from sim.config.checksums import Checksums
from sim.config.clones import check_clones
from sim.config.crash import Crash
from sim.config.encryption import Encryption
from sim.config.faults import Faults
from sim.config.fio_jobs import check_jobs, files_of_jobs
from sim.config.integrity import Integrity, check_integrity
from sim.config.mount import Mount
from sim.config.new_files import check_new_files
from sim.config.system import Device, Machine
from sim.config.table import Model, custom
from sim.config.values import CodeRef, FileRef, one_of
from sim.config.volume import Volume
from sim.config.workload import Workload
from sim.fs.mappers import MAPPERS
from sim.kernels import KERNELS
from sim.paths.registry import PATHS
from sim.paths.writepages.designs import READS_AS, WRITE_PATHS
from sim.units import PAGE_BYTES, format_size


def _writes(value: object) -> object:
    if value in WRITE_PATHS:
        return value
    raise custom(f"{value!r} does not write", ", ".join(WRITE_PATHS))


class CellConfig(Model):
    """
    One cell of the matrix, everything resolved: what `run_cell` builds its system from.

    path: the design that reads and writes. read_path, write_path: in its place, each its own.
    """

    machine: Machine = Machine()
    device: Device
    volume: Volume
    encryption: Encryption = Encryption()
    workload: Workload
    cache: Cache = Cache()
    mount: Mount = Mount()
    crash: Crash | None = None
    faults: Faults | None = None
    checksums: Checksums = Checksums()
    integrity: Integrity = Integrity()
    path: Annotated[str | CodeRef, one_of((*PATHS, *READS_AS))] = "page_io"
    read_path: Annotated[str | CodeRef | None, one_of(PATHS)] = None
    write_path: Annotated[str | None, BeforeValidator(_writes)] = None
    mapping: Annotated[str | CodeRef, one_of(MAPPERS)] = "extents"
    data: Literal["real", "off"] = "real"

    @model_validator(mode="after")
    def _files_exist(self) -> Self:
        if self.workload.browser_cache is not None and self.volume.objects is None:
            raise custom("workload.browser_cache without volume.objects", "objects = { count = 100 }")
        if self.workload.secure_delete is not None:
            check_delete(self, self.workload.secure_delete)
        if self.workload.stream_write is not None:
            check_stream(self)
        if self.volume.contents == "none" and (self.data == "real" or self.encryption.scheme != "none"):
            said = f"data {self.data!r} and encryption.scheme {self.encryption.scheme!r}"
            raise custom(
                f'volume.contents "none" with {said}',
                'data = "off" and encryption.scheme = "none", or contents = "random"',
            )
        if self.volume.image is not None:
            if self.encryption.scheme != "none":
                raise custom("encryption.scheme with volume.image", "none: the image says what is encrypted")
            return self
        check_scheme(self)
        files_of_jobs(self.workload.jobs, [file.name for file in self.volume.all_files])
        return self

    @model_validator(mode="after")
    def _jobs_can_run(self) -> Self:
        check_paths(self)
        check_design(self)
        check_jobs(self)
        check_new_files(self)
        check_clones(self)
        if self.crash is not None:
            check_crash(self)
        if self.faults is not None:
            check_faults(self, self.faults)
        if self.volume.verity:
            check_verity(self)
        if self.checksums.layout != "none":
            check_checksums(self)
        if self.integrity.mode != "none":
            check_integrity(self)
        pages = self.cache.pages
        kernel = self.machine.kernel
        if isinstance(pages, SomePages) and pages.buffers:
            without = [name for name, version in KERNELS.items() if not version.folios_unasked]
            if kernel not in without:
                raise custom(f"cache.pages: buffers with kernel {kernel}", f"kernel {', '.join(without)}")
        block_size = self.volume.block_size_bytes or 1024
        if block_size > PAGE_BYTES:
            self._blocks_fit(block_size)
        per_page = max(PAGE_BYTES // block_size, 1)
        if isinstance(pages, SomePages) and pages.uptodate_blocks >= per_page:
            problem = f"cache.pages: uptodate_blocks {pages.uptodate_blocks} of {per_page} blocks a page"
            raise custom(problem, f"0 to {per_page - 1}")
        return self

    def _blocks_fit(self, block_size: int) -> None:
        """Raise for blocks larger than a page where the kernel, or the encryption, allows none."""
        able = [name for name, version in KERNELS.items() if version.large_blocks]
        said = f"volume.block_size {format_size(block_size)}"
        if isinstance(self.machine.kernel, str) and self.machine.kernel not in able:
            raise custom(
                f"{said} with kernel {self.machine.kernel}", f"up to 4KiB, or kernel {', '.join(able)}"
            )
        if self.encryption.scheme not in ("none", "dm-crypt"):
            raise custom(f"{said} with encryption.scheme {self.encryption.scheme!r}", "none or dm-crypt")

    @property
    def reads_through(self) -> str | CodeRef:
        """The design that reads: a name of PATHS, or the user's own."""
        path = self.path if self.read_path is None else self.read_path
        return READS_AS.get(path, path) if isinstance(path, str) else path

    @property
    def writes_through(self) -> str | CodeRef:
        """The design that writes pages back, of what is asked for; see check_paths."""
        return self.path if self.write_path is None else self.write_path

    @property
    def own_code(self) -> dict[str, CodeRef]:
        """The user's own code that the cell names, by key."""
        said = {
            "path": self.path if self.read_path is None else self.read_path,
            "mapping": self.mapping,
            "machine.kernel": self.machine.kernel,
            "device.model": self.device.model,
        }
        return {key: value for key, value in said.items() if isinstance(value, CodeRef)}

    def canonical(self) -> dict[str, Any]:
        """
        Return the configuration as plain JSON values: what is hashed and kept in the manifest.

        `mount`, `crash`, `faults`, `checksums` and `integrity` came later than the first runs: they are there
        where they are set, not before; so are `read_path`, which is `path` then, and `write_path`, where it
        is another.
        """
        plain = self.model_dump(mode="json")
        read, write = plain.pop("read_path"), plain.pop("write_path")
        plain["path"] = plain["path"] if read is None else read
        if write is not None and write != plain["path"]:
            plain["write_path"] = write
        if self.mount == Mount():
            del plain["mount"]
        if self.crash is None:
            del plain["crash"]
        if self.faults is None:
            del plain["faults"]
        if self.checksums.layout == "none":
            del plain["checksums"]
        if self.integrity.mode == "none":
            del plain["integrity"]
        return plain


def digest(value: object) -> str:
    """Return SHA-256 (hex) over the canonical JSON of plain values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Cell:
    """
    One run: a cell of the matrix with one seed.

    index: position of the cell in the matrix, 0-based; the same for all of its seeds.
    labels: (key, label) per axis of the matrix, in file order.
    config_hash: SHA-256 (hex) of `config`; neither seed, labels nor `base` enter it.
    base: folder that the paths in `config` are relative to. place: file and line where its volume is said,
    for errors; no part of what the cell is.
    """

    index: int
    labels: tuple[tuple[str, str], ...]
    config: CellConfig
    config_hash: str
    seed: int
    base: Path
    place: str = field(default="volume", compare=False)

    def file(self, ref: FileRef) -> Path:
        """Return where a file that the configuration names is."""
        return self.base / ref.path

    def profile(self, profile: str | FileRef) -> str:
        """Return the name of a shipped profile, or the path of one's own, as the profile loaders take it."""
        return profile if isinstance(profile, str) else str(self.file(profile))

    @property
    def name(self) -> str:
        """The cell in one line: its labels, joined."""
        return " ".join(label for _, label in self.labels) or "the only cell"


@dataclass(frozen=True)
class Experiment:
    """
    A whole experiment file.

    stem: the file's name without .toml. axes: (key, labels) per line of [matrix], in file order.
    cells: in matrix order, the last axis fastest, all seeds of a cell together.
    """

    stem: str
    title: str
    question: str
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def config_hash(self) -> str:
        """SHA-256 (hex) over the cells, their labels and seeds, in order."""
        return digest([[list(cell.labels), cell.config_hash, cell.seed] for cell in self.cells])

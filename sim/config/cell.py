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

import numpy as np
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_serializer,
    model_serializer,
    model_validator,
)

from sim.config.cell_result import Currency
from sim.config.encryption import Encryption
from sim.config.fio_jobs import check_jobs, files_of_jobs
from sim.config.table import Model, custom
from sim.engine.costs import DEFAULT_MACHINE
from sim.errors import ConfigError
from sim.ext4.format.journal import LEAST_BLOCKS
from sim.units import KIB, NS_PER_S, PAGE_BYTES, format_size, parse_size, parse_time
from sim.workload.fio.job import Job

PathName = Literal["buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block"]
"""The read paths: see sim/paths/. `per_block` is the counterfactual that maps every block."""


MappingName = Literal["extents", "indirect", "linear", "linear-remembered"]
"""How a file system finds its blocks: ext4, ext3, UDF before and since Linux 3.10; see other_maps.py."""


def _size(value: object) -> int:
    try:
        return parse_size("", value)
    except ConfigError as error:
        raise custom(error.problem, error.allowed) from None


def _time(value: object) -> int:
    try:
        time_ns = parse_time("", value)
    except ConfigError as error:
        raise custom(error.problem, error.allowed) from None
    if time_ns > NS_PER_S:
        raise custom(f"{value!r} is too long", "up to 1s")
    return time_ns


TimeNs = Annotated[int, BeforeValidator(_time)]
SizeBytes = Annotated[int, BeforeValidator(_size)]
PositiveBytes = Annotated[int, BeforeValidator(_size), Field(ge=1)]


class FileRef(Model):
    """A file beside the experiment: `path` as written there, `sha256` of its content; the loader fills it."""

    path: str
    sha256: str


class Machine(Model):
    """
    The computer. profile: a machine profile by name, or a *.toml beside the experiment.

    kernel: whose readahead and symbols. large_folios: None: as that kernel has them on ext4; path iomap may
    have them on 6.1 too. cost_scale: every cost constant of the profile times this, for a machine that much
    slower. currency: what tables, ratios and `show` are in; results hold both, and the clock moves by ns
    whichever it is. syscall: what a system call takes outside the file code, beyond the profile's
    entry_SYSCALL_64: mitigations, the caller's own loop. wakeup: time from queueing a work item until an idle
    worker runs it, no CPU time of its own.
    """

    profile: str | FileRef = DEFAULT_MACHINE
    cpus: int = Field(default=4, ge=1, le=1024)
    memory_bytes: PositiveBytes = Field(default=1 << 30, alias="memory")
    kernel: Literal["3.16", "6.1", "6.16"] = "6.1"
    large_folios: bool | None = None
    cost_scale: float = Field(default=1.0, ge=0.001, le=1000, strict=False, allow_inf_nan=False)
    currency: Currency = "ns"
    syscall_ns: TimeNs = Field(default=0, alias="syscall")
    wakeup_ns: TimeNs = Field(default=0, alias="wakeup")


class Device(Model):
    """
    The block device. profile: by name, or a *.toml beside the experiment.

    The others override the profile, under the names that /sys/block/*/queue has for them; None keeps the
    profile's.
    """

    profile: str | FileRef
    scheduler: Literal["none", "mq-deadline"] | None = None
    read_ahead_kb: int | None = Field(default=None, ge=0)
    max_sectors_kb: int | None = Field(default=None, ge=4)
    max_segments: int | None = Field(default=None, ge=1)
    nr_requests: int | None = Field(default=None, ge=1)


class Contiguous(Model):
    """One extent, as long as the format allows."""

    kind: Literal["contiguous"]


class Fragmented(Model):
    """
    Extents of `extent` bytes, or of `extent_blocks` blocks; between them on disk lies another file.
    """

    kind: Literal["fragmented"]
    extent_bytes: PositiveBytes | None = Field(default=None, alias="extent")
    extent_blocks: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.extent_bytes is None) == (self.extent_blocks is None):
            raise custom("one length of extents is needed", "extent or extent_blocks")
        return self

    def blocks(self, block_size_bytes: int) -> int:
        """Return the length of an extent in blocks."""
        return self.extent_blocks or (self.extent_bytes or 0) // block_size_bytes


class Sparse(Model):
    """Data and holes in turn, `data` and `hole` bytes each, data first."""

    kind: Literal["sparse"]
    data_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="data")
    hole_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="hole")


class Unwritten(Model):
    """Allocated by fallocate and never written: reads give zeros."""

    kind: Literal["unwritten"]


class Aged(Model):
    """
    Extents of random length, mean `extent` bytes, shuffled within `window` neighbours, other files' blocks
    between: a file system used for years. Of the runs, `hole_share` are holes, `unwritten_share` unwritten.
    """

    kind: Literal["aged"]
    seed: int = Field(default=0, ge=0)
    extent_bytes: PositiveBytes = Field(default=64 * KIB, alias="extent")
    hole_share: float = Field(default=0.05, ge=0, le=1)
    unwritten_share: float = Field(default=0.05, ge=0, le=1)
    window: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _shares_of_a_whole(self) -> Self:
        if self.hole_share + self.unwritten_share > 1:
            said = f"hole_share {self.hole_share} and unwritten_share {self.unwritten_share}"
            raise custom(said, "1 together, or less")
        return self


class Scattered(Model):
    """Written at random: extents of random length, mean `extent` bytes (a block), in random order."""

    kind: Literal["random"]
    seed: int = Field(default=0, ge=0)
    extent_bytes: PositiveBytes | None = Field(default=None, alias="extent")


class Recorded(Model):
    """A real file's layout: a FIEMAP list (JSON), or what `filefrag -v` prints."""

    kind: Literal["fiemap", "filefrag"]
    path: FileRef


Layout = Annotated[
    Contiguous | Fragmented | Sparse | Unwritten | Aged | Scattered | Recorded, Field(discriminator="kind")
]


class VolumeFile(Model):
    """A file of the volume: its name in the root directory, its size, how its blocks lie."""

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")
    size_bytes: PositiveBytes = Field(alias="size")
    layout: Layout = Contiguous(kind="contiguous")


class Objects(Model):
    """Many files, "object0000" and so on, of lognormal sizes: their median, sigma of the logarithm."""

    count: int = Field(ge=1, le=9999)
    median_bytes: PositiveBytes = Field(default=16 * KIB, alias="median")
    sigma: float = Field(default=1.0, ge=0, le=3)

    def files(self, seed: int) -> tuple[VolumeFile, ...]:
        """Return the files; their sizes follow from the volume's seed."""
        drawn = np.random.Generator(np.random.Philox(key=seed)).standard_normal(self.count)
        sizes = np.maximum(np.rint(self.median_bytes * np.exp(self.sigma * drawn)), 1).astype(int)
        return tuple(
            VolumeFile.model_validate({"name": f"object{number:04d}", "size": size})
            for number, size in enumerate(sizes.tolist())
        )


MOST_JOURNAL_BLOCKS = 10_240_000
"""As many as mke2fs makes (e2fsprogs, mke2fs(8): -J size)."""
_IN_BLOCKS = ("extent_bytes", "data_bytes", "hole_bytes")


class Volume(Model):
    """
    The file system: either made (`block_size`, `files`, `objects`) or given (`image`, `keys` if encrypted).

    seed: of the contents and keys of a made one. It is apart from the run's seeds, so that every seed
    reads the same image. journal: its size, for runs that write; what it logged when the files were made is
    still in it. contents: "none" leaves the files' blocks empty, for files too large to be filled, with
    data = "off".
    """

    block_size_bytes: PositiveBytes | None = Field(default=None, alias="block_size")
    files: tuple[VolumeFile, ...] = Field(default=(), strict=False)  # a TOML array is a list
    objects: Objects | None = None
    seed: int = Field(default=0, ge=0)
    journal_bytes: PositiveBytes | None = Field(default=None, alias="journal")
    image: FileRef | None = None
    keys: FileRef | None = None
    contents: Literal["random", "none"] = "random"

    @model_serializer(mode="wrap")
    def _canonical(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`contents` came later than the first runs: it is in a hash where it is set, not before."""
        said: dict[str, Any] = plain(self)
        if self.contents == "random":
            del said["contents"]
        return said

    @property
    def all_files(self) -> tuple[VolumeFile, ...]:
        """The files of a made volume: those listed, then the objects."""
        return self.files + (self.objects.files(self.seed) if self.objects else ())

    @model_validator(mode="before")
    @classmethod
    def _block_size_of_a_made_one(cls, said: object) -> object:
        """ext4's own default, for a volume that is made."""
        if isinstance(said, dict) and "image" not in said and "block_size" not in said:
            return {**said, "block_size": PAGE_BYTES}
        return said

    @model_validator(mode="after")
    def _made_or_given(self) -> Self:
        if self.image is not None:
            made = (self.files, self.objects, self.journal_bytes, self.contents != "random")
            if any(made) or self.block_size_bytes is not None:
                problem = "image with files, block_size, journal or contents"
                raise custom(problem, "either an image, or files to make one of")
            return self
        if self.keys is not None:
            raise custom("keys without image", "keys only for a given image: a made one has its own")
        if not (self.files or self.objects):
            raise custom("nothing to read", "files, or image")
        if self.block_size_bytes is None or self.block_size_bytes not in (1024, 2048, 4096):
            raise custom(f"block_size {self.block_size_bytes} bytes is not modelled", "1KiB, 2KiB, 4KiB")
        least = LEAST_BLOCKS * self.block_size_bytes
        journal = self.journal_bytes or least
        most = MOST_JOURNAL_BLOCKS * self.block_size_bytes
        if not least <= journal <= most or journal % self.block_size_bytes:
            problem = f"journal {format_size(journal)}"
            raise custom(problem, f"whole blocks, {format_size(least)} to {format_size(most)}")
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise custom("two files of one name", "distinct names")
        for file in self.files:
            for name, value in file.layout:
                if name in _IN_BLOCKS and value is not None and value % self.block_size_bytes:
                    word = name.removesuffix("_bytes")
                    problem = f"file {file.name!r}: {word} {format_size(value)} is not whole blocks"
                    raise custom(problem, f"a multiple of {format_size(self.block_size_bytes)}")
        return self


class BrowserCache(Model):
    """
    The workload of sim/workload/browser_cache.py: users who ask for the volume's files by Zipf's law.

    capacity: of the cache, all users' together. fetch: what a miss takes. think: mean pause of a user.
    """

    users: int = Field(ge=1, le=1000)
    requests: int = Field(ge=1)
    theta: float = Field(default=0.9, ge=0)
    capacity_bytes: PositiveBytes = Field(alias="capacity")
    shared: bool = True
    fetch_ns: TimeNs = Field(default=0, alias="fetch")
    think_ns: TimeNs = Field(default=0, alias="think")

    @model_validator(mode="after")
    def _zipf(self) -> Self:
        if self.theta == 1:
            raise custom("theta 1", "any other: the sampler has no 1, nor has fio's")
        return self


class SecureDelete(Model):
    """
    The volume's one file is deleted so that it cannot be read again; see sim/machine/delete_run.py.

    passes: of overwriting.
    """

    method: Literal["unlink", "clobber", "clobber-zeroout", "overwrite"]
    passes: int = Field(default=1, ge=1, le=35)

    @model_validator(mode="after")
    def _passes(self) -> Self:
        if self.passes != 1 and self.method != "overwrite":
            raise custom(f"passes with method {self.method!r}", "method overwrite")
        return self


class StreamWrite(Model):
    """
    The volume's one file is written front to back and synced; see sim/machine/write_run.py.

    bs: bytes of a write(2), whole pages.
    """

    bs_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="bs")

    @model_validator(mode="after")
    def _pages(self) -> Self:
        if self.bs_bytes % PAGE_BYTES:
            raise custom(f"bs {self.bs_bytes} bytes", "whole pages of 4KiB")
        return self


class Workload(Model):
    """
    Who reads what: the jobs of a fio job file or of inline tables, all at once as in fio; or a browser cache;
    or how a file is deleted; or a stream of writes.
    """

    jobs: tuple[Job, ...] = Field(default=(), alias="job")
    browser_cache: BrowserCache | None = None
    secure_delete: SecureDelete | None = None
    stream_write: StreamWrite | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        others = (self.browser_cache, self.secure_delete, self.stream_write)
        if bool(self.jobs) + sum(other is not None for other in others) != 1:
            raise custom("no workload, or two", "job, browser_cache, secure_delete or stream_write")
        return self

    @field_serializer("jobs")
    def _canonical_jobs(self, jobs: tuple[Job, ...]) -> list[dict[str, Any]]:
        return [job.canonical() for job in jobs]

    @property
    def writes(self) -> bool:
        """Whether it writes to the device."""
        return self.secure_delete is not None or self.stream_write is not None


class SomePages(Model):
    """
    Some pages of each file that is read: every n-th from page 0 on, or a share drawn with the run's seed.

    buffers: they are not up to date but carry buffer heads, of which the first uptodate_blocks are: see
    `initial_cache`.
    """

    every: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    buffers: bool = False
    uptodate_blocks: int = Field(default=0, ge=0, le=3)

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        if (self.every is None) == (self.share is None):
            raise custom("which pages are cached is said once", "every = N, or share = 0.25")
        if self.uptodate_blocks and not self.buffers:
            raise custom("uptodate_blocks without buffers", "buffers = true with it")
        return self


class Cache(Model):
    """
    What the kernel knows before the first read.

    status: "warm" = every extent is in the extent status cache; "es_cold" = that cache was cleared, the
    extent tree's blocks are still in memory; "all_cold" = freshly mounted. pages: what the page cache holds
    of the files that are read: nothing, all that fits in memory, or some.
    """

    status: Literal["warm", "es_cold", "all_cold"] = "warm"
    pages: Annotated[
        Annotated[Literal["empty", "warm"], Tag("word")] | Annotated[SomePages, Tag("table")],
        Discriminator(lambda value: "table" if isinstance(value, dict | SomePages) else "word"),
    ] = "empty"


class CellConfig(Model):
    """One cell of the matrix, everything resolved: what `run_cell` builds its system from."""

    machine: Machine = Machine()
    device: Device
    volume: Volume
    encryption: Encryption = Encryption()
    workload: Workload
    cache: Cache = Cache()
    path: PathName = "page_io"
    mapping: MappingName = "extents"
    data: Literal["real", "off"] = "real"

    @model_validator(mode="after")
    def _files_exist(self) -> Self:
        if self.workload.browser_cache is not None and self.volume.objects is None:
            raise custom("workload.browser_cache without volume.objects", "objects = { count = 100 }")
        if self.workload.secure_delete is not None:
            self._check_delete(self.workload.secure_delete)
        if self.workload.stream_write is not None:
            self._check_stream()
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
        self._check_scheme()
        files_of_jobs(self.workload.jobs, [file.name for file in self.volume.all_files])
        return self

    def _check_stream(self) -> None:
        """Raise for what a stream of writes cannot be run on."""
        files, what = self.volume.all_files, "workload.stream_write"
        if len(files) != 1 or files[0].layout.kind not in ("contiguous", "fragmented", "aged"):
            raise custom(f"{what} on this volume", "one file: contiguous, fragmented or aged")
        if self.encryption.scheme not in ("none", "ecryptfs"):
            raise custom(f"{what} with encryption.scheme {self.encryption.scheme!r}", "none or ecryptfs")
        if self.encryption.cipher not in (None, "aes-128"):
            raise custom(f"{what} with cipher {self.encryption.cipher!r}", "aes-128")
        if self.data == "real":
            raise custom(f'{what} with data "real"', 'data = "off"')
        if files[0].size_bytes % PAGE_BYTES or files[0].size_bytes * 10 > self.machine.memory_bytes:
            problem = f"{what}: a file of {format_size(files[0].size_bytes)}"
            raise custom(problem, "whole pages, up to a tenth of machine.memory")
        if self.machine.kernel == "6.16" or self.mapping != "extents" or self.cache.pages != "empty":
            raise custom(
                f"{what} on this machine", 'kernel 6.1 or 3.16, mapping "extents", cache.pages "empty"'
            )

    def _check_delete(self, said: SecureDelete) -> None:
        """Raise for what a deletion cannot be run on."""
        files, what = self.volume.all_files, "workload.secure_delete"
        if len(files) != 1 or self.volume.journal_bytes is None:
            raise custom(f"{what} on this volume", 'one file in files, and a journal: journal = "4MiB"')
        if files[0].layout.kind not in ("contiguous", "fragmented", "aged"):
            raise custom(f"{what} with layout {files[0].layout.kind!r}", "contiguous, fragmented, aged")
        schemes = ("file-keys",) if said.method.startswith("clobber") else ("none", "file-keys")
        if self.encryption.scheme not in schemes:
            problem = f"{what}.method {said.method!r} with encryption.scheme {self.encryption.scheme!r}"
            raise custom(problem, " or ".join(schemes))
        if self.machine.kernel != "6.1" or self.mapping != "extents" or self.cache.pages != "empty":
            raise custom(f"{what} on this machine", 'kernel 6.1, mapping "extents", cache.pages "empty"')
        if files[0].size_bytes * 10 > self.machine.memory_bytes:
            problem = f"{what}: a file of {format_size(files[0].size_bytes)}"
            raise custom(problem, "a tenth of machine.memory: beyond, writeback in the background begins")

    @model_validator(mode="after")
    def _jobs_can_run(self) -> Self:
        check_jobs(self)
        pages = self.cache.pages
        if isinstance(pages, SomePages) and pages.buffers and self.machine.kernel == "6.16":
            raise custom("cache.pages: buffers with kernel 6.16", "kernel 6.1 or 3.16")
        per_page = PAGE_BYTES // (self.volume.block_size_bytes or 1024)
        if isinstance(pages, SomePages) and pages.uptodate_blocks >= per_page:
            problem = f"cache.pages: uptodate_blocks {pages.uptodate_blocks} of {per_page} blocks a page"
            raise custom(problem, f"0 to {per_page - 1}")
        return self

    def _check_scheme(self) -> None:
        """Raise for what a scheme cannot do with this volume."""
        scheme, block = self.encryption, self.volume.block_size_bytes or 0
        if scheme.sector_bytes > block:
            problem = f"encryption.sector_size {scheme.sector_bytes} with blocks of {block} bytes"
            raise custom(problem, "blocks as large as a sector, or larger")
        if scheme.scheme == "rfc2014" and block != PAGE_BYTES:
            problem = f"encryption.scheme 'rfc2014' with blocks of {block} bytes"
            raise custom(problem, "4KiB: it encrypts pages, one block each")
        if scheme.scheme == "ecryptfs":
            if self.cache.pages != "empty":
                raise custom(
                    "cache.pages with encryption.scheme 'ecryptfs'", '"empty": two caches hold a page'
                )
            for file in self.volume.files:
                if file.layout.kind in ("sparse", "unwritten", "fiemap", "filefrag"):
                    problem = f"encryption.scheme 'ecryptfs' with layout {file.layout.kind!r}"
                    raise custom(problem, "contiguous, fragmented, aged, random: eCryptfs writes every page")
                layout = file.layout
                if isinstance(layout, Aged) and (layout.hole_share or layout.unwritten_share):
                    shares = f"hole_share {layout.hole_share}, unwritten_share {layout.unwritten_share}"
                    problem = f"encryption.scheme 'ecryptfs' with layout 'aged' of {shares}"
                    raise custom(problem, "0 and 0: eCryptfs writes every page")

    def canonical(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values: what is hashed and kept in the manifest."""
        return self.model_dump(mode="json")


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

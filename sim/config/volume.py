"""
The [volume] table: the file system, made of files or given as an image.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from sim.config.clones import check_sources, with_sizes
from sim.config.layouts import Contiguous, Layout
from sim.config.table import Model, custom
from sim.config.values import FileRef, PositiveBytes
from sim.ext4.format.journal import LEAST_BLOCKS
from sim.ext4.format.superblock import BLOCK_SIZES
from sim.units import KIB, PAGE_BYTES, format_size


class VolumeFile(Model):
    """
    A file of the volume: its name in the root directory, its size, how its blocks lie.

    clone_of: a file above it, whose blocks it shares (FICLONE); it is as long as that one. It is there before
    the run, or, with layout "absent", made and cloned by the first job that opens it.
    """

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")
    size_bytes: PositiveBytes = Field(alias="size")
    layout: Layout = Contiguous(kind="contiguous")
    clone_of: str | None = None

    @model_serializer(mode="wrap")
    def _canonical(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`clone_of` came later than the first runs: in a hash where it is set, not before."""
        said: dict[str, Any] = plain(self)
        if self.clone_of is None:
            del said["clone_of"]
        return said


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


_IN_BLOCKS = ("extent_bytes", "data_bytes", "hole_bytes")


MOST_JOURNAL_BLOCKS = 10_240_000
"""As many as mke2fs makes (e2fsprogs, mke2fs(8): -J size)."""


class Volume(Model):
    """
    The file system: either made (`block_size`, `files`, `objects`) or given (`image`, `keys` if encrypted).

    seed: of the contents and keys of a made one. It is apart from the run's seeds, so that every seed
    reads the same image. journal: its size, for runs that write; what it logged when the files were made is
    still in it. contents: "none" leaves the files' blocks empty, for files too large to be filled, with
    data = "off". verity: every file of a made one gets its Merkle tree, and the flag (fs-verity).
    metadata_csum: a made one has that feature, as mke2fs makes them today.
    rewritten: share of each clone's blocks that were written over, one by one at random, before the run.
    """

    block_size_bytes: PositiveBytes | None = Field(default=None, alias="block_size")
    files: tuple[VolumeFile, ...] = Field(default=(), strict=False)  # a TOML array is a list
    objects: Objects | None = None
    seed: int = Field(default=0, ge=0)
    journal_bytes: PositiveBytes | None = Field(default=None, alias="journal")
    image: FileRef | None = None
    keys: FileRef | None = None
    contents: Literal["random", "none"] = "random"
    verity: bool = False
    metadata_csum: bool = False
    rewritten: float = Field(default=0.0, ge=0, le=1)

    @model_serializer(mode="wrap")
    def _canonical(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later than the first runs is in a hash where it is set, not before."""
        said: dict[str, Any] = plain(self)
        if not self.rewritten:
            del said["rewritten"]
        if not self.verity:
            del said["verity"]
        if not self.metadata_csum:
            del said["metadata_csum"]
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

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_clones(cls, said: object) -> object:
        """A clone is as long as what it is a clone of."""
        if isinstance(said, dict) and isinstance(said.get("files"), list | tuple):
            return {**said, "files": with_sizes(said["files"])}
        return said

    @model_validator(mode="after")
    def _made_or_given(self) -> Self:
        if self.image is not None:
            made = (self.files, self.objects, self.journal_bytes, self.contents != "random", self.verity)
            if any(made) or self.metadata_csum or self.rewritten or self.block_size_bytes is not None:
                problem = (
                    "image with files, block_size, journal, contents, verity, metadata_csum or rewritten"
                )
                raise custom(problem, "either an image, or files to make one of")
            return self
        if self.keys is not None:
            raise custom("keys without image", "keys only for a given image: a made one has its own")
        if not (self.files or self.objects):
            raise custom("nothing to read", "files, or image")
        if self.block_size_bytes is None or self.block_size_bytes not in BLOCK_SIZES:
            known = ", ".join(map(format_size, BLOCK_SIZES))
            raise custom(f"block_size {self.block_size_bytes} bytes is not modelled", known)
        least = LEAST_BLOCKS * self.block_size_bytes
        journal = self.journal_bytes or least
        most = MOST_JOURNAL_BLOCKS * self.block_size_bytes
        if not least <= journal <= most or journal % self.block_size_bytes:
            problem = f"journal {format_size(journal)}"
            raise custom(problem, f"whole blocks, {format_size(least)} to {format_size(most)}")
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise custom("two files of one name", "distinct names")
        check_sources(self.files)
        if self.rewritten and not any(file.clone_of and file.layout.kind != "absent" for file in self.files):
            raise custom(f"rewritten {self.rewritten} without a clone", "files with clone_of")
        for file in self.files:
            for name, value in file.layout:
                if name in _IN_BLOCKS and value is not None and value % self.block_size_bytes:
                    word = name.removesuffix("_bytes")
                    problem = f"file {file.name!r}: {word} {format_size(value)} is not whole blocks"
                    raise custom(problem, f"a multiple of {format_size(self.block_size_bytes)}")
        return self

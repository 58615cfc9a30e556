"""
The checksums of a cell's volume in its machine: how they are verified, and which each file has.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, pairwise

import numpy as np

from sim.config.cell import CellConfig
from sim.config.checksums import Checksums
from sim.errors import ConfigError, ImageError
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.fs.file_tags import NO_BLOCK, FileTags, Judge, ListTags, Run, TableShape, TableTags
from sim.fs.fs_inode import FsInode
from sim.integrity.extents import are_cut, list_bytes, runs_of
from sim.integrity.list_room import in_inode, most_list_bytes
from sim.integrity.tables import Geometry, geometry
from sim.integrity.units import ListUnits, TableUnits
from sim.integrity.whole_files import WholeFiles
from sim.integrity.written import WrittenList, WrittenTable
from sim.machine.machine import Machine
from sim.machine.schemes import xattr_blocks
from sim.machine.volume_files import VolumeFile
from sim.machine.written_tags import WrittenTags
from sim.paths.checksums.run_changes import SumPolicy
from sim.paths.checksums.symbols import ALGORITHM_SYMBOLS
from sim.paths.checksums.tag_cache import TagCache
from sim.paths.checksums.verification import SumRules
from sim.volume.protected_image import tags_of


def rules_of(said: Checksums) -> SumRules | None:
    """Return how a machine verifies, None if it does not."""
    if said.layout == "none":
        return None
    symbol = ALGORITHM_SYMBOLS[said.algorithm]
    return SumRules(symbol, said.read, said.ahead, said.context == "work", said.work_queue)


def policy_of(said: Checksums) -> SumPolicy | None:
    """Return how checksums of what jobs write are kept up, None if there are none."""
    if said.layout == "none":
        return None
    symbol = ALGORITHM_SYMBOLS[said.algorithm]
    return SumPolicy(symbol, said.overwrite == "split", said.algorithm == "crc32c")


def volume_tags(config: CellConfig, volume: Image) -> VolumeTags | None:
    """Return the tags of a cell's volume, None if it has none."""
    if config.checksums.layout == "none":
        return None
    return VolumeTags(config.checksums, volume, config.data == "real", config.volume.seed)


class _TableJudge(Judge):
    """
    A table's units, as a reader asks for them. pending: blocks of the device that were written, went from
    memory and come back before their checksums are computed: a kernel would keep them in memory until then.
    """

    def __init__(self, units: TableUnits, shape: TableShape) -> None:
        self.pending: set[int] = set()
        self._units = units
        self._shape = shape

    def bad_tags(self, blocks: list[int]) -> list[int]:
        """Return blocks of the table that do not have their own tags (Judge)."""
        return [block for block in blocks if not self._units.is_row_good(block)]

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[Run]:
        """Return blocks that do not have their checksums (Judge)."""
        bad = self._units.bad(physical, self._shape.rank(physical), blocks, stored)
        return [(lblk + at, 1) for at in bad if physical + at not in self.pending]


class _ListJudge(Judge):
    """A list's units, as a reader asks for them; read: takes a list apart as it lies in blocks that came."""

    def __init__(self, read: Callable[[list[int]], ListUnits]) -> None:
        self._read = read
        self._units: ListUnits | None = None

    def bad_tags(self, blocks: list[int]) -> list[int]:
        """Return all blocks of a list that is wrong (Judge)."""
        try:
            self._units = self._read(blocks)
        except ImageError:
            return blocks or [NO_BLOCK]
        return []

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[Run]:  # noqa: ARG002
        """Return the run if it does not have its checksum (Judge)."""
        good = self._units is not None and self._units.is_good(lblk, blocks, stored)
        return [] if good else [(lblk, blocks)]


class VolumeTags:
    """
    The tags of a volume. real: their bytes are looked at.

    Raises ConfigError for a volume that has not what is said.
    """

    def __init__(self, said: Checksums, volume: Image, real: bool, seed: int) -> None:
        self._volume = volume
        self._plan, self._tagger = tags_of(volume, said, seed)
        self._real = real
        self._cache: TagCache | None = None
        self._before: dict[int, bytes] = {}
        self._geometry: Geometry | None = None
        self._shape: TableShape | None = None
        self._table: WrittenTable | None = None
        self._judge: _TableJudge | None = None
        if self._plan.is_table:
            shape = self._geometry = geometry(volume, self._plan)
            self._shape = TableShape(_runs(shape), shape.own, shape.per_block)
            if real:
                self._table = WrittenTable(volume, self._plan, self._tagger, shape, self._stored)
                self._judge = _TableJudge(self._table, self._shape)

    def written(self, disk: ByteStore) -> WrittenTags:
        """Return the bytes of the tags of files that are written. disk: what is on the disk now."""
        tags = WrittenTags(self._table, disk, self._volume.block_size)
        if self._judge is not None:
            self._judge.pending = tags.pending
        return tags

    def list_of(self, file: VolumeFile) -> WrittenList | None:
        """Return the list of a file that is to be written over; None where a table has its tags."""
        if self._shape is not None:
            return None
        return WrittenList(self._volume, self._plan, self._tagger, file.on_disk)

    def of_made(self, path: str) -> FileTags:
        """Return the tags of a file that a job makes, which a table has."""
        assert self._shape is not None
        return TableTags(path, self._shape, self._judge)

    def files(self, image: Image) -> WholeFiles:
        """Return what holds the files of an image, this volume as it was written, against their tags."""
        return WholeFiles(image, self._plan, self._tagger, self._geometry)

    def blocks_of(self, inode: Inode) -> list[int]:
        """Return the blocks of the device with the checksums of a file; none of a list in its inode."""
        if self._shape is None:
            return [] if in_inode(inode) else list(chain.from_iterable(xattr_blocks(self._volume, inode)))
        rows = (
            self._shape.rows(extent.physical, extent.length)
            for extent in inode.tree.extents
            if not extent.unwritten
        )
        return list(dict.fromkeys(chain.from_iterable(rows)))

    def attach(self, machine: Machine, file: VolumeFile, status: str) -> None:
        """
        Give an open file its tags, in memory as `status` says of the extents: "warm"; "es_cold", blocks of
        the device alone; "all_cold", nothing. What is not as it should be was not kept in memory.
        """
        inode, sums = file.inode, machine.sums
        assert isinstance(inode, FsInode)
        assert sums is not None
        self._cache = sums.cache
        tags = inode.tags = self._of(file)
        if status == "all_cold":
            return
        blocks = self.blocks_of(file.on_disk)
        bad = tags.judge.bad_tags(blocks) if tags.judge is not None else []
        sums.cache.warm([block for block in blocks if block not in bad])
        if status == "warm" and tags.by_run and not bad:
            tags.list_bytes, tags.known = 0, True

    def _stored(self, block: int) -> bytes:
        """Return a block with checksums as it came in the run, or was before it."""
        if self._cache is not None and block in self._cache.contents:
            return self._cache.contents[block]
        if block not in self._before:
            self._before[block] = bytes(self._volume.read_block(block))
        return self._before[block]

    def _of(self, file: VolumeFile) -> FileTags:
        if self._shape is not None:
            tags: FileTags = TableTags(file.path, self._shape, self._judge)
        else:
            tags = self._listed(file)
        tags.encrypt = file.encrypt
        return tags

    def _listed(self, file: VolumeFile) -> ListTags:
        """Return the tags of a file in a list."""
        volume, on_disk, plan = self._volume, file.on_disk, self._plan
        runs = self._runs_of(on_disk)
        if runs and runs[-1][0] + runs[-1][1] > -(-on_disk.size_bytes // volume.block_size):
            raise ConfigError(file.path, "has a checksum over blocks behind its end", "layout table_data")
        entry_bytes = list_bytes(plan, 1) - list_bytes(plan, 0)
        judge = None
        if self._real:
            judge = _ListJudge(
                lambda blocks: ListUnits.as_read(
                    volume, plan, self._tagger, on_disk.number, blocks, self._stored
                )
            )
        blocks, length = self.blocks_of(on_disk), list_bytes(plan, len(runs))
        return ListTags(file.path, runs, blocks, length, judge, entry_bytes, most_list_bytes(volume, on_disk))

    def _runs_of(self, inode: Inode) -> list[Run]:
        """Return the runs of a file: its extents, or what its list says that they were cut into."""
        runs = [(logical, blocks) for logical, _, blocks in runs_of(inode, self._plan.extent_blocks)]
        try:
            listed = ListUnits(self._plan, self._tagger, inode).runs
        except ImageError:
            return runs
        pieces = [(run.logical, run.blocks) for run in listed]
        return pieces if are_cut(pieces, runs) else runs


def _runs(shape: Geometry) -> list[Run]:
    """Return the covered blocks as runs."""
    covered = shape.covered
    cuts = [0, *(np.flatnonzero(np.diff(covered) > 1) + 1).tolist(), len(covered)]
    return [(int(covered[start]), end - start) for start, end in pairwise(cuts)]

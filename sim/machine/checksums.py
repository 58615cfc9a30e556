"""
The checksums of a cell's volume in its machine: how they are verified, and which each file has.
"""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np

from sim.config.cell import CellConfig
from sim.config.checksums import Checksums
from sim.errors import ConfigError
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.fs.file_tags import FileTags, Judge, ListTags, Run, TableShape, TableTags
from sim.fs.fs_inode import FsInode
from sim.integrity.tables import Geometry, geometry
from sim.integrity.units import ListUnits, TableUnits
from sim.machine.machine import Machine
from sim.machine.volume_files import VolumeFile
from sim.paths.checksums.symbols import ALGORITHM_SYMBOLS
from sim.paths.checksums.verification import SumRules
from sim.volume.protected_image import tags_of


def rules_of(said: Checksums) -> SumRules | None:
    """Return how a machine verifies, None if it does not."""
    if said.layout == "none":
        return None
    symbol = ALGORITHM_SYMBOLS[said.algorithm]
    return SumRules(symbol, said.read, said.ahead, said.context == "work", said.work_queue)


def volume_tags(config: CellConfig, volume: Image, store: ByteStore | None) -> VolumeTags | None:
    """Return the tags of a cell's volume, None if it has none; store: its bytes, None with data off."""
    if config.checksums.layout == "none":
        return None
    return VolumeTags(config.checksums, volume, store, config.volume.seed)


class _TableJudge(Judge):
    """A table's units, as a reader asks for them."""

    def __init__(self, units: TableUnits, shape: TableShape) -> None:
        self._units = units
        self._shape = shape

    def bad(self, lblk: int, physical: int, blocks: int) -> list[Run]:
        """Return blocks that do not have their checksums (Judge)."""
        return [(lblk + at, 1) for at in self._units.bad(physical, self._shape.rank(physical), blocks)]


class _ListJudge(Judge):
    """A list's units, as a reader asks for them."""

    def __init__(self, units: ListUnits) -> None:
        self._units = units

    def bad(self, lblk: int, physical: int, blocks: int) -> list[Run]:  # noqa: ARG002
        """Return the run if it does not have its checksum (Judge)."""
        return [] if self._units.is_good(lblk) else [(lblk, blocks)]


class VolumeTags:
    """
    The tags of a volume. store: its bytes, None with data off.

    Raises ConfigError for a volume that has not what is said.
    """

    def __init__(self, said: Checksums, volume: Image, store: ByteStore | None, seed: int) -> None:
        self._volume = volume
        self._store = store
        self._plan, self._tagger = tags_of(volume, said, seed)
        self._shape: TableShape | None = None
        self._judge: Judge | None = None
        if self._plan.is_table:
            shape = geometry(volume, self._plan)
            self._shape = TableShape(_runs(shape), shape.own, shape.per_block)
            if store is not None:
                units = TableUnits(volume, self._plan, self._tagger, shape, store)
                self._judge = _TableJudge(units, self._shape)

    def attach(self, machine: Machine, file: VolumeFile, status: str) -> None:
        """
        Give an open file its tags, in memory as `status` says of the extents: "warm"; "es_cold", blocks of
        the device alone; "all_cold", nothing.
        """
        inode, sums = file.inode, machine.sums
        assert isinstance(inode, FsInode)
        assert sums is not None
        tags = inode.tags = self._of(file)
        if status == "all_cold":
            return
        for extent in file.on_disk.tree.extents:
            if not extent.unwritten:
                sums.cache.warm(tags.tag_blocks(extent.physical, extent.length))
        if status == "warm":
            tags.list_bytes = 0

    def _of(self, file: VolumeFile) -> FileTags:
        if self._shape is not None:
            return TableTags(file.path, self._shape, self._judge)
        volume, on_disk = self._volume, file.on_disk
        units = ListUnits(volume, self._plan, self._tagger, on_disk, self._store or volume.store)
        runs = [(run.logical, run.blocks) for run in units.runs]
        if runs and runs[-1][0] + runs[-1][1] > -(-on_disk.size_bytes // volume.block_size):
            raise ConfigError(file.path, "has a checksum over blocks behind its end", "layout table_data")
        judge = _ListJudge(units) if self._store is not None else None
        blocks = list(chain.from_iterable(file.xattr_blocks))
        return ListTags(file.path, runs, blocks, units.list_bytes, judge)


def _runs(shape: Geometry) -> list[Run]:
    """Return the covered blocks as runs."""
    covered = shape.covered
    cuts = [0, *(np.flatnonzero(np.diff(covered) > 1) + 1).tolist(), len(covered)]
    return [(int(covered[start]), end - start) for start, end in pairwise(cuts)]

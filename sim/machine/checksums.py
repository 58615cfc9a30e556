"""
The checksums of a cell's volume in its machine: how they are verified, and which each file has.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, pairwise
from typing import Final

import numpy as np

from sim.config.cell import CellConfig
from sim.config.checksums import LISTS, Checksums
from sim.errors import ConfigError, ImageError
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.fs.file_tags import DECRYPTED, SEALED, STORED, FileTags, Judge, ListTags, Run, TableShape, TableTags
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.integrity.extents import are_cut, list_bytes, runs_of
from sim.integrity.list_room import home_of, most_list_bytes
from sim.integrity.tables import Geometry, geometry
from sim.integrity.units import ListUnits, TableUnits
from sim.integrity.whole_files import WholeFiles
from sim.integrity.written import WrittenList, WrittenTable
from sim.machine.machine import Machine
from sim.machine.tag_judges import ListJudge, SealedContents, TableJudge
from sim.machine.volume_files import VolumeFile
from sim.machine.written_tags import WrittenTags
from sim.paths.checksums.run_changes import SumPolicy
from sim.paths.checksums.symbols import ALGORITHM_SYMBOLS
from sim.paths.checksums.tag_cache import TagCache
from sim.paths.checksums.verification import SumRules
from sim.paths.write_ciphers import (
    FSCRYPT_WRITES,
    RFC2014_WRITES,
    SEALING_WRITES,
    WriteCiphers,
    checksumming,
)
from sim.volume.protected_image import tags_of

_OF: Final = {"encrypt-then-checksum": STORED, "checksum-then-encrypt": DECRYPTED, "aead": SEALED}


def rules_of(said: Checksums) -> SumRules | None:
    """Return how a machine verifies, None if it does not."""
    if said.layout == "none":
        return None
    symbol, of = ALGORITHM_SYMBOLS[said.algorithm], _OF[said.order]
    return SumRules(symbol, said.read, said.ahead, said.context == "work", said.work_queue, of)


def policy_of(said: Checksums) -> SumPolicy | None:
    """Return how checksums of what jobs write are kept up, None if there are none."""
    if said.layout == "none":
        return None
    symbol = ALGORITHM_SYMBOLS[said.algorithm]
    of = _OF[said.order]
    linear = said.algorithm == "crc32c" and of == STORED  # what is encrypted, nothing follows from
    return SumPolicy(symbol, said.overwrite == "split", linear, of)


def write_ciphers(config: CellConfig) -> WriteCiphers:
    """Return what encrypts blocks that are written, and makes their tags on the way."""
    said = config.checksums
    if said.layout == "none" or said.order == "encrypt-then-checksum":
        return RFC2014_WRITES if config.encryption.scheme == "rfc2014" else FSCRYPT_WRITES
    if said.order == "aead":
        return SEALING_WRITES
    if said.layout in LISTS:
        return FSCRYPT_WRITES  # a run is hashed when all of it was submitted
    return checksumming(FSCRYPT_WRITES, ALGORITHM_SYMBOLS[said.algorithm])


def volume_tags(config: CellConfig, volume: Image) -> VolumeTags | None:
    """Return the tags of a cell's volume, None if it has none."""
    if config.checksums.layout == "none":
        return None
    return VolumeTags(config, volume)


class VolumeTags:
    """
    The tags of a cell's volume, whose bytes are looked at with real data.

    Raises ConfigError for a volume that has not what is said.
    """

    def __init__(self, config: CellConfig, volume: Image) -> None:
        said = config.checksums
        self._volume = volume
        self._plan, self._tagger = tags_of(volume, said, config.encryption, config.volume.seed)
        self._real = config.data == "real"
        self._of = _OF[said.order]
        self._pending: set[int] = set()
        self._lists: dict[int, WrittenList] = {}
        self._cache: TagCache | None = None
        self._before: dict[int, bytes] = {}
        self._geometry: Geometry | None = None
        self._shape: TableShape | None = None
        self._table: WrittenTable | None = None
        if self._plan.is_table:
            shape = self._geometry = geometry(volume, self._plan)
            self._shape = TableShape(_runs(shape), shape.own, shape.per_block)
            if self._real:
                self._table = WrittenTable(volume, self._plan, self._tagger, shape, self._stored)

    def written(self, disk: ByteStore) -> WrittenTags:
        """Return the bytes of the tags of files that are written. disk: what is on the disk now."""
        return WrittenTags(self._table, disk, self._volume.block_size, self._pending)

    def list_of(self, file: VolumeFile) -> WrittenList | None:
        """Return the list of a file that is to be written over; None where a table has its tags."""
        if self._shape is not None:
            return None
        kept = WrittenList(self._volume, self._plan, self._tagger, file.on_disk)
        self._lists[file.on_disk.number] = kept
        return kept

    def of_made(self, path: str, number: int) -> FileTags:
        """Return the tags of a file that a job makes, of this inode, which a table has."""
        assert self._shape is not None
        return TableTags(path, self._shape, self._table_judge(number))

    def sealed(self, inode: Inode) -> SealedContents | None:
        """Return what decrypts a file by its tags; None where the cipher makes none."""
        if self._of != SEALED or not self._real:
            return None
        judge = self._table_judge(inode.number)
        if judge is None:
            judge = ListJudge(lambda _: ListUnits(self._plan, self._tagger, inode), False)
            if judge.bad_tags([]):
                raise ConfigError(inode.place, "its list of tags is not what was made", "the image as made")
        return SealedContents(self._volume.block_size, inode.tree.find, judge)

    def sealed_now(self, inode: LiveInode) -> SealedContents | None:
        """Return what encrypts and decrypts a file that is written, by its tags as they are then."""
        judge, table = self._table_judge(inode.number), self._table
        if self._of != SEALED or judge is None or table is None:
            return None

        def seal(lblk: int, physical: int, plain: bytes) -> bytes:
            return table.seal(physical, plain, (inode.number, lblk))

        return SealedContents(self._volume.block_size, inode.tree.covering, judge, seal)

    def sealed_on(self, image: Image, inode: Inode) -> SealedContents | None:
        """Return what decrypts a file of an image, this volume as it was written, by the tags there."""
        if self._of != SEALED or self._shape is None or self._geometry is None:
            return None
        stored = cache(lambda block: bytes(image.read_block(block)))
        units = TableUnits(image, self._plan, self._tagger, self._geometry, stored)
        judge = TableJudge(units, self._shape, set(), inode.number, False)
        return SealedContents(image.block_size, inode.tree.find, judge)

    def _table_judge(self, number: int) -> Judge | None:
        """Return who judges what a reader has of a file by the table; None without, or with data off."""
        if self._shape is None or self._table is None:
            return None
        return TableJudge(self._table, self._shape, self._pending, number, self._of == DECRYPTED)

    def files(self, image: Image) -> WholeFiles:
        """Return what holds the files of an image, this volume as it was written, against their tags."""
        return WholeFiles(image, self._plan, self._tagger, self._geometry)

    def blocks_of(self, inode: Inode) -> list[int]:
        """Return the blocks of the device with the checksums of a file; none of a list in its inode."""
        if self._shape is None:
            return home_of(self._volume, inode).blocks
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
        tags = inode.tags = self._tags(file)
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

    def _tags(self, file: VolumeFile) -> FileTags:
        if self._shape is not None:
            tags: FileTags = TableTags(file.path, self._shape, self._table_judge(file.on_disk.number))
        else:
            tags = self._listed(file)
        tags.of = self._of
        if self._of == STORED:
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
            judge = ListJudge(
                lambda blocks: ListUnits.as_read(
                    volume, plan, self._tagger, on_disk.number, blocks, self._stored
                ),
                self._of == DECRYPTED,
                lambda: self._lists.get(on_disk.number),
                self._pending,
            )
        home, length = home_of(volume, on_disk), list_bytes(plan, len(runs))
        most = most_list_bytes(volume, on_disk)
        said = home.blocks, length, judge, entry_bytes, most, home.tables, home.in_inode
        return ListTags(file.path, runs, *said)

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

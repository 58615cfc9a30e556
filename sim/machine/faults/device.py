"""
The device of a cell with faults: what it returns, what it cannot read, and what its readers came to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sim.block.media import BadSectors
from sim.config.cell import Cell
from sim.config.cell_result import Number
from sim.config.faults import Faults
from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.ext4.check.node import BlockValidity
from sim.ext4.format.inode import FLAG_VERITY
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.integrity.merkle import area_of
from sim.machine.checksums import VolumeTags
from sim.machine.faults.plan import plan_faults
from sim.machine.faults.store import FaultyStore
from sim.machine.volume_files import known_files
from sim.workload.fio.files import find_files
from sim.workload.read_errors import ReadErrors


def blocks_of(volume: Image, inode: Inode, what: str, tags: VolumeTags | None) -> Iterable[int]:
    """
    Yield the physical blocks of a file's data, or ("tags") those with its checksums, and of its Merkle tree
    without the descriptor, or ("metadata") of its extent tree.
    """
    if what == "metadata":
        yield from inode.tree.blocks
        return
    first, end = 0, inode.blocks
    if what == "tags" and tags is not None:
        yield from tags.blocks_of(inode)
    if what == "tags":
        area = area_of(inode.size_bytes, volume.block_size)
        first, end = area.first, area.descriptor
    for extent in inode.tree.extents:
        start, stop = max(extent.logical, first), min(extent.logical + extent.length, end)
        if not extent.unwritten:
            yield from range(
                extent.physical + start - extent.logical, extent.physical + stop - extent.logical
            )


class FaultyDevice:
    """
    The faults of a cell, over the bytes `below`. plan: what is wrong. store: what the device returns.
    media: what it cannot. validity: where it is metadata that is wrong, which blocks a file may have.
    """

    validity: BlockValidity | None = None

    def __init__(
        self, cell: Cell, said: Faults, volume: Image, below: ByteStore, tags: VolumeTags | None = None
    ) -> None:
        jobs = cell.config.workload.jobs
        known = dict.fromkeys(known_files(cell, volume))
        paths = {
            found.path for job in jobs for n in range(job.numjobs) for found in find_files(job, n, known)
        }
        blocks: list[int] = []
        for path in sorted(paths):
            inode = volume.lookup(f"/{path}")
            if said.on == "metadata" and inode.flags & FLAG_VERITY:
                raise ConfigError("faults.on", f"'metadata', and {inode.place} has fs-verity", "data, tags")
            blocks += blocks_of(volume, inode, said.on, tags)
        if not blocks:
            allowed = "a file of more than 4 extents" if said.on == "metadata" else "data that is written"
            raise ConfigError("faults.on", f"the files have no blocks of {said.on!r}", allowed)
        if said.on == "metadata":
            self.validity = BlockValidity(volume)
        size, rng = volume.block_size, stream(cell.seed, "faults")
        self.plan = plan = plan_faults(said.kind, blocks, said.rate, said.count, size, rng)
        self.media = BadSectors(plan.bad_sectors)
        drawn = said.kind == "transfer_flip"
        among = frozenset(blocks if drawn else ())
        rate = said.rate or 0.0
        self.store = FaultyStore(below, size, plan, among, rate, rng if drawn else None)


def read_metrics(errors: Sequence[ReadErrors]) -> dict[str, Number]:
    """Return what became of reads that may fail."""
    return {
        "reads_right": sum(one.right for one in errors),
        "reads_eio": sum(one.failed for one in errors),
        "reads_wrong": sum(one.wrong for one in errors),
        "wrong_bytes": sum(one.wrong_bytes for one in errors),
        "short_reads": sum(one.short for one in errors),
        "jobs_ended": sum(one.ends for one in errors),
    }

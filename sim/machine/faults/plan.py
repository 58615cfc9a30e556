"""
Which blocks are broken, and what they then hold. Pure: the same blocks and random stream give the same plan.

    sector_error       one of its sectors cannot be read; the others hold what they should
    bit_flip           one bit of the block is another
    transfer_flip      as bit_flip, but in what the device returns: drawn anew for each read of a block
    lost_write         the write never came: the block holds what was there before
    misdirected_write  the write went to another block, which holds it now; the block itself as lost_write

What was there before is not the image's to know: it is taken as random bytes, the same for a seed. A
misdirected write needs two blocks, so what is hit are pairs: of three blocks two.

Left out: flips of more bits than one; faults that come in neighbours; of metadata
other than extent trees; repair: there is no second copy to repair from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.config.faults import FaultKind
from sim.units import SECTOR_BYTES


@dataclass(slots=True)
class FaultPlan:
    """
    flips: physical block -> which of its bits is flipped. stale: -> seed of the bytes of before. copies: ->
    the block whose contents it holds. bad_sectors: sectors that cannot be read, each with its block.
    """

    flips: dict[int, int] = field(default_factory=dict)
    stale: dict[int, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    bad_sectors: dict[int, int] = field(default_factory=dict)

    @property
    def blocks(self) -> set[int]:
        """Every block that is not as it should be, or cannot be read as a whole."""
        return {*self.flips, *self.stale, *self.copies, *self.bad_sectors.values()}


def chosen(
    blocks: Sequence[int], rate: float | None, count: int | None, rng: np.random.Generator
) -> list[int]:
    """Return the blocks that are hit, in ascending order: a share each by itself, or so many, at most all."""
    candidates = np.unique(np.asarray(blocks, np.int64))
    if rate is not None:
        hit = candidates[rng.random(len(candidates)) < rate]
    else:
        hit = rng.choice(candidates, min(count or 0, len(candidates)), replace=False)
    return sorted(hit.tolist())


def plan_faults(
    kind: FaultKind,
    blocks: Sequence[int],
    rate: float | None,
    count: int | None,
    block_size: int,
    rng: np.random.Generator,
) -> FaultPlan:
    """Return what is wrong with these physical blocks; nothing for transfer_flip, which is drawn later."""
    plan = FaultPlan()
    if kind == "transfer_flip":
        return plan
    hit = chosen(blocks, rate, count, rng)
    sectors = block_size // SECTOR_BYTES
    if kind == "sector_error":
        for block in hit:
            plan.bad_sectors[block * sectors + int(rng.integers(sectors))] = block
    elif kind == "bit_flip":
        plan.flips = {block: int(rng.integers(block_size * 8)) for block in hit}
    elif kind == "lost_write":
        plan.stale = {block: int(rng.integers(1 << 62)) for block in hit}
    else:
        order = rng.permutation(np.asarray(hit, np.int64)).tolist()
        for meant, went in zip(order[0::2], order[1::2], strict=False):
            plan.stale[meant] = int(rng.integers(1 << 62))
            plan.copies[went] = meant
    return plan

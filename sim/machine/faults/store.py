"""
The bytes of a device with faults, and what became of each: a store over the image's, which stays as it is.
"""

from __future__ import annotations

import numpy as np

from sim.block.media import Noticed
from sim.ext4.store import ByteStore
from sim.machine.faults.plan import FaultPlan


class FaultyStore(Noticed):
    """
    What the device returns (ByteStore).

    plan: what is wrong on the medium. rate: of transfer_flip, how often a block of `among` is returned with a
    bit flipped, drawn from `rng`. Each fault is counted once it is returned: on the medium a block, in
    transfer each time.
    """

    def __init__(
        self,
        below: ByteStore,
        block_size: int,
        plan: FaultPlan,
        among: frozenset[int] = frozenset(),
        rate: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._below = below
        self._size = block_size
        self._plan = plan
        self._among = among
        self._rate = rate
        self._rng = rng
        self._wrong = {*plan.flips, *plan.stale, *plan.copies}
        self._returned: set[int] = set()
        self._detected: set[int] = set()
        self._flipped: dict[int, list[bool]] = {}

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds (ByteStore)."""
        return self._below.size_bytes

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from byte `offset` as the device does (ByteStore)."""
        good = self._below.read(offset, length)
        first, end = offset // self._size, -(-(offset + length) // self._size)
        wrong = [block for block in range(first, end) if block in self._wrong]
        flipped = self._drawn(first, end)
        if not wrong and not flipped:
            return good
        data = bytearray(good)
        for block, whole in [*((block, self._held(block)) for block in wrong), *flipped.items()]:
            begin, stop = max(block * self._size, offset), min((block + 1) * self._size, offset + length)
            data[begin - offset : stop - offset] = whole[
                begin - block * self._size : stop - block * self._size
            ]
        self._returned.update(wrong)
        for block in flipped:
            self._flipped.setdefault(block, []).append(False)
        return bytes(data)

    def _drawn(self, first: int, end: int) -> dict[int, bytes]:
        """Return the blocks of [first, end) that this transfer flips a bit of, with their bytes."""
        if self._rng is None:
            return {}
        found = {}
        for block in range(first, end):
            if block in self._among and self._rng.random() < self._rate:
                found[block] = self._flip(block, int(self._rng.integers(self._size * 8)))
        return found

    def _held(self, block: int) -> bytes:
        """Return what a block that is wrong on the medium holds."""
        plan = self._plan
        if block in plan.flips:
            return self._flip(block, plan.flips[block])
        if block in plan.copies:
            return bytes(self._below.read(plan.copies[block] * self._size, self._size))
        return np.random.Generator(np.random.Philox(key=plan.stale[block])).bytes(self._size)

    def _flip(self, block: int, bit: int) -> bytes:
        data = bytearray(self._below.read(block * self._size, self._size))
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def found_bad(self, block: int) -> None:
        """A check has found that what was returned of a physical block last is not what it should be."""
        if block in self._flipped:
            self._flipped[block][-1] = True
        if block in self._wrong:
            self._detected.add(block)

    def failed(self, sector: int, sectors: int) -> None:
        """A bio for these sectors has failed: the device has told of what it met."""
        self._detected.update(
            block for bad, block in self._plan.bad_sectors.items() if sector <= bad < sector + sectors
        )

    def outcomes(self) -> dict[str, int]:
        """Return how many faults there were, and of these which were noticed, were not, were never read."""
        flips = [noticed for each in self._flipped.values() for noticed in each]
        injected = len(self._plan.blocks) + len(flips)
        detected = len(self._detected) + sum(flips)
        undetected = len(self._returned - self._detected) + len(flips) - sum(flips)
        return {
            "faults_injected": injected,
            "faults_detected": detected,
            "faults_undetected": undetected,
            "faults_never_read": injected - detected - undetected,
        }

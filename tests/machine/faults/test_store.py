"""What a device with faults returns, and what is counted of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.streams import stream
from sim.ext4.store import MemoryStore
from sim.machine.faults.plan import FaultPlan, plan_faults
from sim.machine.faults.store import FaultyStore

SIZE, COUNT = 1024, 32
DATA = stream(7, "bytes").bytes(SIZE * COUNT)
BELOW = MemoryStore(DATA)


def blocks(raw: bytes | memoryview) -> list[bytes]:
    """Return the blocks of some bytes."""
    return [bytes(raw[at : at + SIZE]) for at in range(0, len(raw), SIZE)]


def wrong_blocks(raw: bytes | memoryview) -> set[int]:
    """Return which blocks of a whole device are not as they were written."""
    return {number for number, (a, b) in enumerate(zip(blocks(raw), blocks(DATA), strict=True)) if a != b}


@given(
    kind=st.sampled_from(["bit_flip", "misdirected_write", "lost_write"]),
    count=st.integers(1, COUNT),
    offset=st.integers(0, SIZE * COUNT - 1),
    length=st.integers(1, 5 * SIZE),
)
def test_exactly_the_planned_blocks_are_wrong_wherever_a_read_begins(
    kind: str, count: int, offset: int, length: int
) -> None:
    """Any part of the device is that part of the whole; what is not planned is as it was written."""
    plan = plan_faults(kind, range(COUNT), None, count, SIZE, stream(3, "faults"))  # type: ignore[arg-type]
    whole = bytes(FaultyStore(BELOW, SIZE, plan).read(0, SIZE * COUNT))
    assert plan.blocks == wrong_blocks(whole)
    length = min(length, SIZE * COUNT - offset)
    assert whole[offset : offset + length] == bytes(FaultyStore(BELOW, SIZE, plan).read(offset, length))


def test_what_the_blocks_hold() -> None:
    """One bit is another; a misdirected write's place has what was before, the other has its contents."""
    found = blocks(FaultyStore(BELOW, SIZE, FaultPlan(flips={3: 17})).read(0, SIZE * COUNT))[3]
    bits = np.unpackbits(
        np.frombuffer(found, np.uint8) ^ np.frombuffer(blocks(DATA)[3], np.uint8), bitorder="little"
    )
    assert [17] == np.flatnonzero(bits).tolist()
    found_blocks = blocks(
        FaultyStore(BELOW, SIZE, FaultPlan(stale={5: 1}, copies={9: 5})).read(0, SIZE * COUNT)
    )
    assert blocks(DATA)[5] == found_blocks[9]
    assert found_blocks[5] not in blocks(DATA)


def test_each_fault_is_counted_once() -> None:
    """Read and told of; read and not told of; never read; and of bad sectors likewise."""
    plan = FaultPlan(flips={1: 0, 2: 0, 3: 0}, bad_sectors={20: 10, 24: 12})
    store = FaultyStore(BELOW, SIZE, plan)
    store.read(0, 3 * SIZE)
    store.read(SIZE, SIZE)
    store.found_bad(1)
    store.found_bad(0)  # what is right cannot be a fault, whoever says so
    store.failed(18, 4)
    assert {
        "faults_injected": 5,
        "faults_detected": 2,
        "faults_undetected": 1,
        "faults_never_read": 2,
    } == store.outcomes()


def test_a_flip_in_transfer_is_one_each_time() -> None:
    """At rate 1 every read of a block has one flipped bit, and each is a fault of its own."""
    store = FaultyStore(BELOW, SIZE, FaultPlan(), frozenset({4}), 1.0, stream(0, "flips"))
    reads = [bytes(store.read(0, SIZE * COUNT)) for _ in range(20)]
    assert [{4}] * 20 == [wrong_blocks(raw) for raw in reads]
    assert len(set(reads)) > 10, "not the same bit each time"
    store.found_bad(4)
    assert {
        "faults_injected": 20,
        "faults_detected": 1,
        "faults_undetected": 19,
        "faults_never_read": 0,
    } == store.outcomes()

"""Completion: what ends a buffer head, a bio, a page; who decrypts, and in how many calls: by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from core_kit import Rig, priced

from sim.block.bio import Bio
from sim.block.queue.limits import QueueLimits
from sim.cache.filemap import EIO
from sim.cache.pages import UPTODATE
from sim.ext4.store import MemoryStore
from sim.paths.post_read_steps import Blocks, PostReadStep
from sim.paths.registry import design_of
from sim.units import KIB


def charged(rig: Rig, symbol: str) -> tuple[int, int]:
    """Return calls and units of a symbol."""
    found = [charge for charge in rig.machine.ledger.charges() if charge.symbol == symbol]
    return sum(charge.calls for charge in found), sum(charge.units for charge in found)


@pytest.mark.parametrize(("block_size", "heads", "visits"), [(1024, 16, 40), (2048, 8, 16), (4096, 4, 4)])
def test_the_last_buffer_head_of_a_page_looks_at_all(block_size: int, heads: int, visits: int) -> None:
    """
    end_buffer_async_read() walks the page's ring to the first that is busy: 2 visits, and all for the last.

    Four pages: 4 x (2 + 2 + 2 + 4) with blocks of 1 KiB, 4 x (2 + 2) with 2 KiB, 4 x 1 where it is alone.
    """
    rig = Rig("buffer_head", [(0, 1000, heads)], 16 * KIB, block_size)
    rig.run([(0, 16 * KIB)])
    assert (heads, visits) == charged(rig, "end_buffer_async_read")


@pytest.mark.parametrize(("path", "items", "calls"), [("buffer_head", 16, 16), ("page_io", 1, 4)])
def test_what_is_queued_and_decrypted(path: str, items: int, calls: int) -> None:
    """
    Four pages in blocks of 1 KiB: a work item and a call for each buffer head, or one item for the bio and a
    call for each page; 16 data units and 16 KiB through the cipher either way.
    """
    rig = Rig(path, [(0, 1000, 16)], 16 * KIB, KIB, encrypted=True)
    rig.run([(0, 16 * KIB)])
    assert items == charged(rig, "fscrypt_enqueue_decrypt_work")[0] == charged(rig, "queue_work_on")[0]
    assert calls == charged(rig, "fscrypt_decrypt_pagecache_blocks")[0]
    assert 16 == charged(rig, "fscrypt_crypt_block")[0]
    assert (16, 16 * KIB) == charged(rig, "xts_decrypt")


@pytest.mark.parametrize(("cpus", "returned"), [(1, 4 * KIB), (2, 2 * KIB), (4, KIB)])
def test_a_rows_work_items_are_done_by_all_cores(cpus: int, returned: int) -> None:
    """
    A page of four buffer heads, decrypted at 1 ns a byte and nothing else costs: 1,024 ns each, one after the
    other on one core, side by side on four.
    """
    costs = priced(xts_decrypt=(0, 1))
    rig = Rig("buffer_head", [(0, 1000, 4)], 4 * KIB, KIB, encrypted=True, cpus=cpus, costs=costs)
    ends = rig.start([(0, 4 * KIB)])
    rig.finish()
    assert [50_000 + returned] == ends
    assert [4 * KIB // cpus] * cpus == [core.busy_kworker_ns for core in rig.machine.cpu.cores]


def test_a_bound_queue_decrypts_where_the_interrupt_came() -> None:
    """The machine's work_queue is what fscrypt uses: bound, one core does all four."""
    costs = priced(xts_decrypt=(0, 1))
    limits = QueueLimits(1280, 128, 64, driver="nvme")
    options = {"costs": costs, "limits": limits, "cpus": 4, "work_queue": "bound"}
    rig = Rig("buffer_head", [(0, 1000, 4)], 4 * KIB, KIB, encrypted=True, **options)
    rig.start([(0, 4 * KIB)], core=2)
    rig.finish()
    assert [0, 0, 4 * KIB, 0] == [core.busy_kworker_ns for core in rig.machine.cpu.cores]


def test_holes_of_a_page_are_zeroed_block_by_block() -> None:
    """block_read_full_folio(): one block of four is there; three calls, 3 KiB."""
    rig = Rig("buffer_head", [(0, 1000, 1)], 4 * KIB, KIB)
    rig.run([(0, 4 * KIB)])
    assert (3, 3 * KIB) == charged(rig, "folio_zero_range")


class FindsBad(PostReadStep):
    """A step that finds block 2 bad wherever it comes with others: not when it is read again alone."""

    def charge(self, calls: int, blocks: int) -> int:  # noqa: ARG002
        """Charge nothing."""
        return 0

    def bad_blocks(self, bio: Bio) -> Blocks:
        """Say so, after a look at the bytes: block b has b in its first byte."""
        content = bio.owner.mapping.content
        first, count = bio.blocks[0]
        assert list(range(first, first + count)) == [content[b * 4096] for b in range(first, first + count)]
        return [(2, 1)] if count > 1 and first <= 2 < first + count else []


@pytest.mark.parametrize(
    ("path", "kernel", "again"),
    [
        ("page_io", "6.1", [2]),
        ("page_io", "7.3", list(range(8))),
        ("iomap", "6.1", [2]),
        ("buffer_head", "6.1", [2]),
    ],
)
def test_what_a_step_finds_bad_fails_its_page_or_its_bio(path: str, kernel: str, again: list[int]) -> None:
    """
    Eight pages at once: before 6.2 the bad one alone is read again, since then all of its bio; buffer heads
    are each for itself. Then it is right, and the reader gets all.
    """
    data = b"".join(bytes([max(block - 1000, 0) % 256]).ljust(4096, b"x") for block in range(1008))
    design = replace(design_of(path), post_read=(FindsBad,))
    rig = Rig(
        design, [(0, 1000, 8)], 32 * KIB, kernel=kernel, large_folios=False, store=MemoryStore(data), cpus=1
    )
    rig.run([(0, 32 * KIB)])
    bios = [(sector // 8 - 1000, sectors // 8) for _, sector, sectors in rig.letters("Q")]
    whole = [(block, 1) for block in range(8)] if path == "buffer_head" else [(0, 8)]
    assert [*whole, *((page, 1) for page in again)] == bios
    assert {UPTODATE} == set(rig.mapping.state)


def test_a_step_is_not_asked_without_data() -> None:
    """With data off nothing is looked at, and nothing is bad."""
    rig = Rig(replace(design_of("page_io"), post_read=(FindsBad,)), [(0, 1000, 8)], 32 * KIB)
    rig.run([(0, 32 * KIB)])
    assert 1 == len(rig.letters("Q"))


class AlwaysBad(FindsBad):
    """A step that finds block 2 bad whenever it comes."""

    def bad_blocks(self, bio: Bio) -> Blocks:
        """Say so."""
        return [(2, 1)] if any(first <= 2 < first + count for first, count in bio.blocks) else []


@pytest.mark.parametrize(("path", "returned"), [("page_io", -EIO), ("iomap", KIB), ("buffer_head", KIB)])
def test_a_page_with_state_for_its_blocks_keeps_the_good_ones(path: str, returned: int) -> None:
    """Of four blocks of 1 KiB the third is bad: buffer heads and iomap give the first all the same."""
    design = replace(design_of(path), post_read=(AlwaysBad,))
    rig = Rig(design, [(0, 1000, 4)], 4 * KIB, KIB, store=MemoryStore(bytes(1100 * KIB)))
    task, got = rig.machine.cpu.task(0, "reader"), []

    def reader() -> Iterator[Any]:
        got.append((yield from rig.machine.filemap.read(task, rig.open(), 0, KIB)))
        yield from task.settle()

    rig.machine.clock.process(reader())
    rig.finish()
    assert [returned] == got

"""Reads that fail: what a reader gets, what stays cached, and how often the device is asked."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.media import BadSectors
from sim.block.queue.limits import QueueLimits
from sim.cache.address_space import OpenFile
from sim.cache.filemap import EIO
from sim.cache.pages import PRESENT, UPTODATE

PAGE, SECTOR = 4096, 512
AT = 1000
"""The file's first block on the disk."""
BRD = QueueLimits(1280, 128, 64, bio_based=True, driver="brd")


def rig_of(path: str, bad: list[int], pages: int, block_size: int = PAGE, **spec: Any) -> Rig:
    """Return a machine with one contiguous file, of which the blocks `bad` cannot be read."""
    per = block_size // SECTOR
    media = BadSectors((AT + block) * per for block in bad)
    extents = [(0, AT, pages * PAGE // block_size)]
    return Rig(path, extents, pages * PAGE, block_size, media=media, **spec)


def got(
    rig: Rig, reads: list[tuple[int, int]], random: bool = False, file: OpenFile | None = None
) -> list[int]:
    """Return what each read(2) of one reader returned."""
    opened = file or rig.open(random)
    task = rig.machine.cpu.task(0, "reader")
    returned: list[int] = []

    def reader() -> Any:
        for offset, length in reads:
            returned.append((yield from rig.machine.filemap.read(task, opened, offset, length)))
        yield from task.settle()

    rig.machine.clock.process(reader())
    rig.finish()
    return returned


def bios(rig: Rig) -> list[tuple[int, int]]:
    """Return the bios in order: first sector behind the file's, and sectors."""
    per = rig.machine.spec.block_size // SECTOR
    return [(sector - AT * per, sectors) for _, sector, sectors in rig.letters("Q")]


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage", "iomap", "page_io_pure", "per_block"])
def test_a_bad_page_is_read_twice_and_then_given_up(path: str) -> None:
    """Of 4 KiB at random: one bio by readahead, one by the reader; later reads ask once each."""
    rig = rig_of(path, [3], 8)
    assert [-EIO, -EIO, PAGE] == got(rig, [(3 * PAGE, PAGE), (3 * PAGE, 100), (4 * PAGE, PAGE)], random=True)
    assert [(24, 8), (24, 8), (24, 8), (32, 8)] == bios(rig)
    assert (PRESENT, UPTODATE) == (rig.mapping.state[3], rig.mapping.state[4])


@pytest.mark.parametrize("path", ["page_io", "mpage", "iomap", "page_io_pure"])
def test_a_window_fails_as_a_whole(path: str) -> None:
    """The bio of a window fails with one sector of it; what comes before that is read page by page."""
    rig = rig_of(path, [2], 8)
    assert [2 * PAGE, -EIO] == got(rig, [(0, 8 * PAGE), (2 * PAGE, 6 * PAGE)])
    assert [(0, 64), (0, 8), (8, 8), (16, 8), (16, 8)] == bios(rig)
    assert bytes([UPTODATE] * 2 + [PRESENT] * 6) == bytes(rig.mapping.state)


def test_bios_of_buffer_heads_fail_with_the_request_they_were_merged_into() -> None:
    """Block by block the window has a bio a block, and all merge; each failed block is then read alone."""
    rig = rig_of("buffer_head", [2], 4, block_size=1024)
    assert [-EIO] == got(rig, [(0, PAGE)])
    first = [(block * 2, 2) for block in range(16)]
    assert [*first, *first[:4]] == bios(rig)
    assert 0b1011 == rig.mapping.known_blocks[0], "without a plug nothing merges: one of them fails"


@pytest.mark.parametrize(("path", "known"), [("buffer_head", 0b1011), ("iomap", 0b1011), ("page_io", 0)])
def test_blocks_that_came_stay_where_a_page_has_state_for_them(path: str, known: int) -> None:
    """Blocks apart on the disk fail alone: with buffer heads or iomap's bitmap the others stay; else none."""
    rig = Rig(
        path,
        [(0, AT, 2), (2, 2 * AT, 1), (3, 3 * AT, 1)] if known else [(0, AT, 4)],
        PAGE,
        1024,
        media=BadSectors([2 * AT * 2 if known else (AT + 2) * 2]),
    )
    assert [-EIO] == got(rig, [(0, PAGE)], random=True)
    assert {0: known} == rig.mapping.known_blocks
    asked = len(bios(rig))
    assert [1024 if known else -EIO] == got(rig, [(0, 1024)], random=True)
    assert asked + (not known) == len(bios(rig)), "what is up to date of it is not read again"


def test_buffers_that_failed_are_not_mapped_again() -> None:
    """block_read_full_folio() asks get_block only for what is not mapped: 4 calls, whatever follows."""
    rig = rig_of("buffer_head", [1], 1, block_size=1024)
    got(rig, [(0, PAGE)] * 3, random=True)
    assert 4 == rig.machine.ledger.calls()["ext4_get_block"]
    again = rig_of("page_io", [1], 1, block_size=1024)
    got(again, [(0, PAGE)] * 3, random=True)
    assert 4 == again.machine.ledger.calls()["ext4_map_blocks"], "without buffer heads it is mapped anew"


def test_readahead_shrinks_to_a_quarter_until_the_file_is_opened_again() -> None:
    """shrink_readahead_size_eio(): 32 pages, 8, 2, none; reopening gives them back."""
    rig = rig_of("page_io", [0], 64)
    file = rig.open()
    seen = []
    for _ in range(4):
        seen.append(file.ra_pages)
        got(rig, [(0, PAGE)], file=file)
    assert [32, 8, 2, 0] == seen
    file.reopen()
    assert 32 == file.ra_pages


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
def test_a_failed_bio_is_not_decrypted(path: str) -> None:
    """bio_post_read_required() asks for a status without error, end_buffer_async_read_io() likewise."""
    rig = rig_of(path, [0], 1, encrypted=True)
    assert [-EIO] == got(rig, [(0, PAGE)], random=True)
    calls = rig.machine.ledger.calls()
    assert 0 == calls.get("fscrypt_decrypt_pagecache_blocks", 0) + calls.get(
        "fscrypt_enqueue_decrypt_work", 0
    )


@settings(max_examples=40, deadline=None)
@given(
    path=st.sampled_from(["page_io", "buffer_head", "mpage", "iomap", "page_io_pure"]),
    block_size=st.sampled_from([1024, 2048, PAGE]),
    bad=st.sets(st.integers(0, 47), max_size=3),
    reads=st.lists(
        st.tuples(st.integers(0, 12 * PAGE - 1), st.integers(1, 5 * PAGE)), min_size=1, max_size=6
    ),
    limits=st.sampled_from([None, BRD]),
    encrypted=st.booleans(),
)
def test_against_a_naive_disk(
    path: str,
    block_size: int,
    bad: set[int],
    reads: list[tuple[int, int]],
    limits: QueueLimits | None,
    encrypted: bool,
) -> None:
    """
    A read returns what comes before the first page with a bad block, -EIO if that is its first; a page with
    state for its blocks gives the good ones, too.
    """
    per, pages = PAGE // block_size, 12
    rig = rig_of(
        path,
        [block // (PAGE // 1024 // per) for block in bad],
        pages,
        block_size,
        limits=limits,
        encrypted=encrypted,
    )
    bad_pages = {block // (PAGE // 1024) for block in bad}
    for (offset, length), returned in zip(reads, got(rig, reads), strict=True):
        end = min(offset + length, pages * PAGE)
        first = min(
            (page for page in bad_pages if page * PAGE < end and offset < (page + 1) * PAGE), default=-1
        )
        whole = end - offset if first < 0 else max(first * PAGE - offset, 0) or -EIO
        if returned != whole:
            assert per > 1, "only a page with state for its blocks can give more"
            assert path in ("buffer_head", "iomap", "page_io", "mpage", "page_io_pure")
            assert returned > whole
    good = [page for page in range(pages) if rig.mapping.state[page] == UPTODATE]
    assert not bad_pages.intersection(good)

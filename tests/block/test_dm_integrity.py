"""dm-integrity: golden bios and calls by hand, and against a model that looks block by block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.block.dm.asked import dm_io_bios
from sim.block.dm.integrity import IntegrityDevice
from sim.block.opf import REQ_FUA, REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.integrity.interleaved import Interleaved
from sim.peers.tally import Tally

READ, WRITE = REQ_OP_READ | REQ_SYNC, REQ_OP_WRITE | REQ_SYNC


def device(
    mode: str, block: int = 4096, interleave: int = 32768, tag: int = 0
) -> tuple[IntegrityDevice, Tally]:
    """Return a device on a disk of nothing but calls; tag: bytes of one that comes with the bios."""
    tally = Tally()
    return IntegrityDevice(Interleaved(block, tag or 4, interleave, mode=mode), tally, not tag), tally


def bios(tally: Tally) -> list[tuple[int, int]]:
    """Return sector and sectors of the bios."""
    return [(bio.sector, bio.sectors) for bio in tally.bios]


@pytest.mark.parametrize(
    ("mode", "block", "hashes", "bitmap"), [("D", 512, 8, 0), ("J", 4096, 1, 0), ("B", 512, 8, 1)]
)
def test_a_cold_read_of_4k(mode: str, block: int, hashes: int, bitmap: int) -> None:
    """The data, a buffer of tags; a hash a block, done by a worker. The second time no tags are read."""
    target, tally = device(mode, block)
    target.read(2048, 8, READ)
    first = (1944, 128) if block == 512 else (1968, 128)
    assert [(4248 if block == 512 else 4272, 8), first] == bios(tally)
    assert (hashes, bitmap, 2, 1) == tuple(
        tally.calls[name]
        for name in (
            "integrity_sector_checksum",
            "block_bitmap_op",
            "dm_integrity_map_continue",
            "integrity_bio_wait",
        )
    )
    target.read(2048, 8, READ)
    assert 3 == len(tally.bios)


def test_a_bio_is_cut_at_an_area_and_at_the_largest_request() -> None:
    """1 MiB is 1,280 and 768 sectors; where areas are of 256 sectors, eight of these."""
    assert [(8192, 1280), (9472, 768)] == device("D")[0].pieces(8192, 2048)
    assert [(8192 + 256 * n, 256) for n in range(8)] == device("D", interleave=256)[0].pieces(8192, 2048)
    assert [(32760, 8), (32768, 16)] == device("D")[0].pieces(32760, 24)


def test_direct_writes_tags_at_the_flush() -> None:
    """Data once, tags read before they are changed, 4 KiB of them written, then one flush."""
    target, tally = device("D")
    target.write(2048, 256, WRITE)
    target.flush()
    assert [(4272, 256), (1968, 128), (1968, 8), (0, 0)] == bios(tally)


def test_the_bitmap_is_written_before_a_region() -> None:
    """Once for 16 MiB: before the data of the first write into it, past the disk's cache."""
    target, tally = device("B")
    for sector in (0, 8, 32768):
        target.write(sector, 8, WRITE)
    assert [(8, 8), (2224, 8), (1968, 128), (2232, 8), (8, 8)] == bios(tally)[:5]
    assert WRITE | REQ_FUA == tally.bios[0].opf
    assert (2, 2, 11) == tuple(
        tally.calls[name] for name in ("bitmap_block_work", "integrity_bio_wait", "block_bitmap_op")
    )


def test_the_journal_takes_whole_sections() -> None:
    """4 KiB cost a section of 392 sectors, at the flush; nothing before."""
    target, tally = device("J")
    target.write(2048, 8, WRITE)
    assert [] == bios(tally)
    target.flush()
    assert [(8, 392)] == bios(tally)


def test_a_full_journal_is_copied_to_its_places() -> None:
    """
    1 MiB in a journal of 240 blocks: the commit that half of it starts finds 160, which are copied section by
    section; the other 96 wait for the flush and go round the journal's end.
    """
    target, tally = device("J")
    target.write(8192, 2048, WRITE)
    assert [
        (8, 1568), (1968, 128), (10416, 384), (10800, 384), (11184, 384), (11568, 128), (1976, 8), (0, 0),
    ] == bios(tally)  # fmt: skip
    before = len(tally.bios)
    target.flush()
    assert [(1576, 392), (8, 392)] == bios(tally)[before:]
    assert (3, 3, 160) == tuple(
        tally.calls[name] for name in ("integrity_commit", "__journal_read_write", "dm_integrity_rw_tag")
    )


def test_tags_that_come_along_are_stored_by_the_page() -> None:
    """160 blocks of 28 bytes are two pages of tags, the 96 behind them lie in the second one's rest."""
    target, tally = device("D", tag=28)
    target.write(0, 2048, WRITE)
    assert 3 == tally.calls["dm_integrity_rw_tag"]
    assert 0 == tally.calls["integrity_sector_checksum"]


@given(
    st.sampled_from([512, 4096]),
    st.sampled_from([256, 32768]),
    st.sampled_from([0, 28]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 200)), min_size=1, max_size=6),
)
def test_reads_as_block_by_block(block: int, interleave: int, tag: int, reads: list[tuple[int, int]]) -> None:
    """Data bios cover what is asked for; each block's tag lies in a buffer that is read, and no other is."""
    target, tally = device("D", block, interleave, tag)
    layout = Interleaved(block, tag or 4, interleave)
    data, buffers = set[int](), set[int]()
    for start, length in reads:
        sector, sectors = start * 8, length * 8
        target.read(sector, sectors, READ)
        for at in range(sector, sector + sectors, layout.block_sectors):
            data.add(layout.data_sector(at))
            for byte in (layout.tag_byte(at), layout.tag_byte(at) + layout.tag_bytes - 1):
                run = layout.start + at // interleave * (layout.run_sectors + interleave)
                buffers.add(run + (byte // 512 - run) // 128 * 128)
    read = [bio for bio in tally.bios if bio.opf == REQ_OP_READ]
    assert sorted(buffers) == sorted(bio.sector for bio in read)
    assert all(bio.sectors == 128 for bio in read)
    covered = {
        at
        for bio in tally.bios
        if bio.opf == READ
        for at in range(bio.sector, bio.sector + bio.sectors, layout.block_sectors)
    }
    assert covered == data
    blocks = sum(length * 8 // layout.block_sectors for _start, length in reads)
    assert tally.calls["integrity_sector_checksum"] == (0 if tag else blocks)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 64)), min_size=1, max_size=20))
def test_a_journal_loses_no_block(writes: list[tuple[int, int]]) -> None:
    """
    What was written is in the journal's sections that a flush has written, or in its place: every copied run
    begins at the place of a written block, and there is room again.
    """
    target, tally = device("J")
    places = set[int]()
    layout = Interleaved(4096, 4)
    for start, length in writes:
        target.write(start * 8, length * 8, WRITE)
        places |= {layout.data_sector((start + at) * 8) for at in range(length)}
        target.flush()
    blocks = sum(length for _start, length in writes)
    assert blocks == tally.calls["integrity_sector_checksum"]
    journalled = sum(bio.sectors for bio in tally.bios if bio.opf & REQ_FUA)
    assert journalled % 392 == 0
    assert journalled // 392 >= -(-blocks // 48)
    copied = [bio for bio in tally.bios if bio.opf == REQ_OP_WRITE and bio.sector >= 2224]
    assert {at for bio in copied for at in range(bio.sector, bio.sector + bio.sectors, 8)} <= places
    assert tally.calls["dm_integrity_rw_tag"] == sum(bio.sectors for bio in copied) // 8


def test_a_list_of_tags_goes_on_in_the_next_piece() -> None:
    """A block at the end of an area, 146 behind it: their tags begin in the list's first page."""
    target, tally = device("D", tag=28)
    target.write(32760, 8 + 146 * 8, WRITE)
    assert 1 + 2 == tally.calls["dm_integrity_rw_tag"]


def test_a_tag_over_two_buffers_reads_both() -> None:
    """The tag of block 2,340 has 16 of its 28 bytes in the first buffer."""
    target, tally = device("D", tag=28)
    target.read(2340 * 8, 8, READ)
    assert [(1856, 128), (1984, 128)] == bios(tally)[1:]
    assert (1, 2) == (tally.calls["dm_integrity_rw_tag"], tally.calls["dm_bufio_read"])


def test_copies_end_where_areas_do() -> None:
    """Areas of 32 blocks, sections of 48: the first section's blocks go to two areas."""
    target, tally = device("J", interleave=256)
    target.write(8192, 2048, WRITE)
    copied = [bio.sectors for bio in tally.bios if bio.opf == REQ_OP_WRITE and bio.sectors > 8]
    assert [256, 128, 128, 256, 256] == copied


def test_a_block_that_is_committed_anew_is_copied_once() -> None:
    """What is old at the end of a run stays in the journal; its newer copy goes to its place."""
    target, tally = device("J")
    for _time in range(2):
        target.write(0, 8, WRITE)
        target.flush()
    target.write(8000, 24 * 8, WRITE)
    target.write(0, 8, WRITE)
    assert [(2224, 8), (10224, 192)] == [
        (bio.sector, bio.sectors) for bio in tally.bios if bio.opf == REQ_OP_WRITE and bio.sector >= 2224
    ]
    assert 1 + 2 + 2 == tally.calls["find_newer_committed_node"]


def test_a_read_has_from_the_journal_what_lies_there() -> None:
    """
    Three blocks, the middle one in the journal: two bios, for what lies before and behind it, by a worker.
    """
    target, tally = device("J")
    target.write(2048, 8, WRITE)
    target.read(2040, 24, READ)
    assert [(4264, 8), (1968, 128), (4280, 8)] == bios(tally)
    names = ("integrity_bio_wait", "add_new_range", "__journal_read_write", "integrity_sector_checksum")
    assert (2, 3, 2, 3) == tuple(tally.calls[name] for name in names)


def test_blocks_of_the_journal_that_lie_in_a_row_are_one_part() -> None:
    """Blocks 0 to 3 were entered in a row, 1 once more: the newest ones are 0, then 1, then 2 and 3."""
    target, tally = device("J")
    target.write(0, 32, WRITE)
    target.write(8, 8, WRITE)
    before = tally.calls["__journal_read_write"]
    target.read(0, 32, READ)
    assert 3 == tally.calls["__journal_read_write"] - before
    assert [] == bios(tally)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5),
    st.tuples(st.integers(0, 60), st.integers(1, 60)),
)
def test_the_disk_is_read_for_what_the_journal_has_not(
    writes: list[tuple[int, int]], read: tuple[int, int]
) -> None:
    """Less than half of the journal is written: nothing is copied, and each block is read where it is."""
    target, tally = device("J")
    held = set[int]()
    for start, length in writes:
        target.write(start * 8, length * 8, WRITE)
        held |= set(range(start, start + length))
    target.read(read[0] * 8, read[1] * 8, READ)
    layout = Interleaved(4096, 4)
    covered = [
        at for bio in tally.bios if bio.opf == READ for at in range(bio.sector, bio.sector + bio.sectors, 8)
    ]
    wanted = set(range(read[0], read[0] + read[1])) - held
    assert sorted(layout.data_sector(block * 8) for block in wanted) == sorted(covered)
    blocks = sum(length for _start, length in writes)
    assert blocks + len(wanted) == tally.calls["integrity_sector_checksum"]


def test_who_writes_past_the_cache_has_a_flush_of_its_own() -> None:
    """REQ_FUA: what a flush does, without a bio to map."""
    target, tally = device("D")
    target.write(2048, 8, WRITE)
    mapped = tally.calls["dm_integrity_map"]
    target.fua()
    assert [(1968, 8), (0, 0)] == bios(tally)[-2:]
    assert (mapped, 1) == (tally.calls["dm_integrity_map"], tally.calls["submit_flush_bio"])


def test_the_watermark_starts_the_commit() -> None:
    """60 of 240 blocks are used: copied at 25 percent, not at 50."""
    for watermark, commits in ((25, 1), (50, 0)):
        tally = Tally()
        target = IntegrityDevice(Interleaved(4096, 4, mode="J"), tally, watermark=watermark)
        target.write(0, 60 * 8, WRITE)
        target.write(8000, 8, WRITE)
        assert commits == tally.calls["integrity_commit"]


def test_a_large_commit_is_several_bios() -> None:
    """256 blocks are six sections, 294 pages: dm_io() makes two bios of them, of up to 256 pages."""
    tally = Tally()
    target = IntegrityDevice(Interleaved(4096, 4, journal_sectors=131072, mode="J"), tally)
    target.write(0, 2048, WRITE)
    target.flush()
    assert [(8, 2048), (2056, 6 * 392 - 2048)] == bios(tally)
    assert (1, 294) == (tally.calls["dm_io"], tally.calls["bio_add_page"])
    assert [(8, 0)] == dm_io_bios(8, 0)

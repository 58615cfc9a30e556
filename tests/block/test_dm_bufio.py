"""Buffers of tags: read once, written by the part that is dirty, early if most are dirty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.block.dm.bufio import BufferCache
from sim.block.opf import REQ_OP_WRITE
from sim.peers.tally import Tally


def dirty(cache: BufferCache, start: int, first: int = 0, end: int = 4) -> None:
    """Read a buffer and change bytes of it."""
    cache.read(start)
    cache.mark_dirty(start, first, end)


def moved(tally: Tally) -> list[tuple[str, int, int]]:
    """Return the bios: r, w or f, sector, sectors."""
    kinds = ["f" if not bio.sectors else "w" if bio.opf & REQ_OP_WRITE else "r" for bio in tally.bios]
    return [(kind, bio.sector, bio.sectors) for kind, bio in zip(kinds, tally.bios, strict=True)]


def test_a_buffer_is_read_once_and_written_by_its_dirty_part() -> None:
    """Steps of 4 KiB from the first changed byte to the last."""
    tally = Tally()
    cache = BufferCache(tally, 128)
    dirty(cache, 1944, 8192, 8224)
    dirty(cache, 1944, 12_284, 12_292)
    cache.flush()
    cache.flush()
    assert [("r", 1944, 128), ("w", 1960, 16), ("f", 0, 0), ("f", 0, 0)] == moved(tally)
    assert (2, 2, 2) == tuple(
        tally.calls[name]
        for name in ("dm_bufio_read", "dm_bufio_release", "dm_bufio_mark_partial_buffer_dirty")
    )


def test_early_writes_as_recorded() -> None:
    """
    Four buffers dirtied in turn: the first goes out before the second is read, the second before the third,
    which finds one clean; then there is one for up to three.
    """
    tally = Tally()
    cache = BufferCache(tally, 128)
    for start in (0, 128, 256, 384):
        dirty(cache, start)
    assert [(k, s) for k, s, _n in moved(tally)] == [
        ("r", 0), ("w", 0), ("r", 128), ("w", 128), ("r", 256), ("r", 384),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 65_500), st.integers(1, 36)), max_size=30))
def test_nothing_is_lost(changes: list[tuple[int, int, int]]) -> None:
    """What was changed is written by the end, each buffer read once, nothing written that was not changed."""
    tally = Tally()
    cache = BufferCache(tally, 128)
    for number, first, length in changes:
        dirty(cache, number * 128, first, first + length)
    cache.flush()
    reads = [sector for kind, sector, _n in moved(tally) if kind == "r"]
    assert sorted(reads) == sorted({number * 128 for number, _f, _l in changes})
    written = {at for kind, s, n in moved(tally) if kind == "w" for at in range(s * 512, (s + n) * 512, 4096)}
    wanted = {
        number * 65_536 + at // 4096 * 4096
        for number, first, length in changes
        for at in (first, first + length - 1)
    }
    assert wanted <= written
    touched = {number for number, _f, _l in changes}
    assert {at // 65_536 for at in written} == touched

"""Reads through the page cache: which pages are asked for together, in which folios."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.peers.page_reads import Folios, PageReads
from sim.peers.tally import Tally

MIB = 1 << 20


def windows(size: int, ra_pages: int, piece: int, large: bool = False) -> tuple[list[tuple[int, int]], Tally]:
    """Return (first page, folios) of each batch that reading a file from front to back brings."""
    tally = Tally()
    found: list[tuple[int, int]] = []
    pages = PageReads(tally, size, ra_pages, lambda f: found.append((f[0][0], len(f))), large)
    for at in range(0, size, piece):
        pages.read(at, piece)
    return found, tally


def test_windows_of_btrfs_as_recorded() -> None:
    """4 MiB of readahead: 128 pages, then twice as many up to 1,024; in reads of 4 KiB from 4 pages on."""
    found, tally = windows(16 * MIB, 1024, 128 << 10)
    assert [128, 256, 512, 1024, 1024, 1024, 128] == [pages for _first, pages in found]
    assert (128, 7) == (tally.calls["filemap_read"], tally.calls["page_cache_ra_unbounded"])
    assert [4, 16, 64, 128, 44] == [pages for _first, pages in windows(MIB, 1024, 4096)[0]]


def test_large_folios_of_xfs_as_recorded() -> None:
    """Windows of 32 pages: 8 folios of 4 pages, 2 of 16, then one each."""
    found, tally = windows(2 * MIB, 32, 128 << 10, large=True)
    assert [8, 2] + [1] * 14 == [folios for _first, folios in found]
    assert (24, 0) == (tally.calls["filemap_add_folio"], tally.calls["page_cache_ra_unbounded"])


def test_random_reads_bring_what_is_asked_for() -> None:
    """With POSIX_FADV_RANDOM a page each; what is there is not read again."""
    tally = Tally()
    found: list[Folios] = []
    pages = PageReads(tally, MIB, 1024, found.append)
    pages.random = True
    for at in (5, 90, 5):
        pages.read(at * 4096, 4096)
    assert [[(5, 6)], [(90, 91)]] == found


def test_a_program_reads_on_until_nothing_comes() -> None:
    """64 KiB of a file where 128 were asked for: a second read finds the end, and asks for nothing."""
    tally = Tally()
    found: list[Folios] = []
    pages = PageReads(tally, 64 << 10, 1024, found.append)
    pages.read_on(0, 128 << 10)
    pages.read_on(0, 64 << 10)
    assert [16] == [len(folios) for folios in found]
    assert 2 + 1 == tally.calls["filemap_read"]
    assert [0, 4096, 100] == [pages.read(at, 4096) for at in (64 << 10, 0, (64 << 10) - 100)]


@given(
    st.integers(1, 600),
    st.sampled_from([32, 1024]),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 599), st.integers(1, 64)), min_size=1, max_size=20),
)
def test_every_page_once(
    size: int, ra_pages: int, large: bool, random: bool, reads: list[tuple[int, int]]
) -> None:
    """Whatever is read in which order: a page is asked for at most once, and all that was read are there."""
    tally = Tally()
    asked: list[int] = []

    def take(folios: Folios) -> None:
        asked.extend(page for first, end in folios for page in range(first, end))

    pages = PageReads(tally, size * 4096, ra_pages, take, large)
    pages.random = random
    for at, length in reads:
        pages.read(at * 4096, length * 4096)
    assert len(asked) == len(set(asked))
    wanted = {page for at, length in reads for page in range(at, min(at + length, size))}
    assert wanted <= set(asked)
    assert all(page < size for page in asked)

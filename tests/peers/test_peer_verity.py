"""fs-verity: a tree built, and each page of it read and hashed once by who reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.fs.merkle import MerkleTree
from sim.peers.page_reads import PageReads
from sim.peers.tally import REQ_RAHEAD, Tally
from sim.peers.verity import RA_PAGES, VerityReader, enable

MIB = 1 << 20


def reader(size: int, random: bool) -> tuple[PageReads, Tally]:
    """Return a file whose data lies in a row from sector 800 on, its tree behind it."""
    tally = Tally()
    tree = MerkleTree(size, 4096)
    places = {page: (100 + page) * 4096 for page in range(max(tree.end_page, size // 4096))}
    extents = frozenset((0,))
    pages = PageReads(tally, size, RA_PAGES, VerityReader(tally, size, places, extents).read_folios)
    pages.random = random
    return pages, tally


def test_enabling_as_recorded() -> None:
    """2 MiB: 512 pages, 4 leaves, a root; the descriptor is hashed and written, too. 4 KiB has no tree."""
    tally = Tally()
    enable(tally, 2 * MIB, 140_680)
    assert (517, 518, 5, 8) == tuple(
        tally.calls[name]
        for name in (
            *("fsverity_hash_page", "crypto_ahash_digest"),
            *("ext4_write_merkle_tree_block", "ext4_map_blocks"),
        )
    )
    assert [(140_680, 48)] == [(bio.sector, bio.sectors) for bio in tally.bios]
    small = Tally()
    enable(small, 4096, 0)
    assert (1, 0, 8) == (
        small.calls["fsverity_hash_page"],
        small.calls["ext4_write_merkle_tree_block"],
        small.bios[0].sectors,
    )


def test_random_reads_as_recorded() -> None:
    """32 pages of 8 MiB below 10 leaves: 11 pages of the tree, each alone, root last; then one is enough."""
    pages, tally = reader(8 * MIB, random=True)
    for number in range(32):
        pages.read((5 + 37 * number) * 4096, 4096)
    assert (43, 42, 11) == tuple(
        tally.calls[name] for name in ("fsverity_hash_page", "ext4_read_merkle_tree_page", "read_cache_page")
    )
    root = 8 * (100 + 2048)
    assert [8 * 105, root + 8, root] == [bio.sector for bio in tally.bios[:3]]
    before = tally.calls["fsverity_hash_page"]
    pages.read(0, 4096)
    assert 1 == tally.calls["fsverity_hash_page"] - before


def test_a_bio_read_ahead_brings_leaves() -> None:
    """
    2 MiB in a row: a bio of 32 pages asks for 8 leaves, of which there are four; one of 4 for its own alone.
    """
    pages, tally = reader(2 * MIB, random=False)
    for at in range(0, 2 * MIB, 131_072):
        pages.read(at, 131_072)
    tree = [(bio.sector, bio.sectors, bio.opf) for bio in tally.bios if bio.sector >= 8 * (100 + 512)]
    assert [(8 * 613, 32, REQ_RAHEAD), (8 * 612, 8, 0)] == tree
    assert (2, 17, 18) == tuple(
        tally.calls[name] for name in ("read_cache_page", "ext4_readahead", "ext4_mpage_readpages")
    )
    small, few = reader(2 * MIB, random=True)
    small.read(0, 16_384)
    assert [8, 8] == [bio.sectors for bio in few.bios[1:]]


@given(
    st.integers(1, 600),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 599), st.integers(1, 40)), max_size=12),
)
def test_every_page_is_hashed_once(pages: int, random: bool, reads: list[tuple[int, int]]) -> None:
    """Data that was read, and what lies above it, however it is read; nothing of the tree is read twice."""
    of, tally = reader(pages * 4096, random)
    for at, length in reads:
        of.read(at * 4096, length * 4096)
    tree = MerkleTree(pages * 4096, 4096)
    first = 8 * (100 + tree.first_page)
    sent = [at for bio in tally.bios for at in range(bio.sector // 8, (bio.sector + bio.sectors) // 8)]
    assert len(sent) == len(set(sent))
    data = {at - 100 for at in sent if at * 8 < first}
    above = {block for page in data for block in tree.path(page)}
    assert len(data) + len(above) == tally.calls["fsverity_hash_page"]
    assert {at - first // 8 for at in sent if at * 8 >= first} >= above
    assert all(at * 8 < first + (tree.end_page - tree.first_page) * 8 for at in sent)

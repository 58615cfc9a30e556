"""What 7.3 and 6.12 do otherwise than 6.1 in the read paths: one pass, room of bios, contexts, decryption."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core_kit import Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.queue.limits import QueueLimits
from sim.paths.page_bio import capacity
from sim.units import KIB, MIB


def sent(kernel: str) -> list[list[int]]:
    """
    Read 256 KiB of a file of 1 KiB extents, apart on the disk, 84 in a leaf of its tree, with nothing in
    memory.

    Returns the file's blocks that went to the device between one read of a tree block and the next.
    """
    extents = [(i, 1000 + 2 * i, 1) for i in range(256)]
    rig = Rig("buffer_head", extents, 256 * KIB, KIB, status="all_cold", kernel=kernel)
    rig.run(sequential(256 * KIB, 128 * KIB))
    groups: list[list[int]] = [[]]
    for _, sector, _ in rig.letters("D"):
        if sector >= 1 << 20:
            groups.append([])
        else:
            groups[-1].append((sector // 2 - 1000) // 2)
    return [sorted(group) for group in groups]


def test_what_is_mapped_is_submitted_one_behind() -> None:
    """
    Blocks 168 and 252 begin a leaf within a folio, [160, 176) and [240, 256): 7.3 has sent what lies before
    them in it when it waits, but for the last block. 6.12 has pages, and leaves begin with one (84, 168,
    252).
    """
    cuts = [0, 84, 167, 251, 256]
    assert [[], *[list(range(*pair)) for pair in pairwise(cuts)]] == sent("7.3")
    cuts = [0, 84, 168, 252, 256]
    assert [[], *[list(range(*pair)) for pair in pairwise(cuts)]] == sent("6.12")


@pytest.mark.parametrize(
    ("room", "most", "exact"), [(1, 4, 1), (3, 4, 3), (4, 4, 4), (5, 16, 16), (17, 64, 64)]
)
def test_a_small_bio_has_room_for_what_was_asked(room: int, most: int, exact: int) -> None:
    """Up to 4 vectors 6.1 has room for 4, 7.3 for as many as were asked for; arrays are the same."""
    assert (most, exact) == (capacity(room), capacity(room, True))


def test_an_extent_that_begins_in_a_page_needs_a_bio_more() -> None:
    """iomap, 1 KiB blocks, an extent of 4 that begins at block 2 of a page: 2 vectors, asked for as one."""
    bios = {}
    for kernel in ("6.1", "7.3"):
        rig = Rig("iomap", [(2, 1000, 4), (6, 3000, 2)], 8 * KIB, KIB, kernel=kernel, large_folios=False)
        rig.run([(0, 8 * KIB)])
        bios[kernel] = [sectors for _, _, sectors in rig.letters("Q")]
    assert {"6.1": [8, 4], "7.3": [4, 4, 4]} == bios


def test_a_bio_of_iomap_ends_with_its_mapping() -> None:
    """Two mappings side by side on the disk, of 5 and 3 blocks: 6.1 and 6.12 go on, 7.3 sends each."""
    for kernel, bios in (("6.1", [64]), ("6.12", [64]), ("7.3", [40, 24])):
        rig = Rig("iomap", [(0, 1000, 5), (5, 1005, 3)], 32 * KIB, kernel=kernel, large_folios=False)
        rig.inode.map.status.run_start.insert(1, 5)
        rig.inode.map.status.run_kind.insert(1, 0)
        rig.inode.map.status.run_physical.insert(1, 1005)
        rig.run([(0, 32 * KIB)])
        assert bios == [sectors for _, _, sectors in rig.letters("Q")], kernel


def test_every_bio_is_asked_for_its_context() -> None:
    """7.3, a plain file: each of its bios, and each folio that meets an open one; 6.1 asks for none."""
    extents = [(0, 1000, 16), (16, 3000, 16)]
    calls = Rig("page_io", extents, 128 * KIB, kernel="7.3", large_folios=False).run([(0, 128 * KIB)])
    assert (2, 30) == (calls["fscrypt_set_bio_crypt_ctx"], calls["fscrypt_mergeable_bio"])
    calls = Rig("page_io", extents, 128 * KIB, kernel="6.1").run([(0, 128 * KIB)])
    assert not [name for name in calls if "fscrypt" in name]
    calls = Rig("mpage", extents, 128 * KIB, kernel="7.3", large_folios=False).run([(0, 128 * KIB)])
    assert not [name for name in calls if "fscrypt" in name]


@pytest.mark.parametrize(("path", "bios"), [("page_io", 2), ("buffer_head", 32)])
def test_an_encrypted_file_is_decrypted_below_the_file_system(path: str, bios: int) -> None:
    """
    blk-crypto-fallback: the context is taken off, the bio ends twice, a cipher call a block; nothing of
    fs/crypto's own decryption is left. 6.1's cipher has two layers.
    """
    extents = [(0, 1000, 16), (16, 3000, 16)]
    calls = Rig(path, extents, 128 * KIB, kernel="7.3", encrypted=True).run([(0, 128 * KIB)])
    once = ("__blk_crypto_submit_bio", "blk_crypto_fallback_bio_prep", "blk_crypto_fallback_decrypt_bio")
    assert [bios] * 3 == [calls[name] for name in once]
    assert (2 * bios, 32) == (calls["bio_endio"], calls["crypto_skcipher_decrypt"])
    assert 32 == calls["fscrypt_generate_iv"]  # one a bio, and one for each page that joins it
    gone = ("fscrypt_decrypt_bio", "fscrypt_decrypt_pagecache_blocks", "fscrypt_crypt_block")
    assert not set(gone) & calls.keys()
    assert (
        64 == Rig(path, extents, 128 * KIB, encrypted=True).run([(0, 128 * KIB)])["crypto_skcipher_decrypt"]
    )


def test_data_units_of_a_bio_are_neighbours() -> None:
    """
    A hole in an encrypted file whose blocks lie side by side on the disk: 7.3 ends the bio, 6.1 does not.
    """
    sizes = {}
    for kernel in ("6.1", "7.3"):
        rig = Rig("page_io", [(0, 1000, 2), (3, 1002, 2)], 20 * KIB, kernel=kernel, encrypted=True)
        rig.run([(0, 20 * KIB)])
        sizes[kernel] = [sectors for _, _, sectors in rig.letters("Q")]
    assert {"6.1": [32], "7.3": [16, 16]} == sizes


def test_no_file_of_a_system_with_encryption_has_large_folios() -> None:
    """The feature `encrypt` turns them off on 7.3, for plain files too; 6.1's iomap keeps them."""
    assert Rig("page_io", [(0, 1000, 8)], 32 * KIB, kernel="7.3").mapping.large
    assert not Rig("page_io", [(0, 1000, 8)], 32 * KIB, kernel="7.3", encrypt_feature=True).mapping.large
    options = {"kernel": "6.1", "large_folios": True, "encrypt_feature": True}
    assert Rig("iomap", [(0, 1000, 8)], 32 * KIB, **options).mapping.large  # type: ignore[arg-type]


def test_a_folio_is_one_vector_cut_by_the_largest_segment() -> None:
    """
    Readahead of 4 MiB on null_blk: folios of 2 MiB, each one vector of 32 segments, so that a request holds
    1,280 sectors; pages, one segment each, let it have 1,024.
    """
    sizes = {}
    for large in (True, False):
        limits = QueueLimits(1280, 128, 64, driver="null_blk")
        rig = Rig(
            "page_io",
            [(0, 4096, 4096)],
            16 * MIB,
            kernel="7.3",
            ra_pages=1024,
            limits=limits,
            large_folios=large,
        )
        rig.run(sequential(16 * MIB, 128 * KIB))
        sizes[large] = max(sectors for _, _, sectors in rig.letters("D"))
    assert {True: 1280, False: 1024} == sizes


def test_a_large_folio_in_pieces_is_read_block_by_block() -> None:
    """Extents of 64 blocks of 1 KiB, folios of 32 pages: a map, a head and a bio for every block of these."""
    extents = [(64 * i, 10_000 + 100 * i, 64) for i in range(16)]
    rig = Rig("page_io", extents, MIB, KIB, kernel="7.3")
    calls = rig.run(sequential(MIB, 128 * KIB))
    folios = 2 + 5  # the first 64 pages are in folios of up to 4, the others of 16, 16, and 32
    assert 5 == calls["block_read_full_folio"]
    assert [640, 640] == [calls["alloc_buffer_head"], calls["__bh_submit"]]
    assert folios - 2 == calls["create_empty_buffers"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12),
    st.sampled_from(["warm", "es_cold", "all_cold"]),
    st.sampled_from([KIB, 4 * KIB, 16 * KIB]),
)
def test_every_written_block_is_read_once(
    runs: list[tuple[int, bool, int]], status: str, block_size: int
) -> None:
    """
    Any runs of data and holes through buffer heads: each written block in a bio, every folio at its end.
    """
    extents, lblk, physical = [], 0, 500
    for length, written, gap in runs:
        if written:
            extents.append((lblk, physical, length))
            physical += length + gap
        lblk += length
    rig = Rig("buffer_head", extents, lblk * block_size, block_size, status=status, kernel="7.3")
    calls = rig.run(sequential(lblk * block_size, 128 * KIB))
    read = sorted(
        sector * 512 // block_size + i
        for _, sector, sectors in rig.letters("Q")
        if sector * 512 // block_size < 1 << 20
        for i in range(sectors * 512 // block_size)
    )
    assert [first + i for _, first, length in extents for i in range(length)] == read
    assert calls["block_read_full_folio"] == calls["folio_end_read"]


def test_a_block_larger_than_a_command_is_cut() -> None:
    """Blocks of 64 KiB, at last eight in a folio, and commands of at most 16 KiB: four of each block."""
    limits = QueueLimits(32, 128, 64)
    options = {"kernel": "7.3", "limits": limits, "ra_pages": 128}
    rig = Rig("buffer_head", [(0, 64, 32)], 2 * MIB, 64 * KIB, **options)  # type: ignore[arg-type]
    calls = rig.run(sequential(2 * MIB, 128 * KIB))
    assert 7 == max(rig.mapping.orders)  # type: ignore[attr-defined]
    assert (32, 96) == (calls["__bh_submit"], rig.machine.queue.stats.splits)
    assert [(64 * 128 + 32 * n, 32) for n in range(128)] == sorted((s, n) for _, s, n in rig.letters("D"))

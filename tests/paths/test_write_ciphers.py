"""Who encrypts what is written back: fs/crypto in bounce pages, the device by contexts, patches of 2014."""

from __future__ import annotations

import pytest
from test_write_rows import states
from write_kit import DATA, Bump, WriteRig

from sim.paths.write_ciphers import FSCRYPT_WRITES, RFC2014_WRITES, WriteCiphers
from sim.paths.writepages.page_io import PageIo

PAGE = 4096
GAP = [(0, 100, 4, False), (8, 104, 4, False)]
"""Two pieces of a file that are neighbours on the disk, and not in the file."""


def written(
    rig: WriteRig, extents: list[tuple[int, int, int, bool]], size: int, inline: bool = True
) -> tuple[dict[str, int], list[tuple[str, int, int]]]:
    """Write the blocks of an encrypted file and sync; return the calls, and the bios of data."""
    inode = rig.file(size, extents, encrypted=True, inline=inline)
    block = rig.writer.sb.block_size
    rig.run(
        *[rig.write(inode, lblk * block, count * block) for lblk, _, count, _ in extents], rig.fsync(inode)
    )
    return rig.calls(), [bio for bio in rig.bios() if bio[1] < 900]


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_a_bio_ends_where_numbers_do_not_go_on(block_size: int) -> None:
    """Plain or with bounce pages it is one bio; the device's contexts make it two, which do not merge."""
    extents = [(lblk * PAGE // block_size, at, count * PAGE // block_size, u) for lblk, at, count, u in GAP]
    extents[1] = (extents[1][0], 100 + extents[0][2], *extents[1][2:])
    blocks = extents[0][2]
    rig = WriteRig(block_size, delalloc=False)
    calls, bios = written(rig, extents, 12 * PAGE, inline=False)
    assert [("WS", 100, 2 * blocks)] == bios
    assert "fscrypt_set_bio_crypt_ctx" not in calls
    rig = WriteRig(block_size, delalloc=False)
    calls, bios = written(rig, extents, 12 * PAGE)
    assert [("WS", 100, blocks), ("WS", 100 + blocks, blocks)] == bios
    size = block_size // 512
    commands = [(s // size, n // size) for _, s, n in rig.device.commands if s < 900 * size]
    assert [(100, blocks), (100 + blocks, blocks)] == sorted(commands)
    assert "fscrypt_encrypt_pagecache_blocks" not in calls
    expected = {
        # The context of a bio, from its making to its end.
        "fscrypt_set_bio_crypt_ctx_bh": 2,
        "fscrypt_set_bio_crypt_ctx": 2,
        "bio_crypt_set_ctx": 2,
        "__blk_crypto_bio_prep": 2,
        "__bio_crypt_free_ctx": 2,
        # Each block but the first of all is asked for: there is a bio whose end it follows.
        "fscrypt_mergeable_bio_bh": 2 * blocks - 1,
        "fscrypt_mergeable_bio": 2 * blocks - 1,
    }
    assert expected == {symbol: calls[symbol] for symbol in expected}


def test_nobody_asks_for_a_block_elsewhere() -> None:
    """Blocks that are no neighbours on the disk end a bio before any number is looked at."""
    extents = [(lblk, 100 + 10 * lblk, 1, False) for lblk in range(4)]
    calls, bios = written(WriteRig(delalloc=False), extents, 4 * PAGE)
    assert [("WS", 100 + 10 * lblk, 1) for lblk in range(4)] == bios
    assert calls["fscrypt_set_bio_crypt_ctx_bh"] == 4
    assert "fscrypt_mergeable_bio_bh" not in calls


@pytest.mark.parametrize("pages", [40, 300])
def test_a_full_bio_asks_once_more(pages: int) -> None:
    """The block for which a bio has no room was asked for; the bio that it begins has its own context."""
    calls, bios = written(WriteRig(delalloc=False), [(0, 100, pages, False)], pages * PAGE)
    assert [count for _, _, count in bios] == ([40] if pages == 40 else [256, 44])
    assert calls["fscrypt_mergeable_bio_bh"] == pages - 1
    assert calls["fscrypt_set_bio_crypt_ctx_bh"] == len(bios)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_rows_of_pages_are_as_each_alone(
    monkeypatch: pytest.MonkeyPatch, block_size: int, inline: bool
) -> None:
    """The same calls, bios and states, also where neighbours on the disk are none in the file."""
    per = PAGE // block_size
    extents = [
        (0, 100, 6 * per, False),
        (8 * per, 100 + 6 * per, 5 * per, False),
        (13 * per, 500, 7 * per, False),
    ]
    found = []
    for rows in (True, False):
        if not rows:
            monkeypatch.setattr(PageIo, "row", lambda *_: 0)
        rig = WriteRig(block_size, allocator=Bump(), delalloc=False)
        rig.writer.buffered.rows = rig.writer.rounds.rows = rows
        inode = rig.file(20 * PAGE, extents, encrypted=True, inline=inline)
        rig.run(rig.write(inode, 0, 6 * PAGE), rig.write(inode, 8 * PAGE, 12 * PAGE), rig.fsync(inode))
        found.append([rig.calls(), rig.events, states(inode)])
    assert found[0] == found[1]


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_new_blocks_behind_old_ones(monkeypatch: pytest.MonkeyPatch, block_size: int) -> None:
    """Pages that get their blocks at write-back, just behind those of pages that are not their neighbours."""
    per = PAGE // block_size
    found = []
    for rows in (True, False):
        if not rows:
            monkeypatch.setattr(PageIo, "row", lambda *_: 0)
        rig = WriteRig(block_size, allocator=Bump(in_order=True))
        rig.writer.buffered.rows = rig.writer.rounds.rows = rows
        inode = rig.file(20 * PAGE, [(0, DATA + 2 * per, 6 * per, False)], encrypted=True, inline=True)
        rig.run(rig.write(inode, 0, 6 * PAGE), rig.write(inode, 8 * PAGE, 6 * PAGE), rig.fsync(inode))
        bios = [(at - DATA, blocks) for _, at, blocks in rig.bios() if at >= DATA]
        assert bios == [(2 * per, 6 * per), (8 * per, 6 * per)]
        found.append([rig.calls(), states(inode)])
    assert found[0] == found[1]


@pytest.mark.parametrize(("inline", "decrypts"), [(True, 0), (False, 1)])
def test_a_block_that_is_read_first(inline: bool, decrypts: int) -> None:
    """What a write of a part needs comes decrypted where the device does it: its bio has a context, too."""
    rig = WriteRig(delalloc=False)
    inode = rig.file(PAGE, [(0, 100, 1, False)], encrypted=True, inline=inline)
    rig.run(rig.write(inode, 0, 512))
    calls = rig.calls()
    assert decrypts == calls.get("xts_decrypt", 0)
    assert (1 - decrypts) == calls.get("fscrypt_set_bio_crypt_ctx_bh", 0)


@pytest.mark.parametrize(("inline", "encrypts"), [(True, 0), (False, 4)])
def test_zeros_over_an_unwritten_extent(inline: bool, encrypts: int) -> None:
    """An extent too short to be split is filled with zeros; encrypted, as all that lies in the file."""
    rig = WriteRig(delalloc=False, dioread_nolock=False)
    inode = rig.file(4 * PAGE, [(0, 100, 4, True)], encrypted=True, inline=inline)
    rig.run(rig.write(inode, 0, PAGE))
    calls = rig.calls()
    assert encrypts == calls.get("xts_encrypt", 0)
    of_the_device = {"fscrypt_set_bio_crypt_ctx": 2, "fscrypt_mergeable_bio": 2}
    assert (of_the_device if inline else {}) == {s: calls[s] for s in of_the_device if s in calls}


@pytest.mark.parametrize(
    ("ciphers", "page", "setkeys"),
    [(FSCRYPT_WRITES, "fscrypt_encrypt_pagecache_blocks", 0), (RFC2014_WRITES, "ext4_encrypt", 2)],
)
def test_a_page_of_each_scheme(ciphers: WriteCiphers, page: str, setkeys: int) -> None:
    """A page of one block: one call for it, two layers of the cipher, and a key for each page in 2014."""
    rig = WriteRig(delalloc=False, ciphers=ciphers)
    inode = rig.file(8 * PAGE, [(0, 100, 8, False)], encrypted=True)
    rig.run(rig.write(inode, 0, 8 * PAGE), rig.fsync(inode))
    calls = rig.calls()
    expected = {page: 8, "crypto_skcipher_encrypt": 16, "xts_encrypt": 8}
    assert expected == {symbol: calls[symbol] for symbol in expected}
    assert 8 * setkeys == calls.get("crypto_skcipher_setkey", 0)


def test_who_is_journalled() -> None:
    """ext4_inode_journal_mode(): no file that is encrypted, by fs/crypto or by the device."""
    rig = WriteRig(data="journal")
    files = [rig.file(PAGE, number=12 + n, encrypted=n > 0, inline=n > 1) for n in range(3)]
    assert [True, False, False] == [inode.journalled for inode in files]

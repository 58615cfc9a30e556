"""Journals that we make: e2fsprogs reads them, old copies stay in them, and a log goes round."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import debugfs, e2fsck

from sim.errors import ConfigError, ImageError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.scrub import find_words, journal_runs, words_of
from sim.ext4.format.journal import COMMIT, DESCRIPTOR, MAGIC, Journal
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image

SECRET = bytes(range(7, 207))


def image(path: Path, block_size: int = 4096, **spec: int) -> Path:
    """Make an image with a journal, and a file whose xattr lies in a block."""
    files = (FileSpec("/f", 9_000, xattrs={(1, b"key"): SECRET}), FileSpec("/g", 5))
    make_image(path, ImageSpec(files, block_size, journal_blocks=1024, **spec))
    return path


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_e2fsprogs_reads_our_journal(tmp_path: Path, block_size: int) -> None:
    """
    e2fsck finds nothing; debugfs tells the log as empty, and the old transactions in it: superblock,
    descriptors, root and inode when the name was made; inode and xattr block.
    """
    path = image(tmp_path / "a.img", block_size)
    e2fsck(path)
    opened = Image.open(path)
    inode = opened.lookup("/f")
    said = debugfs(path, "logdump -O").decode()
    assert "Found expected sequence 1, type 1 (descriptor block) at block 1" in said
    assert (
        f"FS block {inode.raw.xattr_block} logged at"
        in debugfs(path, f"logdump -O -b {inode.raw.xattr_block}").decode()
    )
    assert "Found expected sequence 2, type 2 (commit block) at block 10" in said
    assert "Journal starts at block 0, transaction 3" in debugfs(path, "logdump").decode()
    [(start, length)] = journal_runs(opened)
    log = path.read_bytes()[start * block_size : (start + length) * block_size]
    assert 1024 == length
    assert find_words(log, words_of([SECRET]))


def test_a_transaction_of_ours_is_replayed_by_e2fsck(tmp_path: Path) -> None:
    """e2fsck -fy puts the logged block in its place; the log is empty afterwards."""
    path = image(tmp_path / "a.img")
    opened = Image.open(path)
    journal = Journal.of(opened)
    target = opened.lookup("/g").tree.extents[0].physical
    magic = MAGIC.to_bytes(4, "big") + bytes(range(100)).ljust(4092, b"x")  # is escaped in the log
    transaction = journal.commit([(target, magic)])
    data = bytearray(path.read_bytes())
    data[0x460] |= 0x4  # needs recovery
    for block, content in (*transaction.logged, transaction.commit, journal.superblock()):
        data[block * 4096 : (block + 1) * 4096] = content
    path.write_bytes(data)
    import subprocess

    from tools import tool

    done = subprocess.run([tool("e2fsck"), "-fy", str(path)], capture_output=True, text=True, check=False)
    assert "recovering journal" in done.stdout + done.stderr
    assert magic == path.read_bytes()[target * 4096 : (target + 1) * 4096]
    e2fsck(path)


def test_the_log_goes_round_and_is_told_again(tmp_path: Path) -> None:
    """1,023 blocks of log: transactions of 600 blocks need two descriptors and wrap to block 1."""
    opened = Image.open(image(tmp_path / "a.img"))
    journal = Journal.of(opened)
    assert (3, 11) == (journal.sequence, journal.head)
    first = journal.blocks[0]
    blocks = [(100_000 + number, bytes([number % 251]) * 4096) for number in range(600)]
    seen = []
    for _ in range(3):
        transaction = journal.commit(blocks)
        kinds = [
            int.from_bytes(data[4:8], "big")
            for _, data in transaction.logged
            if data[:4] == b"\xc0\x3b\x39\x98"
        ]
        assert [DESCRIPTOR, DESCRIPTOR] == kinds
        assert COMMIT == int.from_bytes(transaction.commit[1][4:8], "big")
        seen += [block - first for block, _ in (*transaction.logged, transaction.commit)]
        journal.checkpointed()
    assert [1 + (10 + number) % 1023 for number in range(3 * 603)] == seen
    with pytest.raises(ImageError, match="1100 blocks in a transaction are 1104 of the log; allowed: 1023"):
        journal.commit([(1, bytes(4096))] * 1100)


def test_what_an_unlink_leaves_behind(tmp_path: Path) -> None:
    """
    As the kernel deletes: e2fsck finds nothing, the space is free, and the xattr is in the freed block and in
    the journal. As `rm` deletes: in the journal only.
    """
    for as_kernel, copies in ((True, 2), (False, 1)):
        path = image(tmp_path / f"{as_kernel}.img")
        free = Image.open(path).superblock.free_blocks_count
        editor = ImageEditor(path)
        assert 4 == editor.remove("/f", as_kernel)
        editor.commit(in_place=True)
        e2fsck(path)
        assert free + 4 == Image.open(path).superblock.free_blocks_count
        assert copies == path.read_bytes().count(SECRET)


def test_what_is_no_journal_of_ours(tmp_path: Path) -> None:
    """Too few blocks, an image without one, features that are left out, a log that is not empty."""
    with pytest.raises(ConfigError, match="1000 blocks; allowed: 1024 and more"):
        make_image(tmp_path / "b.img", ImageSpec((), 4096, journal_blocks=1000))
    make_image(tmp_path / "c.img", ImageSpec((), 4096))
    with pytest.raises(ImageError, match="has no journal"):
        Journal.of(Image.open(tmp_path / "c.img"))
    path = image(tmp_path / "a.img")
    start = journal_runs(Image.open(path))[0][0] * 4096
    for at, flip, message in (
        (0x28 + 3, 0x20, "features 0x20"),
        (0x28 + 3, 0x10, "the checksum of its superblock is wrong"),
        (0x28 + 3, 0x18, "checksums of several versions"),
        (0x2C + 3, 0x01, "read-only 0x1"),
        (0x1C + 3, 0x10, "start 16"),
        (0x1C + 2, 0x10, "goes from block 1 to 1024 and begins at 4096"),
        (0, 0x10, "no superblock of version 2"),
    ):
        data = bytearray(path.read_bytes())
        data[start + at] ^= flip
        (tmp_path / "d.img").write_bytes(data)
        with pytest.raises(ImageError, match=message):
            Journal.of(Image.open(tmp_path / "d.img"))

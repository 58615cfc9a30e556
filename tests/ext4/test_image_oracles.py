"""
Images against e2fsprogs, an implementation that is not ours, and against their own manifests.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from ext4_samples import CONTEXT_V2, LAYOUTS, scramble, small_spec
from tools import e2fsck, tool

from sim.errors import ConfigError
from sim.ext4.check.run import check_image
from sim.ext4.format.extents import Extent, plan_tree
from sim.ext4.format.xattr import INDEX_USER
from sim.ext4.make.fiemap import parse_fiemap
from sim.ext4.make.layout import Contiguous, Fragmented, Pattern, Placed, unwritten
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import Encryption, FileSpec, ImageSpec
from sim.ext4.read.reader import Image, Inode

RECORDED = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192" / "layouts"
BLOCK_SIZES = (1024, 2048, 4096)


def debugfs(image: Path, command: str) -> str:
    """Return what debugfs answers."""
    done = subprocess.run(
        [tool("debugfs"), "-R", command, str(image)], capture_output=True, text=True, check=True
    )
    return done.stdout


def debugfs_extents(image: Path, path: str) -> tuple[list[Extent], list[int]]:
    """Return the extents of a file, and its tree blocks in the order of the walk, as debugfs shows them."""
    extents, blocks = [], []
    for line in debugfs(image, f"ex {path}").splitlines()[1:]:
        level, depth, rest = re.match(r"\s*(\d+)/\s*(\d+)\s+\d+/\s*\d+\s+(.*)", line).groups()  # type: ignore[union-attr]
        numbers = [int(word) for word in re.findall(r"\d+", rest)]
        if level == depth:
            extents.append(Extent(numbers[0], numbers[2], numbers[4], "Uninit" in rest))
        else:
            blocks.append(numbers[2])
    return extents, blocks


def walked_blocks(inode: Inode) -> list[int]:
    """Return the tree blocks in the order in which a walk first meets them."""
    return list(dict.fromkeys(block for chain in inode.tree.leaf_chain for block in chain))


def test_inode_tables_are_marked_as_zeroed(tmp_path: Path) -> None:
    """In every group, in the table of descriptors and its copy: no kernel zeroes them in the background."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/a", size_bytes=5),), 1024, 20 << 20))
    data, superblock = path.read_bytes(), Image.open(path).superblock
    assert 3 == superblock.groups_count
    for table in (2 * 1024, (superblock.group_blocks(1).start + 1) * 1024):
        flags = [struct.unpack_from("<H", data, table + 32 * group + 0x12)[0] for group in range(3)]
        assert [0x4] * 3 == flags  # EXT4_BG_INODE_ZEROED


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_every_image_is_sound(tmp_path: Path, block_size: int, layout: str, encrypted: bool) -> None:
    """e2fsck and check find nothing; what is read back has the manifest's digest."""
    path = tmp_path / "a.img"
    encryption = Encryption(CONTEXT_V2, scramble) if encrypted else None
    spec = ImageSpec(
        (FileSpec("/d/f", 200 * block_size + 77, LAYOUTS[layout], encryption=encryption),), block_size
    )
    manifest = make_image(path, spec)
    e2fsck(path)
    image = Image.open(path)
    assert check_image(image) == []
    for record in manifest.files:
        inode = image.lookup(record.path)
        assert (record.inode, record.extents) == (inode.number, len(inode.tree.extents))
        assert record.encrypted == inode.is_encrypted
        data = bytearray(image.read_file(inode, whole_blocks=True))
        if record.encrypted:
            assert inode.encryption_context == CONTEXT_V2
            for block, cipher in image.iter_blocks(inode):
                data[block * block_size : (block + 1) * block_size] = scramble(block, bytes(cipher))
        assert record.sha256 == hashlib.sha256(data[: record.size_bytes]).hexdigest()


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_debugfs_sees_the_same_tree(tmp_path: Path, block_size: int, depth: int) -> None:
    """At every depth debugfs shows our extents, index blocks and leaves, and dumps the same bytes."""
    path, dumped = tmp_path / "a.img", tmp_path / "dump"
    extents = {0: 3, 1: 4 * (block_size // 12 - 1), 2: 4 * (block_size // 12 - 1) + 5}[depth]
    files = (FileSpec("/f", 2 * extents * block_size - 3, Pattern("1d1h")), FileSpec("/u", 9000, unwritten()))
    manifest = make_image(path, ImageSpec(files, block_size))
    e2fsck(path)
    image = Image.open(path)
    for name in ("/f", "/u"):
        inode = image.lookup(name)
        assert (inode.tree.extents, walked_blocks(inode)) == debugfs_extents(path, name)
    assert (extents, depth) == (manifest.file("/f").extents, image.lookup("/f").tree.depth)
    debugfs(path, f"dump /f {dumped}")
    assert image.read_file(image.lookup("/f")) == dumped.read_bytes()


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_small_image_with_everything(tmp_path: Path, block_size: int) -> None:
    """Directories, xattrs in the inode and in a block, given contents: sound for e2fsck, read by debugfs."""
    path = tmp_path / "small.img"
    make_image(path, small_spec(block_size))
    e2fsck(path)
    image = Image.open(path)
    assert image.read_file(image.lookup("/dir/sub/hello")) == b"hello\n"
    noted = image.lookup("/noted")
    assert noted.xattrs == {(INDEX_USER, b"a"): b"small", (INDEX_USER, b"big"): b"B" * 300}
    assert noted.raw.xattr_block
    assert "small" in debugfs(path, "ea_get /noted user.a")
    assert "B" * 300 in debugfs(path, "ea_get /noted user.big")
    names = {name for name, _inode in image.walk()}
    assert {"/lost+found", "/empty", "/dir/sub/hello", "/neighbours"} <= names


def test_slack_behind_the_last_byte_is_zero(tmp_path: Path) -> None:
    """What a file does not use of its last block is zeros, as mmap would show it."""
    make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", 5000),)))
    image = Image.open(tmp_path / "a.img")
    whole = image.read_file(image.lookup("/f"), whole_blocks=True)
    assert (8192, bytes(3192)) == (len(whole), whole[5000:])


def test_same_spec_same_bytes(tmp_path: Path) -> None:
    """An image is a function of its specification; another seed changes uuid and contents."""
    from dataclasses import replace

    spec = small_spec(1024)
    for name, variant in (("a", spec), ("b", spec), ("c", replace(spec, seed=8))):
        make_image(tmp_path / name, variant)
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in "abc"]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_contents_do_not_depend_on_layout_or_block_size(tmp_path: Path) -> None:
    """Without holes a file has one digest, wherever its blocks lie."""
    digests = set()
    for block_size in BLOCK_SIZES:
        for layout in (Contiguous(), Fragmented(2)):
            spec = ImageSpec((FileSpec("/f", 5_000_001, layout),), block_size)
            digests.add(make_image(tmp_path / "a.img", spec).file("/f").sha256)
    assert len(digests) == 1


def test_neighbours_lie_between(tmp_path: Path) -> None:
    """Every block between two extents of a fragmented file belongs to the neighbour in the image."""
    manifest = make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", 64 * 4096, Fragmented(4)),)))
    image = Image.open(tmp_path / "a.img")
    tree = image.lookup("/f").tree
    neighbour = next(record for record in manifest.files if record.neighbour_of == "/f")
    theirs = {e.physical + n for e in image.lookup(neighbour.path).tree.extents for n in range(e.length)}
    assert len(tree.extents) == 16
    for left, right in zip(tree.extents, tree.extents[1:], strict=False):
        assert set(range(left.physical + left.length, right.physical)) <= theirs
        assert right.physical > left.physical + left.length


@pytest.mark.parametrize(
    "name", ["nullmq_bs1024_frag1", "nullmq_bs1024_contig", "nullmq_bs4096_frag4", "nullmq_bs4096_sparse"]
)
def test_recorded_layouts_are_rebuilt(tmp_path: Path, name: str) -> None:
    """A kernel's file gets the same physical blocks in our image, which e2fsck accepts."""
    source = RECORDED / f"layout_{name}.json"
    block_size = 1024 if "bs1024" in name else 4096
    layout = parse_fiemap(name, source.read_text(), block_size)
    make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", None, layout),), block_size))
    e2fsck(tmp_path / "a.img")
    assert list(layout.extents) == Image.open(tmp_path / "a.img").lookup("/f").tree.extents


def test_recorded_tree_blocks_are_kept(tmp_path: Path) -> None:
    """Given places of leaves and index blocks are used in their order: leaves, then indexes."""
    extents = tuple(Extent(2 * n, 3000 + 2 * n, 1, False) for n in range(400))
    blocks = tuple(range(5000, 5000 + 3 * plan_tree(list(extents), 1024).blocks_needed, 3))
    make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", None, Placed(extents, blocks)),), 1024))
    e2fsck(tmp_path / "a.img")
    tree = Image.open(tmp_path / "a.img").lookup("/f").tree
    assert (2, list(blocks)) == (tree.depth, tree.blocks)
    assert blocks[-1] == tree.leaf_chain[0][0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([FileSpec("f", 1)], "cannot be a path"),
        ([FileSpec("/a/../f", 1)], "cannot be a path"),
        ([FileSpec("/f", 1), FileSpec("/f", 1)], "is there twice"),
        ([FileSpec("/f", 1), FileSpec("/f/g", 1)], "a file and a directory"),
        ([FileSpec("/f")], "size"),
        ([FileSpec("/f", 5000, Pattern("1h"), data=b"x" * 5000)], "block 0 would lie in a hole"),
        ([FileSpec("/f", 1, data=b"xy")], "room for the data"),
        ([FileSpec("/f", 1 << 24)], "a larger image"),
        ([FileSpec("/f", 4096, Placed((Extent(0, 0, 1, False),)))], "block 0 of the device"),
        (
            [FileSpec(f"/{name}", 4096, Placed((Extent(0, 9, 1, False),))) for name in "fg"],
            "are not free",
        ),
        ([FileSpec("/f", 1, xattrs={(1, b"n%d" % n): bytes(500) for n in range(9)})], "bytes of xattrs"),
        (
            [FileSpec("/f", 1, encryption=Encryption(CONTEXT_V2, lambda _b, data: data[:-1]))],
            "gave 4095 bytes",
        ),
    ],
)
def test_impossible_images_are_refused(tmp_path: Path, files: list[FileSpec], words: str) -> None:
    """What cannot be made is one ConfigError, and leaves nothing behind."""
    with pytest.raises(ConfigError, match=words):
        make_image(tmp_path / "a.img", ImageSpec(tuple(files), size_bytes=1 << 22))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_mke2fs_images_read_back(tmp_path: Path, block_size: int) -> None:
    """Images made by mke2fs with its default features (journal, checksums, 64bit) give equal digests."""
    source, path = tmp_path / "source", tmp_path / "made.img"
    (source / "dir" / "sub").mkdir(parents=True)
    content = hashlib.shake_256(b"seed").digest(300_001)
    (source / "big").write_bytes(content)
    (source / "dir" / "empty").touch()
    with (source / "dir" / "sparse").open("wb") as file:
        for at in range(0, 600_000, 3 * 4096):
            file.seek(at)
            file.write(content[at % 4096 : at % 4096 + 4096])
        file.truncate(700_000)
    for number in range(200):
        (source / "dir" / "sub" / f"file-{number:04d}").write_bytes(content[: number * 7])
    (source / "link").symlink_to("dir/sub")
    (source / "long-link").symlink_to("x" * 100)
    command = [tool("mke2fs"), "-q", "-t", "ext4", "-b", str(block_size), "-d", str(source), str(path), "16M"]
    subprocess.run(command, check=True, capture_output=True)
    image = Image.open(path)
    assert check_image(image) == []
    found = {name: inode for name, inode in image.walk() if name != "/lost+found"}
    expected = {"/" + str(p.relative_to(source)): p for p in source.rglob("*")}
    assert expected.keys() == found.keys()
    for name, inode in found.items():
        if expected[name].is_symlink():
            assert os.readlink(expected[name]) == image.read_file(inode).decode()
        elif expected[name].is_file():
            assert expected[name].read_bytes() == image.read_file(inode)
            assert int(expected[name].stat().st_mtime) == inode.mtime_ns // 10**9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-O", "bigalloc"], "bigalloc"),
        (["-O", "mmp"], "mmp"),
        (["-O", "casefold"], "casefold"),
        (["-O", "journal_dev"], "journal_dev"),
    ],
)
def test_unsupported_features_are_named(tmp_path: Path, options: list[str], words: str) -> None:
    """A real image with a feature that we do not read is refused by the feature's name."""
    from sim.errors import ImageError

    path = tmp_path / "made.img"
    subprocess.run(
        [tool("mke2fs"), "-q", "-t", "ext4", *options, str(path), "16M"], check=True, capture_output=True
    )
    with pytest.raises(ImageError, match=f"unsupported feature: .*{words}"):
        Image.open(path)

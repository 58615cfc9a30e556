"""fs-verity's tree and descriptor: what the `fsverity` program makes, byte for byte; a naive tree."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import debugfs, e2fsck, found

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.integrity.merkle import (
    ALIGN_BYTES,
    Descriptor,
    area_of,
    build_tree,
    hash_block,
    level_blocks,
    parse_descriptor,
)
from sim.integrity.plan import Plan
from sim.integrity.protect import check_data, protect
from sim.integrity.tagger import Secrets


def blocks_of(data: bytes, size: int) -> list[bytes]:
    """Return the blocks of some data, the last filled up with zeros."""
    return [data[at : at + size].ljust(size, b"\0") for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 130 * 4096, 700_001])
@pytest.mark.parametrize(("block", "salt"), [(4096, b""), (1024, b""), (4096, b"salty"), (1024, bytes(32))])
def test_the_program_makes_the_same(tmp_path: Path, size: int, block: int, salt: bytes) -> None:
    """Tree, descriptor and digest, from no block to three levels, with and without salt."""
    program = found("fsverity")
    if program is None:
        pytest.skip("fsverity is not installed")
    data = (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]
    (tmp_path / "f").write_bytes(data)
    words = ["digest", tmp_path / "f", f"--block-size={block}", f"--out-merkle-tree={tmp_path / 't'}"]
    words += [f"--out-descriptor={tmp_path / 'd'}", "--compact", *([f"--salt={salt.hex()}"] if salt else [])]
    said = subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    tree = build_tree(blocks_of(data, block), block, salt)
    descriptor = Descriptor(block, size, tree.root, salt)
    assert (tmp_path / "t").read_bytes() == tree.encode()
    assert (tmp_path / "d").read_bytes() == descriptor.encode()
    assert said.split()[0].removeprefix("sha256:") == descriptor.digest.hex()
    assert descriptor == parse_descriptor(descriptor.encode(), "here")


@given(st.binary(max_size=9000), st.sampled_from([b"", b"s"]))
def test_a_naive_tree(data: bytes, salt: bytes) -> None:
    """The root by recursion over ever fewer hashes of 32 in a row; every block of the tree is counted."""

    def root(parts: list[bytes]) -> bytes:
        hashes = [hash_block(part, salt) for part in parts]
        return hashes[0] if len(hashes) == 1 else root(blocks_of(b"".join(hashes), 1024))

    tree = build_tree(blocks_of(data, 1024), 1024, salt)
    assert tree.root == (root(blocks_of(data, 1024)) if data else bytes(32))
    assert [len(level) for level in tree.levels] == level_blocks(-(-len(data) // 1024), 1024)
    assert tree.blocks * 1024 == len(tree.encode())


def test_sizes_that_a_kernel_was_seen_with() -> None:
    """Blocks of hashes of 2 and 8 MiB, as recorded: 4 + 1, 16 + 1; the area begins after whole 64 KiB."""
    assert [[4, 1], [16, 1]] == [level_blocks(mib << 20 >> 12, 4096) for mib in (2, 8)]
    area = area_of(100_000, 4096)
    assert (2 * ALIGN_BYTES // 4096, 1, 33, 34) == (area.first, area.tree_blocks, area.descriptor, area.end)


def test_what_is_no_descriptor() -> None:
    """Another version, algorithm, a signature, a block size that cannot be, too short."""
    good = bytearray(Descriptor(4096, 5, bytes(32)).encode())
    assert 256 == len(good)
    for at, value in ((0, 2), (1, 2), (2, 9), (3, 33), (4, 1), (255, 1)):
        raw = bytearray(good)
        raw[at] = value
        with pytest.raises(ImageError, match="here: "):
            parse_descriptor(bytes(raw), "here")
    with pytest.raises(ImageError, match="of 255 bytes"):
        parse_descriptor(bytes(good[:-1]), "here")


def test_on_an_image_as_ext4_has_it(tmp_path: Path) -> None:
    """debugfs reads the tree where ext4 looks for it, e2fsck lets it be, and a changed size is told."""
    path, size = tmp_path / "a.img", 300_000
    make_image(path, ImageSpec((FileSpec("/f", size, Fragmented(7)),), 4096, size_bytes=8 << 20))
    editor = FileEditor(path)
    protect(editor, Plan.of("merkle", "checksum", "sha256"), Secrets())
    editor.commit()
    e2fsck(path)
    image = Image.open(path)
    data = image.read_file(image.lookup("/f"))
    tree = build_tree(blocks_of(data, 4096), 4096)
    area = area_of(size, 4096)
    raw = debugfs(path, f"bmap /f {area.first}")
    assert image.lookup("/f").tree.find(area.first).physical == int(raw.split()[-1])
    assert tree.levels[-1][0] == bytes(image.read_block(int(raw.split()[-1])))
    last = image.lookup("/f").tree.find(area.end - 1)
    assert (256).to_bytes(4, "little") == bytes(
        image.read_block(last.physical + area.end - 1 - last.logical)
    )[-4:]
    whole = path.read_bytes()
    physical = image.lookup("/f").tree.find(size // 4096)
    behind = (physical.physical + size // 4096 - physical.logical) * 4096 + 4095
    path.write_bytes(whole[:behind] + b"!" + whole[behind + 1 :])
    (bad,) = check_data(Image.open(path), Secrets()).bad
    assert ("data", "/f", size // 4096) == (bad.what, bad.path, bad.logical)
    editor = FileEditor(path)
    protect(editor, Plan.of("merkle", "checksum", "sha256"), Secrets())
    editor.commit()
    assert whole == path.read_bytes()  # zeros behind the last byte again
    debugfs(path, "sif /f size 299999", write=True)
    (bad,) = check_data(Image.open(path), Secrets()).bad
    assert ("missing", "/f") == (bad.what, bad.path)

"""What a reader reads and hashes to verify: fs-verity as a kernel was recorded, the others by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integrity_kit import BLOCK, protected

from sim.ext4.edit.files import FileEditor
from sim.ext4.make.layout import Contiguous, Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.integrity.plan import Plan, plan_of
from sim.integrity.protect import protect
from sim.integrity.reading import AFTER, BEFORE, WITH, Reader
from sim.integrity.tables import geometry
from sim.integrity.tagger import Secrets


def reader(path: Path, blocks: int, *words: object, layout: object = None) -> tuple[Image, Plan, Reader]:
    """Return a reader of a file of so many blocks of 4 KiB, with tags of a plan."""
    said = FileSpec("/f", blocks * 4096, layout or Contiguous())
    make_image(path, ImageSpec((said,), 4096, size_bytes=(2 * blocks + 400) * 4096))
    editor = FileEditor(path)
    protect(editor, Plan.of(*words), Secrets())
    editor.commit()
    image = Image.open(path)
    plan = plan_of(image)
    return image, plan, Reader(image, plan, "/f")


def test_fs_verity_as_recorded(tmp_path) -> None:
    """
    2 MiB in order: fsverity_hash_page 512 + 4 + 1, five pages of the tree, leaf before root. 8 MiB, 32 pages
    at random: 32 + 10 + 1, and one more that is read again needs no page of the tree.
    """
    image, _plan, seq = reader(tmp_path / "a.img", 512, "merkle", "checksum", "sha256")
    costs = [seq.read(at, 32) for at in range(0, 512, 32)]
    assert 517 == sum(cost.hashed_blocks for cost in costs)
    tree = [block for cost in costs for block in cost.tag_blocks]
    extent = image.lookup("/f").tree.find(512)
    root = extent.physical + 512 - extent.logical
    assert [root + at for at in (1, 0, 2, 3, 4)] == tree
    assert {AFTER} == {cost.when for cost in costs}
    _image, _plan, rand = reader(tmp_path / "b.img", 2048, "merkle", "checksum", "sha256")
    costs = [rand.read(5 + 37 * number, 1) for number in range(32)]
    assert 43 == sum(cost.hashed_blocks for cost in costs)
    assert 11 == sum(len(cost.tag_blocks) for cost in costs)
    again = rand.read(0, 1)
    assert (1, 1, ()) == (again.data_blocks, again.hashed_blocks, again.tag_blocks)


@pytest.mark.parametrize(("most", "more", "tags"), [(1, 0, 1), (8, 7 * 16, 1), (0, 127, 0)])
def test_a_run_is_read_whole(tmp_path, most, more, tags) -> None:
    """16 random blocks of 128: with a tag a block nothing besides, with 8 seven each, with one tag all."""
    image, _plan, one = reader(tmp_path / "a.img", 128, "per_extent", "checksum", "crc32c", most)
    costs = [one.read(8 * number + 3, 1) for number in range(16)]
    assert more == sum(cost.more_blocks for cost in costs)
    assert tags == sum(len(cost.tag_blocks) for cost in costs) == bool(image.lookup("/f").raw.xattr_block)
    assert {BEFORE} == {cost.when for cost in costs}
    assert 0 == one.read(0, 128).more_blocks
    assert 0 == one.read(0, 128).hashed_blocks


def test_extents_bound_what_is_read(tmp_path) -> None:
    """One tag an extent, extents of four blocks: three besides each, whatever the bound above that."""
    for number, most in enumerate((0, 4, 64)):
        path = tmp_path / f"{number}.img"
        _i, _p, one = reader(path, 64, "per_extent", "checksum", "crc32c", most, layout=Fragmented(4))
        assert [3] * 16 == [one.read(4 * at + 1, 1).more_blocks for at in range(16)]


def test_a_table_is_read_with_the_data(tmp_path) -> None:
    """One block of it has the tags of 1,023 in a row; each is read and hashed once."""
    image, plan, one = reader(tmp_path / "a.img", 1500, "table_data", "checksum", "crc32c")
    own = geometry(image, plan).own
    costs = [one.read(at, 100) for at in range(0, 1500, 100)]
    assert set(own) >= {block for cost in costs for block in cost.tag_blocks}
    rows = sum(len(cost.tag_blocks) for cost in costs)
    assert 2 <= rows <= 3
    assert 1500 + rows == sum(cost.hashed_blocks for cost in costs)
    assert {WITH} == {cost.when for cost in costs}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    st.sampled_from([("table_all", "crc32c", 0), ("per_extent", "crc32c", 2), ("merkle", "sha256", 0)]),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9)), max_size=12),
)
def test_nothing_is_read_twice(tmp_path_factory, said, reads) -> None:
    """Every block of data and of tags once; what was asked for is there afterwards, all of it verified."""
    path = tmp_path_factory.mktemp("reads") / "a.img"
    plan, _secrets = protected(path, (said[0], "checksum", said[1], said[2]))
    image = Image.open(path)
    one = Reader(image, plan_of(image) or plan, "/a")
    data, tags, asked = 0, list[int](), set[int]()
    for first, blocks in reads:
        cost = one.read(first, blocks)
        data += cost.data_blocks + cost.more_blocks
        tags += cost.tag_blocks
        asked |= set(range(first, min(first + blocks, 40)))
        assert cost.hashed_bytes >= (cost.data_blocks + cost.more_blocks) * BLOCK
    assert len(set(tags)) == len(tags)
    assert len(asked) <= data <= 40
    assert data == len(asked) or said[0] == "per_extent"
    assert (0, 0) == (one.read(0, 0).data_blocks, len(one.read(0, 0).tag_blocks)) or said[0] == "per_extent"

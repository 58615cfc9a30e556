"""Tags on images: what was written holds, a flipped bit is told with its place, e2fsck finds nothing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integrity_kit import BLOCK, PLANS, VOLUME_KEY, checked, ids, make_plain, protected
from tools import MKE2FS_KINDS, debugfs, e2fsck, mke2fs

from sim.errors import ConfigError, ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.findings import DATA, GONE, PLAN, TAGS
from sim.integrity.plan import PLAN_KEY, Plan, plan_of
from sim.integrity.protect import check_data, protect
from sim.integrity.tagger import Secrets

every_plan = pytest.mark.parametrize("said", PLANS, ids=ids)


@pytest.fixture(scope="module")
def images(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str, str, int], tuple[bytes, Secrets]]:
    """The bytes of an image of each plan, and its keys."""
    folder, made = tmp_path_factory.mktemp("tags"), {}
    for said in PLANS:
        _plan, secrets = protected(folder / "a.img", said)
        made[said] = (folder / "a.img").read_bytes(), secrets
    return made


@every_plan
def test_what_was_written_holds(images, tmp_path, said) -> None:
    """Nothing is found, every unit is judged, e2fsck has nothing to mend, the plan is read back."""
    raw, secrets = images[said]
    found = checked(raw, secrets)
    assert ([], 0) == (found.bad, found.unjudged)
    assert found.units > 3
    (tmp_path / "a.img").write_bytes(raw)
    e2fsck(tmp_path / "a.img")
    plan = plan_of(Image.open(tmp_path / "a.img"), secrets.volume)
    assert said == (plan.layout, plan.scheme.name, plan.algorithm.name, plan.extent_blocks)


@every_plan
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(data=st.data())
def test_one_flipped_bit(images, said, data: st.DataObject) -> None:
    """Of any block of any file: told as this block of this file, and nothing else is."""
    raw, secrets = images[said]
    image = Image(MemoryStore(raw))
    path = data.draw(st.sampled_from(["/a", "/b", "/c"]))
    inode = image.lookup(path)
    blocks = [
        (logical + at, physical + at)
        for logical, length, physical in image.runs(inode)
        if physical is not None
        for at in range(length)
    ]
    logical, physical = data.draw(st.sampled_from(blocks))
    bit = data.draw(st.integers(0, 8 * BLOCK - 1))
    broken = bytearray(raw)
    broken[physical * BLOCK + (bit >> 3)] ^= 1 << (bit & 7)
    (bad,) = checked(broken, secrets).bad
    assert (DATA, path, inode.number) == (bad.what, bad.path, bad.inode)
    assert bad.logical <= logical < bad.logical + bad.blocks
    assert bad.physical <= physical < bad.physical + bad.blocks
    assert bad.expected != bad.found


@every_plan
def test_the_tags_themselves(images, said) -> None:
    """A bit of a list, of a block of the table or the tree: told by the tags' own tags."""
    raw, secrets = images[said]
    image = Image(MemoryStore(raw))
    plan = plan_of(image, secrets.volume)
    if plan.is_table:
        at = image.inode(plan.table_inode).tree.extents[0].physical * BLOCK
    elif plan.layout == "merkle":
        extent = next(e for e in image.lookup("/a").tree.extents if e.logical >= 64)
        at = extent.physical * BLOCK
    else:
        at = raw.index(b"rptg") + 20
    broken = bytearray(raw)
    broken[at] ^= 1
    what = {bad.what for bad in checked(broken, secrets).bad}
    assert TAGS in what


@every_plan
def test_without_keys(images, said) -> None:
    """Without any key, schemes of keys judge nothing that is under one; those without judge all the same."""
    raw, secrets = images[said]
    found = checked(raw, Secrets())
    assert [] == found.bad
    keyed = bool(secrets.volume or secrets.files)
    assert keyed == (found.unjudged > 0)


def test_schemes_and_layouts_that_do_not_go_together() -> None:
    """One line each, with what does."""
    for words, told in (
        (
            ("tabel", "checksum", "crc32c"),
            "layout: 'tabel'.*table_all, table_data, per_extent, merkle, per_extent_place",
        ),
        (("table_all", "sum", "crc32c"), "scheme: 'sum'.*checksum, mac"),
        (("table_all", "checksum", "aes-cmac"), "scheme checksum: aes-cmac.*crc32c, xxh64, sha256, blake2b"),
        (("table_all", "mac", "sha256"), "scheme mac: sha256.*hmac-sha256, aes-cmac, aes-256-gcm"),
        (("merkle", "checksum", "crc32c"), "layout merkle: checksum with crc32c.*sha256"),
        (("per_extent", "aead", "aes-cmac"), "scheme aead: aes-cmac"),
        (("table_all", "checksum", "crc32c", 4), "extents of 4 blocks"),
        (("per_extent_place", "mac", "aes-256-gcm"), "aes-256-gcm; allowed: an algorithm without a counter"),
    ):
        with pytest.raises(ConfigError, match=told):
            Plan.of(*words)


def test_another_plan_is_refused(tmp_path) -> None:
    """Tags of one kind at a time; the same again is no change; without keys none are made."""
    protected(tmp_path / "a.img", ("table_data", "checksum", "crc32c", 0))
    before = (tmp_path / "a.img").read_bytes()
    editor = FileEditor(tmp_path / "a.img")
    with pytest.raises(ImageError, match="has tags of another plan"):
        protect(editor, Plan.of("table_all", "checksum", "crc32c"), Secrets())
    editor = FileEditor(tmp_path / "a.img")
    protect(editor, Plan.of("table_data", "checksum", "crc32c"), Secrets())
    assert 0 == editor.commit()
    assert before == (tmp_path / "a.img").read_bytes()
    make_plain(tmp_path / "b.img")
    editor = FileEditor(tmp_path / "b.img")
    with pytest.raises(ImageError, match="no key of the volume; allowed: keys for mac"):
        protect(editor, Plan.of("table_all", "mac", "aes-cmac"), Secrets())
    assert check_data(Image.open(tmp_path / "b.img"), Secrets()) is None


def test_a_file_of_the_tables_name_that_is_somebodys(tmp_path) -> None:
    """It is not written over, and with extents it has tags as every file."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/.checksums", 3 * BLOCK),), BLOCK, size_bytes=200 * BLOCK))
    before = path.read_bytes()
    with pytest.raises(ImageError, match="checksums: is there already"):
        protect(FileEditor(path), Plan.of("table_all", "checksum", "crc32c"), Secrets())
    editor = FileEditor(path)
    protect(editor, Plan.of("per_extent", "checksum", "crc32c"), Secrets())
    editor.commit()
    physical = Image.open(path).lookup("/.checksums").tree.extents[0].physical
    raw = bytearray(path.read_bytes())
    assert before[physical * BLOCK : (physical + 3) * BLOCK] == raw[physical * BLOCK : (physical + 3) * BLOCK]
    raw[physical * BLOCK] ^= 1
    (bad,) = checked(raw, Secrets()).bad
    assert (DATA, "/.checksums") == (bad.what, bad.path)


def test_who_has_the_key_believes_no_other_plan(tmp_path) -> None:
    """Taken away, put in another's place, or with one bit changed: a finding, and the only one."""
    plan, secrets = protected(tmp_path / "a.img", ("per_extent", "mac", "aes-cmac", 1))
    weaker = Plan.of("per_extent", "checksum", "crc32c", 1).encode(b"")
    good = plan.encode(VOLUME_KEY)
    for value in (None, weaker, good[:-1] + bytes([good[-1] ^ 1]), good[:9] + b"\x07" + good[10:], b"no"):
        editor = FileEditor(tmp_path / "a.img")
        xattrs = dict(editor.image.inode(2).xattrs)
        xattrs.pop(PLAN_KEY)
        editor.set_xattrs(2, xattrs if value is None else {**xattrs, PLAN_KEY: value})
        editor.commit()
        found = check_data(Image.open(tmp_path / "a.img"), secrets)
        assert [PLAN] == [bad.what for bad in found.bad]
        editor = FileEditor(tmp_path / "a.img")
        editor.set_xattrs(2, {**xattrs, PLAN_KEY: good})
        editor.commit()
    assert [] == check_data(Image.open(tmp_path / "a.img"), secrets).bad


@pytest.mark.parametrize("said", [p for p in PLANS if p[0] == "per_extent"][:4], ids=ids)
def test_a_file_that_lost_or_gained_blocks(tmp_path, said) -> None:
    """Its length, a block that became a hole, a list that is gone: each is told."""
    _plan, secrets = protected(tmp_path / "a.img", said)
    debugfs(tmp_path / "a.img", "sif /c size 600", write=True)
    found = check_data(Image.open(tmp_path / "a.img"), secrets)
    assert [(GONE, "/c")] == [(bad.what, bad.path) for bad in found.bad]
    protected(tmp_path / "a.img", said)
    editor = FileEditor(tmp_path / "a.img")
    inode = editor.image.lookup("/a")
    first, *rest = inode.tree.extents
    editor.set_extents(inode.number, rest)
    editor.free_blocks(range(first.physical, first.physical + first.length))
    editor.set_xattrs(editor.image.lookup("/b").number, {})
    editor.commit()
    found = check_data(Image.open(tmp_path / "a.img"), secrets)
    assert {(GONE, "/a"), (GONE, "/b")} == {(bad.what, bad.path) for bad in found.bad}


def test_a_block_that_nobody_has_made_a_tag_of(tmp_path) -> None:
    """A hole that was filled with a block behind the tags' back: told with its place."""
    _plan, secrets = protected(tmp_path / "a.img", ("per_extent", "checksum", "crc32c", 0))
    editor = FileEditor(tmp_path / "a.img")
    inode = editor.image.lookup("/b")
    assert inode.tree.find(3) is None
    (extra,) = editor.new_extents(3, 1, "here")
    editor.set_extents(inode.number, sorted([*inode.tree.extents, extra]))
    editor.commit()
    (bad,) = check_data(Image.open(tmp_path / "a.img"), secrets).bad
    assert (GONE, "/b", 3, extra.physical) == (bad.what, bad.path, bad.logical, bad.physical)


@pytest.mark.parametrize("kind", MKE2FS_KINDS)
@pytest.mark.parametrize("layout", ["table_all", "table_data", "per_extent", "merkle"])
def test_images_of_mke2fs(tmp_path, kind, layout) -> None:
    """With a journal and metadata checksums: e2fsck is content, and one byte through debugfs is found."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "f").write_bytes(bytes(range(256)) * 200)
    image = tmp_path / "a.img"
    mke2fs(image, tmp_path / "source", *MKE2FS_KINDS[kind], size="4M")
    editor = FileEditor(image)
    algorithm = "sha256" if layout == "merkle" else "crc32c"
    protect(editor, Plan.of(layout, "checksum", algorithm), Secrets())
    editor.commit()
    e2fsck(image)
    opened = Image.open(image)
    assert [] == check_data(opened, Secrets()).bad
    physical = opened.lookup("/f").tree.extents[0].physical
    debugfs(image, "zap_block -f /f -o 3 -l 1 -p 0x55 1", write=True)
    (bad,) = check_data(Image.open(image), Secrets()).bad
    assert (DATA, "/f", physical + (1 if bad.blocks == 1 else 0)) == (bad.what, bad.path, bad.physical)

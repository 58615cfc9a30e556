"""Whatever lies where tags should lie: a check tells, or says in one line that it cannot be read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integrity_kit import BLOCK, ids, protected
from tools import debugfs

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.plan import Plan, plan_of
from sim.integrity.protect import check_data, protect
from sim.integrity.tagger import Secrets

SAMPLE = [
    ("table_data", "checksum", "crc32c", 0),
    ("per_extent", "checksum", "crc32c", 1),
    ("per_extent", "mac", "aes-256-gcm", 0),
    ("merkle", "checksum", "sha256", 0),
    ("table_all", "checksum-then-encrypt", "crc32c", 0),
]
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def places(raw: bytes, secrets: Secrets) -> list[int]:
    """Return where in an image what a check reads lies: plan, lists, descriptors, inodes."""
    image = Image(MemoryStore(raw))
    plan = plan_of(image, secrets.volume)
    assert plan is not None
    found = [raw.index(b"rpin")]
    at = raw.find(b"rptg")
    while at >= 0:
        found.append(at)
        at = raw.find(b"rptg", at + 1)
    for path in ("/a", "/b", "/c"):
        inode = image.lookup(path)
        found.append(image.group(0).inode_table * BLOCK + (inode.number - 1) * 256)
        if plan.layout == "merkle":
            extents = [e for e in inode.tree.extents if e.logical >= inode.blocks]
            found += [e.physical * BLOCK for e in extents]
            found.append((extents[-1].physical + extents[-1].length) * BLOCK - BLOCK)
    if plan.is_table:
        found.append(image.group(0).inode_table * BLOCK + (plan.table_inode - 1) * 256)
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory):
    """The bytes of an image of each plan, its keys, and where damage is to go."""
    folder, made = tmp_path_factory.mktemp("damage"), {}
    for said in SAMPLE:
        _plan, secrets = protected(folder / "a.img", said)
        raw = (folder / "a.img").read_bytes()
        made[said] = raw, secrets, places(raw, secrets)
    return made


@pytest.mark.parametrize("said", SAMPLE, ids=ids)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(data=st.data())
def test_damage_to_what_says_where_tags_are(images, said, data: st.DataObject) -> None:
    """Up to three fields set to numbers at the edges: never another error, never without end."""
    raw, secrets, where = images[said]
    broken = bytearray(raw)
    for _count in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(where)) + data.draw(st.integers(0, 255))
        width = data.draw(st.sampled_from([1, 2, 4]))
        value = data.draw(st.sampled_from(EDGES)) & ((1 << 8 * width) - 1)
        broken[at : at + width] = value.to_bytes(width, "little")
    with suppress(ImageError):
        found = check_data(Image(MemoryStore(broken)), secrets)
        assert found is None or found.units >= 0


def test_a_run_that_would_not_end(images) -> None:
    """A list that claims 2^32 - 1 blocks is told, and no list of so many is made."""
    said = ("per_extent", "checksum", "crc32c", 1)
    raw, secrets, _where = images[said]
    at = raw.index(b"rptg") + 20
    broken = raw[:at] + bytes(4) + b"\xff" * 4 + raw[at + 8 :]
    found = check_data(Image(MemoryStore(broken)), secrets)
    assert {"missing", "tags"} <= {bad.what for bad in found.bad}


def test_a_tree_that_no_image_can_hold(tmp_path: Path) -> None:
    """Over a file of holes: refused, before anything is hashed."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/a", 5000),), 1024, size_bytes=300 * 1024))
    debugfs(path, f"sif /a size {1 << 40}", write=True)
    with pytest.raises(ImageError, match=r"a tree over 1073741824 blocks, holes included"):
        protect(FileEditor(path), Plan.of("merkle", "checksum", "sha256"), Secrets())

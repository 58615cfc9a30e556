"""Writing one block keeps the tags right, costs what it says, and is what making all tags anew would be."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integrity_kit import BLOCK, PLANS, ids, protected

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.read.reader import Image
from sim.integrity.plan import Plan
from sim.integrity.protect import check_data, protect
from sim.integrity.update import update_block


@pytest.mark.parametrize("said", PLANS, ids=ids)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=4)
@given(
    writes=st.lists(
        st.tuples(
            st.sampled_from([("/a", at) for at in range(40)] + [("/b", 0), ("/c", 0)]), st.integers(1, 255)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_tags_follow_writes(tmp_path_factory, said, writes) -> None:
    """After each write nothing is bad; without a counter, the image is as if all tags had been made anew."""
    path = tmp_path_factory.mktemp("update") / "a.img"
    plan, secrets = protected(path, said)
    editor = FileEditor(path)
    for (name, block), byte in writes:
        update_block(editor, secrets, name, block, bytes([byte]) * BLOCK)
        found = check_data(editor.image, secrets)
        assert found is not None
        assert [] == found.bad
    editor.commit()
    before = path.read_bytes()
    again = FileEditor(path)
    protect(again, Plan.of(*said), secrets)
    if not plan.algorithm.counted:
        again.commit()
        assert before == path.read_bytes()


@pytest.mark.parametrize(
    ("said", "hashed", "read", "written"),
    [
        # the block and the row of the table less its own tag; the row is read; both are written
        (("table_data", "checksum", "crc32c", 0), BLOCK + BLOCK - 4, BLOCK, 2 * BLOCK),
        # a list of 40 runs: 20 + 40 x 12 bytes and its own tag of 4
        (("per_extent", "checksum", "crc32c", 1), BLOCK + 500, 504, BLOCK + 504),
        # eight runs of five blocks: four more of the run are read
        (("per_extent", "checksum", "crc32c", 8), 5 * BLOCK + 116, 4 * BLOCK + 120, BLOCK + 120),
    ],
)
def test_what_a_write_costs(tmp_path, said, hashed, read, written) -> None:
    """By hand, of /a: 40 blocks of 1 KiB in extents of five."""
    _plan, secrets = protected(tmp_path / "a.img", said)
    cost = update_block(FileEditor(tmp_path / "a.img"), secrets, "/a", 3, bytes(BLOCK))
    assert (hashed, read, written) == (cost.hashed_bytes, cost.read_bytes, cost.written_bytes)


def test_what_cannot_be_written(tmp_path) -> None:
    """A hole, and a block under the cipher's own tags that does not open."""
    path = tmp_path / "a.img"
    _plan, secrets = protected(path, ("per_extent", "aead", "aes-256-gcm", 0))
    with pytest.raises(ImageError, match="block 3 is a hole"):
        update_block(FileEditor(path), secrets, "/b", 3, bytes(BLOCK))
    physical = Image.open(path).lookup("/a").tree.extents[0].physical
    raw = bytearray(path.read_bytes())
    raw[physical * BLOCK] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ImageError, match="block 0 does not open"):
        update_block(FileEditor(path), secrets, "/a", 1, bytes(BLOCK))

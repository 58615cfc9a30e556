"""Clones under each kind of encryption and of tags: the page has what was run, and e2fsck is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import e2fsck
from typer.testing import CliRunner
from verbs_kit import run

from sim.cli.image.app import app
from sim.cli.image.sharing import sharing_table
from sim.errors import ConfigError, ImageError
from sim.ext4.edit.reflink import ReflinkEditor
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.volume.reflink.matrix import COST, LAYOUTS, NO, WORKS, run_matrix
from sim.volume.reflink.subjects import BLOCKS, CLONE, PLAIN, SOURCE, SUBJECTS, edited

PAGE = Path(__file__).parents[2] / "docs" / "integrity.md"


@pytest.fixture(scope="module")
def cells():
    """Every cell, by encryption and layout."""
    return {(cell.encryption, cell.layout): cell for cell in run_matrix()}


def test_the_page_has_what_was_run(cells) -> None:
    """The table between its marks is what `readpath image sharing` prints."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- readpath image sharing -->\n")[2].partition("\n<!-- end of sharing -->")[0]
    assert shown == sharing_table(list(cells.values()))


def test_what_came_of_it(cells) -> None:
    """Tables, and what is below the file system, cost nothing; a tag that names its file all data."""
    assert len(SUBJECTS) * len(LAYOUTS) == len(cells)
    for (encryption, layout), cell in cells.items():
        impossible = encryption.endswith(("own nonce", "own key", "IV_INO_LBLK_64")) or "GCM" in encryption
        assert (cell.outcome == NO) == impossible, cell
        if impossible:
            assert ("nonce twice" if "GCM" in encryption else "reads as noise") in cell.costs[0], cell
        elif encryption in ("none", "dm-crypt"):
            free = layout == "no tags" or layout.startswith("table")
            assert cell.outcome == (WORKS if free else COST), cell
        else:
            assert cell.outcome == COST, cell
        if not impossible:
            hashed = layout.startswith("per_extent") and "place" not in layout
            assert hashed == (cell.hashed_bytes >= BLOCKS * 4096), cell
            assert BLOCKS - 1 == cell.saved_blocks, cell  # the file of counts has one block


@pytest.mark.parametrize("name", ["none", "file-keys XTS, same key", "fscrypt, same nonce", "ecryptfs"])
def test_e2fsck_is_content_with_a_clone(name, tmp_path) -> None:
    """Whatever a clone was given; and both read as the source did."""
    subject = SUBJECTS[name]

    def clone(editor: ReflinkEditor) -> None:
        editor.clone(SOURCE, CLONE)
        subject.adopt(editor)

    (tmp_path / "a.img").write_bytes(edited(subject.make(), clone, ReflinkEditor))
    e2fsck(tmp_path / "a.img")
    image = Image.open(tmp_path / "a.img")
    assert PLAIN == subject.read(image, SOURCE) == subject.read(image, CLONE)


def test_the_verbs(tmp_path) -> None:
    """A clone by `image clone`, what it says, and that rm leaves the other; an encrypted file is refused."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/a", data=PLAIN), FileSpec("/e", 5000)), 4096, size_bytes=1 << 20))
    said = CliRunner().invoke(app, ["clone", str(path), "/a", "/c"])
    assert "/c: shares 1 extents of /a; 15 blocks of data for 27" in said.stdout
    assert "a kernel mounts it read-only" in said.stderr
    e2fsck(path)
    with pytest.raises(ImageError, match="is there already"):
        run("clone", path, "/a", "/c")
    with pytest.raises(ImageError, match="shared_blocks is not kept up here"):
        run("protect", path, "--layout", "table_data", "--algorithm", "crc32c")
    said = json.loads(run("clone", path, "/c", "/d", "--json").stdout)
    assert (39, 15, 12) == (said["blocks_of_files"], said["blocks_used"], said["blocks_shared"])
    for name in ("/a", "/d"):
        run("rm", path, name)
        e2fsck(path)
        assert PLAIN == Image.open(path).read_file(Image.open(path).lookup("/c"))
    users = tmp_path / "users.toml"
    run("userkey", users, "alice", "--seed", 1)
    run("encrypt", path, "/e", "--keys", users, "--user", "alice", "--seed", 2)
    with pytest.raises(ConfigError, match="/e is encrypted"):
        run("clone", path, "/e", "/f")
    with pytest.raises(ConfigError, match=r"image sharing: 'rot13'; allowed: none, dm-crypt"):
        run("sharing", "rot13")
    assert 3 == len(run("sharing", "none").stdout.split("\n\n")[0].splitlines())

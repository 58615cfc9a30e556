"""
readpath image: make, ls, extents, cat, check.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sim.cli.image.app import app
from sim.cli.image.verbs import parse_file_word
from sim.errors import ConfigError, ImageError, ReadpathError
from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Pattern
from sim.ext4.make.table import parse_layout, parse_spec
from sim.ext4.read.reader import Image

FSCRYPT = Path(__file__).parents[1] / "data" / "fscrypt_4k"

SPEC = """
block_size = "1KiB"
seed = 3
directories = ["/empty"]
[[files]]
name = "data"
size = "1MiB"
layout = { kind = "fragmented", extent = "4KiB" }
xattrs = { "user.note" = "text" }
[[files]]
path = "/dir/recorded"
layout = { kind = "fiemap", path = "map.json" }
"""


def run(*words: object) -> Result:
    """Run a verb; an error that a user would see as one line is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, ReadpathError):
        raise result.exception
    return result


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image made from a TOML file."""
    (tmp_path / "map.json").write_text('{"block_size": 1024, "extents": [[0, 3072000, 2048, 1]]}')
    (tmp_path / "spec.toml").write_text(SPEC)
    result = run("make", tmp_path / "spec.toml", tmp_path / "a.img", "--json")
    assert 0 == result.exit_code
    (tmp_path / "manifest.json").write_text(result.stdout)
    return tmp_path / "a.img"


def _json(*words: object) -> Any:
    result = run(*words, "--json")
    return json.loads(result.stdout)


def test_make_and_ls(image: Path) -> None:
    """What the TOML file asks for is in the image, with layouts, xattrs and directories."""
    rows = {row["path"]: row for row in _json("ls", image, "-R")}
    assert {"/data", "/dir", "/dir/recorded", "/empty", "/lost+found", "/neighbours"} <= rows.keys()
    # 256 extents of 4 blocks, one of which a superblock backup may cut in two.
    assert rows["/data"]["extents"] in (256, 257)
    assert (1, 0, 2048) == tuple(rows["/dir/recorded"][key] for key in ("extents", "depth", "size_bytes"))
    assert b"text" == Image.open(image).lookup("/data").xattrs[1, b"note"]
    assert ["/dir/recorded"] == [row["path"] for row in _json("ls", image, "/dir")]
    assert "/data" in run("ls", image).stdout


def test_extents(image: Path) -> None:
    """The tree is shown with its leaves, and the recorded file where it was."""
    tree = _json("extents", image, "/dir/recorded")
    assert (0, [[0, 3000, 2, False]]) == (tree["depth"], tree["leaves"][0]["extents"])
    tree = _json("extents", image, "/data")
    assert (1, 4) == (tree["depth"], len(tree["leaves"]))
    text = run("extents", image, "/data").stdout
    assert all(f"leaf block {block}," in text for block in tree["tree_blocks"])


def test_cat_gives_the_digest_of_the_manifest(image: Path) -> None:
    """cat writes the bytes whose digest make told."""
    manifest = json.loads((image.parent / "manifest.json").read_text())
    for record in manifest["files"]:
        data = run("cat", image, record["path"]).stdout_bytes
        assert record["sha256"] == hashlib.sha256(data).hexdigest()


def test_cat_decrypts(tmp_path: Path) -> None:
    """With the keys, cat gives the plaintext of every file that a kernel encrypted; without, ciphertext."""
    path = tmp_path / "kernel.img"
    path.write_bytes(lzma.decompress((FSCRYPT / "fscrypt_4k.img.xz").read_bytes()))
    keys = tmp_path / "keys.json"
    keys.write_bytes((FSCRYPT / "keys.json").read_bytes())
    keys.chmod(0o600)
    names = {row["inode"]: row["path"] for row in _json("ls", path, "-R")}
    records = [json.loads(line) for line in (FSCRYPT / "files.jsonl").read_text().splitlines()]
    for record in records:
        inner = names[record["ino"]]
        plain = run("cat", path, inner, "--keys", keys).stdout_bytes
        assert record["sha256"] == hashlib.sha256(plain).hexdigest()
        cipher = run("cat", path, inner).stdout_bytes
        assert (0, False) == (len(cipher) % 4096, plain == cipher[: len(plain)])


def test_check(image: Path) -> None:
    """check answers 0 for a sound image, 1 and a line for a damaged one, and an error for none."""
    assert 0 == run("check", image).exit_code
    data = bytearray(image.read_bytes())
    data[2048 + 0x0C] ^= 1
    damaged = image.with_name("damaged.img")
    damaged.write_bytes(data)
    result = run("check", damaged)
    assert (1, True) == (result.exit_code, "free blocks are recorded" in result.stdout)
    damaged.write_bytes(bytes(4096))
    with pytest.raises(ImageError, match="no ext4 image"):
        run("check", damaged)


def test_make_from_options(tmp_path: Path) -> None:
    """The same can be said with options; size and seed are taken."""
    path = tmp_path / "a.img"
    words = [
        "--file",
        "data:64KiB:sparse:data=4KiB,hole=8KiB",
        "--file",
        "/d/x:5",
        "--size",
        "4MiB",
        "--seed",
        9,
    ]
    result = run("make", path, *words, "--block-size", "2KiB")
    assert 0 == result.exit_code
    assert 4 << 20 == path.stat().st_size
    assert [(0, 2), (6, 2)] == [(e.logical, e.length) for e in Image.open(path).lookup("/data").tree.extents][
        :2
    ]
    with pytest.raises(ConfigError, match="one of them"):
        run("make", tmp_path / "spec.toml", path, "--seed", 1)


def test_layout_words() -> None:
    """Every kind of layout can be written in a table."""
    words: list[tuple[object, object]] = [
        ("contiguous", Contiguous()),
        ({"kind": "fragmented", "extent": "8KiB", "gap": "4KiB"}, Fragmented(2, 1)),
        ({"kind": "fragmented", "extent_blocks": 3}, Fragmented(3)),
        ({"kind": "sparse", "data": "8KiB", "hole": "4KiB"}, Pattern("2d1h")),
        ("unwritten", Pattern("1u")),
        ({"kind": "pattern", "pattern": "1d2u"}, Pattern("1d2u")),
        ({"kind": "aged", "extent": "16KiB", "seed": 4, "window": 2}, Aged(4, window=2, seed=4)),
    ]
    for word, layout in words:
        assert layout == parse_layout("t", word, 4096, Path())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"blocksize": 4096}, "did you mean 'block_size'"),
        ({"block_size": 3072}, "1KiB, 2KiB, 4KiB, 8KiB, 16KiB, 32KiB, 64KiB"),
        ({"files": [{"size": 1}]}, "a name or a path"),
        ({"files": [{"name": "a", "size": 1, "layout": "weird"}]}, "kind: 'weird'"),
        (
            {"files": [{"name": "a", "size": 1, "layout": {"kind": "sparse", "every": 2}}]},
            "unknown key 'every'",
        ),
        (
            {"files": [{"name": "a", "size": 1, "layout": {"kind": "fragmented", "extent": 100}}]},
            "multiples of 4096",
        ),
        ({"files": [{"name": "a", "size": 1, "layout": {"kind": "fiemap", "path": "no"}}]}, "cannot be read"),
        ({"files": [{"name": "a", "size": 1, "xattrs": {"x": "y"}}]}, "user."),
        ({"seed": True}, "of type int"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, object], words: str) -> None:
    """A specification that is not understood is one error that names the place."""
    with pytest.raises(ConfigError, match=words):
        parse_spec("s.toml", table, Path())


def test_file_words() -> None:
    """NAME:SIZE:KIND:OPTIONS is the table it stands for."""
    want = {"name": "a", "size": "1MiB", "layout": {"kind": "aged", "seed": 3, "hole_share": 0.5}}
    assert want == parse_file_word("a:1MiB:aged:seed=3,hole_share=0.5")


def test_names_with_keys(tmp_path: Path) -> None:
    """
    With the keys, ls shows the names a kernel was given and cat takes them; ciphertext names still lead
    there.
    """
    path = tmp_path / "kernel.img"
    path.write_bytes(lzma.decompress((FSCRYPT / "fscrypt_4k.img.xz").read_bytes()))
    keys = tmp_path / "keys.json"
    keys.write_bytes((FSCRYPT / "keys.json").read_bytes())
    keys.chmod(0o600)
    records = [json.loads(line) for line in (FSCRYPT / "files.jsonl").read_text().splitlines()]
    found = {row["inode"]: row["path"] for row in _json("ls", path, "-R", "--keys", keys)}
    hidden = {row["inode"]: row["path"] for row in _json("ls", path, "-R")}
    for record in records:
        name = record["path"].removeprefix("/mnt")
        assert name == found[record["ino"]]
        assert name != hidden[record["ino"]]
        for said in (name, hidden[record["ino"]]):
            plain = run("cat", path, said, "--keys", keys).stdout_bytes
            assert record["sha256"] == hashlib.sha256(plain).hexdigest()

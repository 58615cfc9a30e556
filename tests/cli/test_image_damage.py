"""
readpath image on damaged images: ls shows the rest, check's exit code is 1 wherever the damage lies.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mke2fs_bench import BLOCK, Bench, made
from typer.testing import CliRunner

from sim.cli.image.app import app
from sim.errors import ImageError

PLAIN = ("-O", "^metadata_csum,^64bit,^resize_inode,^flex_bg")
Poke = Callable[[Bench], None]


def run(*words: object) -> tuple[int, str]:
    """Return a verb's exit code and what it prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout


def damaged(folder: Path, poke: Poke) -> Path:
    """Return an image that was changed."""
    bench = Bench(made(folder, PLAIN))
    poke(bench)
    (folder / "a.img").write_bytes(bench.data)
    return folder / "a.img"


def rows(image: Path, *words: str) -> dict[str, dict[str, Any]]:
    """Return what ls lists, by path; damage is exit code 1."""
    code, said = run("ls", image, *words, "--json")
    found = {row["path"]: row for row in json.loads(said)}
    assert code == int(any(row["damage"] for row in found.values()))
    return found


LISTED: dict[str, tuple[Poke, str, str]] = {
    "record": (lambda b: b.put(b.block("/d") + 4, "<H", 5), "/d", "record of 5 bytes"),
    "inode": (lambda b: b.put(b.inode("/d/x") + 0x80, "<H", 999), "/d/x", "the extra size is 999"),
    "number": (lambda b: b.put(b.block("/d") + 24, "<I", 99_999), "/d/x", "inode 99999"),
    "extent tree": (lambda b: b.put(b.inode("/a") + 0x28, "<H", 0), "/a", "the extent magic is 0x0000"),
    "leaf against index key": (lambda b: b.flip(b.tree("/frag", 1) + 12), "/frag", "begins at logical block"),
    "loop": (lambda b: b.put(b.block("/d") + 24, "<I", b.image.lookup("/d").number), "/d/x", "met before"),
    "size of a directory": (lambda b: b.put(b.inode("/d") + 4, "<I", 1023), "/d", "1023 bytes"),
}


@pytest.mark.parametrize("name", LISTED)
def test_damage_hides_nothing_else(tmp_path: Path, name: str) -> None:
    """The row of what is damaged says so; every other name is listed as it was."""
    poke, path, words = LISTED[name]
    image = damaged(tmp_path, lambda _bench: None)
    sound = rows(image, "-R")
    found = rows(damaged(tmp_path, poke), "-R")
    assert words in found[path]["damage"]
    lost = {"/d/x"} if name == "record" else set()
    assert sound.keys() - found.keys() == lost
    others = [other for other in sound.keys() - lost if other not in (path, "/d", "/d/x")]
    assert [sound[other] for other in others] == [found[other] for other in others]
    assert f"{path} (damaged: " in run("ls", image, "-R")[1]


def test_the_rest_of_a_directory_is_listed(tmp_path: Path) -> None:
    """A damaged block of a directory hides its own names alone, and paths through it are still found."""
    bench = Bench(made(tmp_path, PLAIN))
    at = bench.block("/many", 3) + 4
    sound = rows(damaged(tmp_path, lambda _bench: None), "/many")
    image = damaged(tmp_path, lambda b: b.put(at, "<H", 3))
    found = rows(image, "/many")
    assert "directory block 3: record of 3 bytes" in found.pop("/many")["damage"]
    entries = bench.image.entries(bench.image.lookup("/many"))
    there = {name.decode() for number, name, _kind in entries if name not in (b".", b"..")}
    missing = {path.removeprefix("/many/") for path in sound.keys() - found.keys()}
    assert there - missing == {path.removeprefix("/many/") for path in found}
    raw = bytes(bench.data[at - 4 : at - 4 + BLOCK])
    assert missing == {name for name in there if name.encode() in raw}
    assert (0, 1) == (run("ls", image, min(found))[0], run("ls", image, "/")[0])


def _inode_sizes(bench: Bench, value: int) -> None:
    """Damage the superblock and its first copy."""
    for at in (1024, 8193 * BLOCK):
        bench.put(at + 0x58, "<H", value)


CHECKED: dict[str, Poke] = {
    "superblock": lambda b: b.put(1024, "<I", 77),
    "magic": lambda b: b.put(1024 + 0x38, "<H", 0),
    "every superblock": lambda b: _inode_sizes(b, 77),
    "group descriptor": lambda b: b.put(b.descriptor() + 8, "<I", 2**32 - 16),
    "inode table": lambda b: b.put(b.inode("/a"), "<H", 0x3000),
    "bitmap": lambda b: b.flip(b.image.group(1).block_bitmap * BLOCK + 1000),
    "journal": lambda b: b.put(1024 + 0xE0, "<I", 2**32 - 1),
    "directory": lambda b: b.put(b.block("/") + 4, "<H", 5),
}


@pytest.mark.parametrize("name", CHECKED)
def test_damage_is_exit_code_1(tmp_path: Path, name: str) -> None:
    """Wherever it lies; what was not looked at is said."""
    code, said = run("check", damaged(tmp_path, CHECKED[name]), "--json")
    document = json.loads(said)
    assert (1, True) == (code, bool(document["problems"]))
    assert document["unchecked"]


def test_an_image_cut_short(tmp_path: Path) -> None:
    """Half an image is damaged, and told; a few bytes of one are none."""
    image = damaged(tmp_path, lambda _bench: None)
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2])
    code, said = run("check", image)
    assert (1, True) == (code, "16384 blocks in an image of 8192" in said)
    image.write_bytes(data[:1500])
    with pytest.raises(ImageError, match="too few for a superblock"):
        CliRunner().invoke(app, ["check", str(image)], catch_exceptions=False)

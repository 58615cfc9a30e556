"""`readpath image protect` and `check --data`: a line for each bad block, e2fsck's exit code, keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import e2fsck
from typer.testing import CliRunner
from verbs_kit import run

from sim.cli.image.app import app
from sim.errors import ConfigError, CryptoError, ImageError
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.integrity.algorithms import ALGORITHMS


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of two files."""
    path = tmp_path / "a.img"
    files = (FileSpec("/a", 40_000, Fragmented(3)), FileSpec("/b", 9000))
    make_image(path, ImageSpec(files, 4096, size_bytes=2 << 20, seed=1))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file with the volume's key."""
    path = tmp_path / "volume.key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return path


def check(*words: object) -> tuple[int, list[str]]:
    """Return the exit code of `check --data` and its lines."""
    done = CliRunner().invoke(app, ["check", "--data", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout.splitlines()


def flip(path: Path, block: int) -> int:
    """Change a byte of a block of /a; return where it lies."""
    image = Image.open(path)
    extent = image.lookup("/a").tree.find(block)
    physical = extent.physical + block - extent.logical
    raw = bytearray(path.read_bytes())
    raw[physical * 4096 + 7] ^= 0x10
    path.write_bytes(raw)
    return physical


@pytest.mark.parametrize("layout", ["table_all", "table_data", "per_extent"])
def test_a_line_for_each_bad_block(image: Path, layout: str) -> None:
    """File, logical and physical block, expected and found; exit code 4, 0 before; JSON says the same."""
    run("protect", image, "--layout", layout, "--algorithm", "crc32c", "--extent-blocks", 0)
    e2fsck(image)
    code, lines = check(image)
    assert (0, True) == (code, lines[-1].startswith(f"{image}: data: nothing bad in "))
    physical = flip(image, 3)
    code, lines = check(image)
    (line,) = [line for line in lines if line.startswith("/a: ")]
    assert 4 == code
    assert line.startswith(f"/a: logical block 3, physical block {physical}")
    expected, found = line.partition("expected ")[2].split(", found ")
    assert 8 == len(expected) == len(found)
    said = json.loads(CliRunner().invoke(app, ["check", "--data", "--json", str(image)]).stdout)
    (bad,) = said["data"]["bad"]
    assert ("/a", 3, physical, expected, found) == tuple(
        bad[name] for name in ("path", "logical", "physical", "expected", "found")
    )
    run("check", image)  # without --data: nothing is wrong with the metadata


def test_keys(image: Path, key: Path, tmp_path: Path) -> None:
    """Under a volume's key: without it nothing is judged, and that is said; with another, the plan is not."""
    words = ("--layout", "per_extent", "--algorithm", "aes-cmac", "--scheme", "mac")
    run("protect", image, *words, "--volume-key", key)
    assert 0 == check(image, "--volume-key", key)[0]
    flip(image, 0)
    code, lines = check(image)
    assert (0, "3 not judged for want of a key") == (code, lines[-1].partition(", ")[2])
    assert 4 == check(image, "--volume-key", key)[0]
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    assert (4, "/: its own tag is wrong") == (lambda r: (r[0], r[1][-2]))(check(image, "--volume-key", other))
    other.write_bytes(bytes(31))
    with pytest.raises(CryptoError, match="31 bytes; allowed: the 32 bytes of a key"):
        check(image, "--volume-key", other)


@pytest.mark.parametrize(
    ("scheme", "algorithm"), [("encrypt-then-mac", "hmac-sha256"), ("checksum-then-encrypt", "crc32c")]
)
def test_files_own_keys(image: Path, key: Path, tmp_path: Path, scheme: str, algorithm: str) -> None:
    """A file under file-keys has tags under its own key: judged by who opens it, and by nobody else."""
    users = tmp_path / "users.toml"
    run("userkey", users, "alice", "--seed", 1)
    run("encrypt", image, "/a", "--keys", users, "--user", "alice", "--seed", 2)
    volume = ("--volume-key", key) if scheme == "encrypt-then-mac" else ()
    alice = ("--keys", users, "--as", "alice")
    words = ("--layout", "table_data", "--algorithm", algorithm, "--scheme", scheme)
    with pytest.raises(ImageError, match="no key of inode"):
        run("protect", image, *words, *volume)
    run("protect", image, *words, *volume, *alice)
    e2fsck(image)
    assert 0 == check(image, *volume, *alice)[0]
    flip(image, 5)
    code, lines = check(image, *volume, *alice)
    assert (4, 1) == (code, len([line for line in lines if line.startswith("/a: logical block 5, ")]))
    code, lines = check(image, *volume)
    assert (0, "10 not judged for want of a key") == (code, lines[-1].partition(", ")[2])


def test_a_verb_that_leaves_tags_behind_says_so(image: Path) -> None:
    """And a check tells what it wrote, until the tags are brought up to date."""
    words = ("--layout", "table_data", "--algorithm", "crc32c")
    run("protect", image, *words)
    said = CliRunner().invoke(app, ["rm", str(image), "/b"])
    assert "run `image protect` again" in said.stderr
    assert 4 == check(image)[0]
    assert "" == CliRunner().invoke(app, ["protect", str(image), *words]).stderr
    assert 0 == check(image)[0]


def test_mistakes(image: Path) -> None:
    """One line each."""
    words = ("--layout", "table_all", "--algorithm")
    for said, kind, told in (
        (("protect", image, *words, "md5"), ConfigError, f"'md5'; allowed: {', '.join(ALGORITHMS)}"),
        (
            ("protect", image, *words, "aes-256-gcm", "--scheme", "aead"),
            ConfigError,
            "image encrypt --mode gcm",
        ),
        (("protect", image, *words, "aes-cmac", "--scheme", "mac"), ImageError, "no key of the volume"),
        (("protect", image, *words, "crc32c", "--as", "a"), ConfigError, "--keys or --as alone"),
        (("check", image, "--data"), ImageError, "has no tags of its data"),
        (("check", image, "--as", "alice"), ConfigError, "keys without --data"),
    ):
        before = image.read_bytes()
        with pytest.raises(kind, match=told.replace("(", r"\(")):
            run(*said)
        assert before == image.read_bytes()

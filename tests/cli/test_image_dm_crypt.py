"""
readpath image on dm-crypt volumes: the verbs that read say the same as of the image inside.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.image.app import app
from sim.crypto.dmcrypt import CBC_ESSIV, XTS_PLAIN64, DmCrypt
from sim.errors import ConfigError, CryptoError, ImageError
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec

TEXT = b"what lies in the volume\n" * 300
KEYS = {XTS_PLAIN64: bytes(range(64)), CBC_ESSIV: bytes(range(32))}
VOLUMES = [
    (XTS_PLAIN64, 512, False),
    (XTS_PLAIN64, 4096, False),
    (XTS_PLAIN64, 4096, True),
    (CBC_ESSIV, 512, False),
    (CBC_ESSIV, 2048, True),
]


def said(verb: str, image: Path, *words: object) -> str:
    """Return what a verb prints, the image's name taken out; an error is raised."""
    result = CliRunner().invoke(app, [verb, str(image), *map(str, words)], catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.stdout.replace(str(image), "IMAGE")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An image with a file."""
    make_image(tmp_path / "plain.img", ImageSpec((FileSpec("/d/text", data=TEXT),), 1024, 1 << 20))
    return tmp_path / "plain.img"


def volume(plain: Path, cipher: str, sector_bytes: int, large: bool) -> tuple[Path, tuple[str, ...]]:
    """Return the image encrypted, and the options to read it."""
    target = DmCrypt(cipher, KEYS[cipher], sector_bytes, iv_large_sectors=large)
    path, key = plain.with_name("volume.img"), plain.with_name("key")
    path.write_bytes(target.encrypt(plain.read_bytes(), 0))
    key.write_bytes(KEYS[cipher])
    key.chmod(0o600)
    options = ("--dm-crypt", cipher, "--keyfile", str(key), "--sector-size", str(sector_bytes))
    return path, (*options, *(["--iv-large-sectors"] if large else []))


@pytest.mark.parametrize(("cipher", "sector_bytes", "large"), VOLUMES)
def test_every_reading_verb(plain: Path, cipher: str, sector_bytes: int, large: bool) -> None:
    """ls, extents, cat and check."""
    path, options = volume(plain, cipher, sector_bytes, large)
    for verb, *words in (("ls", "/", "-R"), ("extents", "/d/text"), ("cat", "/d/text"), ("check",)):
        assert said(verb, plain, *words) == said(verb, path, *words, *options)


def test_the_wrong_key_or_the_wrong_sectors(plain: Path) -> None:
    """No file system is seen, and that is said to hang on the key."""
    path, options = volume(plain, XTS_PLAIN64, 4096, True)
    with pytest.raises(ImageError, match="with this key; allowed: the key, cipher and sector size"):
        said("ls", path, *options[:-1], "--sector-size", "512")
    Path(options[3]).write_bytes(bytes(64))
    for verb in ("ls", "check"):
        with pytest.raises((ImageError, CryptoError), match="key"):
            said(verb, path, *options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--keyfile", "key"), "--keyfile without --dm-crypt"),
        (("--sector-size", "512"), "--sector-size without --dm-crypt"),
        (("--iv-large-sectors",), "--iv-large-sectors without --dm-crypt"),
        (("--dm-crypt", "rot13", "--keyfile", "key"), "'rot13'; allowed: aes-xts-plain64"),
        (("--dm-crypt", XTS_PLAIN64), "no key; allowed: --keyfile FILE"),
        (("--dm-crypt", XTS_PLAIN64, "--keyfile", "key", "--sector-size", "100"), "100 bytes; allowed: 512"),
    ],
)
def test_options_that_do_not_go_together(plain: Path, words: tuple[str, ...], message: str) -> None:
    """One line that names the option."""
    with pytest.raises(ConfigError, match=message):
        said("ls", plain, *words)


def test_key_files(plain: Path) -> None:
    """A key of another length, and one that others may read, are refused; a key is never shown."""
    path, options = volume(plain, CBC_ESSIV, 512, False)
    key = Path(options[3])
    key.write_bytes(b"secret")
    with pytest.raises(CryptoError, match="6 bytes; allowed: the 16 or 24 or 32 bytes") as caught:
        said("ls", path, *options)
    assert "secret" not in str(caught.value)
    key.write_bytes(KEYS[CBC_ESSIV])
    key.chmod(0o644)
    with pytest.raises(CryptoError, match="has mode 0644; allowed: 0600"):
        said("ls", path, *options)

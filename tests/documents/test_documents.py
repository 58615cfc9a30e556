"""Documents: whatever is handed to us instead of one is a line that names the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.crypto.keys.user_keys import KeyFile
from sim.documents import MOST_DEPTH, parse_json, parse_toml, read_bytes, read_json, read_toml, short
from sim.errors import ConfigError, CryptoError
from sim.files import content_digest

DIGITS = "9" * 4301


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/", "pipe", "none", "a\0b", "\ud800", ""])
def test_what_is_no_regular_file(tmp_path, name, monkeypatch):
    """Devices, folders, pipes (which would wait), and names that are none, are refused at once."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(ConfigError, match=r"e\.toml: cannot be read \("):
        read_bytes(Path(name), "e.toml", "a file")


def test_a_file_that_is_too_large(tmp_path):
    """One byte more than is read is told; that many are read."""
    (tmp_path / "a").write_bytes(bytes(1025))
    with pytest.raises(ConfigError, match="more than 0 MiB"):
        read_bytes(tmp_path / "a", "a", "", 1024)
    assert bytes(1025) == read_bytes(tmp_path / "a", "a", "", 1025)


@pytest.mark.parametrize(
    "text",
    [
        f"a = {DIGITS}",
        f"a = {'[' * 3000}",
        f"a = {'[' * 200}{']' * 200}",
        "a = 9223372036854775808",
        "a = -9223372036854775809",
        "a = [{ b = nan }]",
        "a = inf",
        "a",
        f"a{'.a' * (MOST_DEPTH + 1)} = 1",
    ],
)
def test_toml_that_no_field_can_hold(text):
    """Numbers beyond 64 bits, however long, infinities, and nesting without end: an error with the place."""
    with pytest.raises(ConfigError, match=r"^p\.toml: "):
        parse_toml(text, "p.toml", "")
    assert {"a": [9223372036854775807, -9223372036854775808]} == parse_toml(
        "a = [9223372036854775807, -9223372036854775808]", "", ""
    )


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        "[" * 100_000,
        "[" * 200 + "]" * 200,
        "1e999",
        "NaN",
        '{"a": 1, "a": 2}',
        '["\\ud800"]',
        str(10**30),
    ],
)
def test_json_that_no_field_can_hold(text):
    """The same for JSON, and what two readers would read differently."""
    with pytest.raises(ConfigError, match=r"^p\.json: "):
        parse_json(text, "p.json", "")


def test_bytes_that_are_no_text(tmp_path):
    """A file that is not UTF-8 is neither TOML nor JSON."""
    (tmp_path / "a").write_bytes(b"\xff")
    for read in (read_toml, read_json):
        with pytest.raises(ConfigError, match="not UTF-8"):
            read(tmp_path / "a", "a", "")


def test_values_are_shown_in_short():
    """An error shows the beginning of a long value and the digits of a huge number, never an exception."""
    loop: list[object] = []
    loop.append(loop)
    assert "a number of 5001 digits" == short(10**5000)
    assert "a list" == short([10**5000])
    assert 63 == len(short("x" * 1000))
    assert "[[...]]" == short(loop)


def test_a_large_file_is_hashed_without_its_zeros(tmp_path):
    """A hole and zeros give the same digest, terabytes of them at once; any other byte gives another."""
    names = ("hole", "zeros", "other")
    for name in names:
        with (tmp_path / name).open("wb") as file:
            file.truncate(4 << 40)
            file.seek(3 << 40)
            file.write(b"x")
    with (tmp_path / "zeros").open("r+b") as file:
        file.write(bytes(1 << 16))
    with (tmp_path / "other").open("r+b") as file:
        file.write(b"\0\1")
    hole, zeros, other = (content_digest(tmp_path / name) for name in names)
    assert hole == zeros != other
    with (tmp_path / "hole").open("r+b") as file:
        file.truncate((4 << 40) - 1)
    assert hole != content_digest(tmp_path / "hole")


def test_a_file_of_keys_that_never_ends():
    """/dev/zero as keys: so much is read as a file of keys may have, and no more."""
    with pytest.raises(CryptoError, match="more than 4 MiB"):
        KeyFile("/dev/zero")

"""Key files: what is read, what is refused, and that no message shows a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.crypto.fscrypt.contexts import MasterKey
from sim.crypto.keys.keyfile import read_keys
from sim.errors import CryptoError

DATA = Path(__file__).parents[1] / "data" / "fscrypt_4k"
RAW = "0d141b222930373e454c535a61686f767d848b9299a0a7aeb5bcc3cad1d8dfe6"
IDENTIFIER = MasterKey(bytes.fromhex(RAW)).identifier


def test_recorded_key_file() -> None:
    """The JSON beside the recorded image gives one key under its v2 identifier and its v1 descriptor."""
    keys = read_keys(DATA / "keys.json", public=True)
    assert {"2563c40a692c6d13c4dd9514cc85e760", "1122334455667788"} == {name.hex() for name in keys}
    assert len(set(map(id, keys.values()))) == 1


def test_toml(tmp_path: Path) -> None:
    """[[key]] tables give each key by its identifier, and by its descriptor where one is given."""
    file = tmp_path / "keys.toml"
    file.write_text(
        f'[[key]]\nraw = "{RAW}"\n[[key]]\nraw = "{"ab" * 64}"\nv1_descriptor = "0011223344556677"\n'
    )
    other = MasterKey(b"\xab" * 64).identifier
    assert [IDENTIFIER, other, bytes.fromhex("0011223344556677")] == list(read_keys(file, public=True))


def test_json_list(tmp_path: Path) -> None:
    """A JSON list holds several keys."""
    file = tmp_path / "keys.json"
    file.write_text(f'[{{"raw_key": "{RAW}"}}, {{"raw_key": "{"ab" * 32}"}}]')
    assert [IDENTIFIER, MasterKey(b"\xab" * 32).identifier] == list(read_keys(file, public=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[[key]]\nraw = {RAW}", "is neither UTF-8 TOML"),
        (f'[[key]]\nraw = "{RAW}0"', "key 0: raw: is not hexadecimal"),
        (f'[[key]]\nraw = "{RAW[:20]}"', "key 0: raw: is 10 bytes long; allowed: 16 .. 64"),
        (f'[[key]]\nrwa = "{RAW}"', "key 0: has an unknown entry like 'raw'"),
        (f'[[key]]\n{RAW} = "raw"', "key 0: has an unknown entry; allowed: raw"),
        ('[[key]]\nv1_descriptor = "1122334455667788"', "key 0: has no 'raw'"),
        ("[[key]]\nraw = 12", "key 0: raw: is not hexadecimal"),
        (f'[[key]]\nraw = "{RAW}"\nv1_descriptor = "11"', "key 0: v1_descriptor: 1 bytes; allowed: 8"),
        (f'[[key]]\nraw = "{RAW}"\nv2_identifier = "11"', "v2_identifier: is not that of the key; allowed: "),
        (f'[[key]]\nraw = "{RAW}"\n' * 2, f"key 1: {IDENTIFIER.hex()} is there twice"),
        (f'{RAW} = 1\n[[key]]\nraw = "{RAW}"', r"has other entries than keys; allowed: \[\[key\]\]"),
        (f'[key]\nraw = "{RAW}"', "has other entries than keys"),
        (f'[[user]]\nid = "a"\nraw = "{RAW}"', "holds users' keys, for --as USER; allowed: fscrypt's master"),
        ("", "has other entries than keys"),
        (f'key = ["{RAW}"]', "key 0: is a str; allowed: a table"),
    ],
)
def test_errors_hide_the_key(text: str, message: str, tmp_path: Path) -> None:
    """Each mistake is told with file and number of the key; no run of eight key digits shows."""
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(CryptoError, match=message) as caught:
        read_keys(file, public=True)
    assert str(caught.value).startswith(str(file))
    error: BaseException | None = caught.value
    while error is not None and not error.__suppress_context__:
        error = error.__context__
        assert error is None or RAW[:8] not in str(error)
    assert RAW[:8] not in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    """A file that is not there, or is no JSON, is one error that names it."""
    with pytest.raises(CryptoError, match=r"none\.toml: cannot be read \(No such file"):
        read_keys(tmp_path / "none.toml")
    broken = tmp_path / "keys.json"
    broken.write_text("[" * 100_000)
    with pytest.raises(CryptoError, match=r"keys\.json: is neither"):
        read_keys(broken, public=True)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(CryptoError, match=r"keys\.json: is neither"):
        read_keys(broken, public=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_loose_permissions_are_refused(tmp_path: Path, mode: int) -> None:
    """A key file that others may read or write is refused, unless its keys are known to be no secret."""
    file = tmp_path / "keys.toml"
    file.write_text(f'[[key]]\nraw = "{RAW}"')
    file.chmod(mode)
    with pytest.raises(CryptoError, match=rf"keys\.toml: holds keys and has mode {mode:04o}; allowed: 0600"):
        read_keys(file)
    assert [IDENTIFIER] == list(read_keys(file, public=True))
    file.chmod(0o400)
    assert [IDENTIFIER] == list(read_keys(file))

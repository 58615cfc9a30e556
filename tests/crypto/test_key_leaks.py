"""
No key where results are kept or messages are shown: every scheme, every verb on keys, their error paths too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from key_scan import KeyScan, encodings

from sim.cli.main import app
from sim.crypto.aes_kw import _kek
from sim.crypto.ecryptfs import LowerHeader
from sim.crypto.file_keys import FORMATS, KeyRing, UserKey, secret_parts
from sim.crypto.fscrypt import ContentsCipher, Context, MasterKey
from sim.crypto.rfc2014 import _derive
from sim.crypto.streams import NamedStream
from sim.crypto.user_keys import read_user_keys
from sim.experiment.images import ensure_image
from sim.experiment.keyed_image import wrapped_keys
from sim.experiment.loading import load_experiment
from sim.experiment.scheme import Encryption
from sim.experiment.scheme_image import device_cipher, key_ring, openers, secret
from sim.ext4.mkfs import make_image
from sim.ext4.reader import Image
from sim.ext4.spec import Encryption as FileEncryption
from sim.ext4.spec import FileSpec, ImageSpec

KEY = NamedStream(1, "a key to be found")(64)


def shown(key: bytes) -> dict[str, bytes]:
    """Return a key as a careless program would print it, in the middle of a line."""
    return {
        "raw": b"key: " + key,
        "hex": f"key: {key.hex()}".encode(),
        "hex in groups": f"key: {key.hex(':').upper()} {key.hex(' ')}".encode(),
        "base64": base64.b64encode(b"key:" + key),
        "repr": f"FileKey(raw={key!r})".encode(),
        "JSON": json.dumps({"raw": key.decode("latin-1")}).encode(),
        "UTF-8": key.decode("latin-1").encode(),
        "list": str(list(key)).encode(),
        "int": f"key {int.from_bytes(key, 'little')}".encode(),
    }


def test_the_scan_finds_what_leaks(tmp_path: Path) -> None:
    """
    A key leaked on purpose is found in each encoding, a third of it too, and in Parquet; noise is not.
    """
    scan = KeyScan([KEY])
    assert shown(KEY).keys() == encodings(KEY).keys()
    for name, text in shown(KEY).items():
        assert name in scan.found(text), name
        if name != "int":
            assert name in scan.found(shown(KEY[20:42])[name]), name
    for backwards in (KEY[::-1], KEY[::-1].hex().encode(), f"{int.from_bytes(KEY, 'big'):x}".encode()):
        assert [] != scan.found(b"key " + backwards)
    table = pa.table({"note": [KEY.hex()] * 1000})
    pq.write_table(table, tmp_path / "metrics.parquet", compression="zstd", use_dictionary=True)
    (tmp_path / "run.log.json").write_text(json.dumps({"key": KEY.hex()}))
    assert {"metrics.parquet", "run.log.json"} == scan.files(tmp_path).keys()
    noise = hashlib.shake_128(b"noise").digest(1 << 18)
    assert [] == scan.found(noise + noise.hex().encode() + base64.b64encode(noise) + repr(noise).encode())


SCHEMES = """
    { label = "fscrypt v2", scheme = "fscrypt-v2", charge_open = true },
    { label = "inline", scheme = "inline" },
    { label = "file keys", scheme = "file-keys", charge_open = true },
    { label = "any of 3", scheme = "file-keys", policy = "any-of", users = 3, charge_open = true },
    { label = "group of 3", scheme = "file-keys", policy = "group", users = 3, charge_open = true },
    { label = "2 of 3", scheme = "file-keys", policy = "k-of-n", users = 3, needed = 2, charge_open = true },
    { label = "packets", scheme = "file-keys", format = "rfc2014", policy = "any-of", users = 2 },
    { label = "2014", scheme = "rfc2014", policy = "any-of", users = 3, charge_open = true },
    { label = "dm-crypt xts", scheme = "dm-crypt" },
    { label = "dm-crypt cbc", scheme = "dm-crypt", cipher = "aes-cbc-essiv:sha256", sector_size = 4096 },
    { label = "ecryptfs 128", scheme = "ecryptfs" },
    { label = "ecryptfs 256", scheme = "ecryptfs", cipher = "aes-256" },
"""
ONE_FILE = f"""
title = "Encrypted"
path = "page_io"
[device]
profile = "ramdisk"
[volume]
block_size = "4KiB"
seed = 5
files = [{{ name = "data", size = "16KiB" }}]
[workload]
job = {{ rw = "read", bs = "4k", size = "16k" }}
[matrix]
encryption = [{SCHEMES}]
"""
CACHE = """
title = "A shared cache"
path = "page_io"
[machine]
memory = "4MiB"
[device]
profile = "ramdisk"
[volume]
block_size = "4KiB"
seed = 5
objects = { count = 4, median = "4KiB", sigma = 1.0 }
[workload]
browser_cache = { users = 2, requests = 4, theta = 0.9, capacity = "1MiB", fetch = "1ms", think = "1ms" }
[encryption]
scheme = "file-keys"
policy = "any-of"
users = 2
charge_open = true
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: bytes
    err: bytes


def readpath(folder: Path, *words: object) -> Said:
    """Run the command line as a user does who has no terminal."""
    code = "import sys; from sim.cli.main import main; sys.argv[0] = 'readpath'; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def secrets_of(said: Encryption, path: Path) -> Iterator[bytes]:
    """
    Yield every secret of an image of seed 5: keys of users, files and the device, and derived ones.

    A file's key is what its wrapped key on the image opens to.
    """
    if said.scheme == "dm-crypt":
        assert device_cipher(said, 5) is not None
        yield secret(5, "dm-crypt", 64 if said.cipher == "aes-xts-plain64" else 32)
        return
    image = Image.open(path)
    files = [inode for _name, inode in image.walk() if inode.is_regular]
    if said.wraps_keys:
        ring = key_ring(said, 5)
        for key in ring:
            yield key.raw
        for inode in files:
            raw = wrapped_keys(inode)
            yield ring.unwrap(raw, openers(said)).raw
            yield from (kek(raw, key) for key in ring)
    elif said.scheme == "ecryptfs":
        user = secret(5, "ecryptfs")
        yield user
        wrapped = LowerHeader.parse(image.read_file(image.lookup("/data"))).wrapped_key
        yield Cipher(algorithms.AES(user[: len(wrapped)]), modes.ECB()).decryptor().update(wrapped)
    else:
        raw = bytes.fromhex(path.with_name("keys.toml").read_text().split('"')[1])
        yield raw
        for inode in files:
            yield MasterKey(raw).per_file_key(Context.parse(inode.encryption_context or b"").nonce)


def kek(raw: bytes, key: UserKey) -> bytes:
    """Return the key under which a set of packets holds a user's packet."""
    return _kek(key, raw[12:24]) if raw[0] == 0x11 else _derive(key, raw[5 + 22 :][:12], b"e", 32)


@pytest.mark.parametrize(("text", "least"), [(ONE_FILE, 20), (CACHE, 14)], ids=["schemes", "browser cache"])
def test_no_key_in_the_results_of_any_scheme(tmp_path: Path, text: str, least: int) -> None:
    """
    Runs of every scheme, traced, drawn and shown: none of their keys is in any file, image or message.

    The one place is the key file beside an fscrypt image.
    """
    (tmp_path / "e.toml").write_text(text)
    form = ["--json"] if text == ONE_FILE else []
    done = [readpath(tmp_path, "run", "e.toml", "--trace", "-o", "out", "--jobs", "1", *form)]
    if text == ONE_FILE:
        done.append(readpath(tmp_path, "show", "out", "--where", "encryption=dm-crypt xts"))
    assert {0} == {said.code for said in done}, done
    cells = load_experiment(tmp_path / "e.toml").cells
    images = tmp_path / "results" / "images"
    folders = {folder.name for folder in images.iterdir()}
    secrets = {
        key for cell in cells for key in secrets_of(cell.config.encryption, ensure_image(cell, images))
    }
    assert folders == {folder.name for folder in images.iterdir()}  # none was made anew
    assert least <= len(secrets)
    scan = KeyScan(secrets)
    key_files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("keys.toml")}
    assert key_files == scan.files(tmp_path).keys()
    assert {"manifest.json", "metrics.parquet", "calls.parquet", "run.log.json"} <= {
        path.name for path in (tmp_path / "out").rglob("*")
    }
    assert [[]] * len(done) == [scan.found(said.out + said.err) for said in done]


def make_key_files(folder: Path) -> dict[str, bytes]:
    """Make key files, good and bad ones, that hold users' keys and a master key; return those keys."""
    keys = {name: NamedStream(8, name)(64) for name in ("alice", "bob", "carol", "master", "v1")}
    good = "".join(
        f'[[user]]\nid = "{name}"\nraw = "{keys[name].hex()}"\n' for name in ("alice", "bob", "carol")
    )
    alice = keys["alice"].hex()
    files = {
        "users.toml": good,
        "master.toml": f'[[key]]\nraw = "{keys["master"].hex()}"\n'
        f'[[key]]\nraw = "{keys["v1"].hex()}"\nv1_descriptor = "1122334455667788"\n',
        "other.toml": f'[[key]]\nraw = "{keys["alice"].hex()}"\n',
        "loose.toml": good,
        "swapped.toml": f'[[user]]\nid = "{alice}"\nraw = "alice"\n',
        "twice.toml": f'[[user]]\nid = "{alice}"\nraw = "{alice}"\n' * 2,
        "unquoted.toml": f'[[user]]\nid = "alice"\nraw = {alice}\n',
        "cut.toml": f'[[user]]\nid = "alice"\nraw = "{alice[:-1]}"\n',
        "short.toml": f'[[user]]\nid = "alice"\nraw = "{alice[:-2]}"\n',
        "named.toml": f'[[user]]\nid = "alice"\n{alice} = "raw"\n',
        "salt.toml": f'[[user]]\nid = "alice"\nscrypt = {{ salt = "{alice}", n = 1 }}\n',
        "top.toml": f'alice = "{alice}"\n',
        "master.json": f'[{{"raw_key": "{keys["master"].hex()}" "v1"',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644 if name == "loose.toml" else 0o600)
    return keys


def fscrypt_file(path: str, key: MasterKey, version: int) -> FileSpec:
    """Return a file under fscrypt v1 or v2."""
    reference = bytes.fromhex("1122334455667788") if version == 1 else key.identifier
    context = Context(version, 1, 4, 3, reference, bytes(range(version, 16 + version)))
    cipher = ContentsCipher(key, context, 4096)
    return FileSpec(
        path,
        data=TEXT,
        encryption=FileEncryption(
            context.to_bytes(), lambda block, plain: cipher.encrypt_blocks(plain, block)
        ),
    )


TEXT = b"".join(b"line %d of a text that only some may read\n" % number for number in range(400))


def test_no_key_in_what_the_verbs_say(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """
    Every verb on keys, with and without --json, what fails too: no key on the terminal, in an image, in a
    file but the key files.

    Scanned for: users' keys, master keys, keys that `userkey` made, the files' keys that they open, and those
    under which these are wrapped.
    """
    keys = make_key_files(tmp_path)
    masters = {2: MasterKey(keys["master"]), 1: MasterKey(keys["v1"])}
    names = [f"{form}-{mode}" for form in FORMATS for mode in ("xts", "gcm")]
    image = tmp_path / "a.img"
    specs = [FileSpec(f"/{name}", data=TEXT) for name in ("group", "shares", "plain", *names)]
    specs += [fscrypt_file(f"/v{version}", key, version) for version, key in masters.items()]
    make_image(image, ImageSpec(tuple(specs), 4096, 4 << 20))
    said: list[tuple[list[str], int, bytes]] = []

    def run(*words: object) -> bytes:
        """Run a verb as the command does, in this process."""
        command = ["image", *map(str, words)]
        with pytest.raises(SystemExit) as left:
            app(command, prog_name="readpath")
        out, err = capfdbinary.readouterr()
        said.append((command, int(left.value.code or 0), out + err))
        return out

    secrets = set(keys.values())
    made = tmp_path / "made.toml"
    for words in (("--json",), ("--seed", 3)):
        run("userkey", made, f"user{len(words)}", *words)
    secrets |= {bytes.fromhex(user["raw"]) for user in tomllib.loads(made.read_text())["user"]}
    users = ("--keys", tmp_path / "users.toml")
    run("group", image, "@staff", *users, "--user", "alice", "--json")
    run("group", image, "@staff", *users, "--user", "bob", "--as", "alice")
    run("encrypt", image, "group", *users, "--user", "@staff", "--json")
    run("encrypt", image, "shares", *users, "--user", "alice", "--user", "bob", "--needed", 2)
    for name in names:
        form, mode = name.rsplit("-", 1)
        run("encrypt", image, name, *users, "--user", "alice", "--format", form, "--mode", mode)
    ring = KeyRing(read_user_keys(tmp_path / "users.toml"))
    for name in names:
        opened = Image.open(image)
        raw = wrapped_keys(opened.lookup(name))
        secrets |= {ring.unwrap(raw, "alice").raw, kek(raw, ring.key("alice"))}
        assert b'"sha256"' in run("cat", image, name, *users, "--as", "alice", "--json")
        assert TEXT == run("cat", image, name, *users, "--as", "alice")
        run("share", image, name, "bob", *users, "--as", "alice", "--json")
        run("unshare", image, name, "bob", *users, *(["--json"] if "gcm" in name else []))
    for version, key in masters.items():
        raw = Image.open(image).lookup(f"/v{version}").encryption_context or b""
        nonce = Context.parse(raw).nonce
        secrets.add(key.per_file_key(nonce) if version == 2 else key.v1_per_file_key(nonce))
        assert TEXT == run("cat", image, f"v{version}", "--keys", tmp_path / "master.toml")
        run("cat", image, f"v{version}", "--keys", tmp_path / "master.toml", "--json")
        run("cat", image, f"v{version}", "--keys", tmp_path / "other.toml")
        run("cat", image, f"v{version}")
    run("ls", image, "-R", "--keys", tmp_path / "master.toml")
    run("ls", image, "-R", "--json")
    run("adduser", image, "carol", *users, "--as", "alice", "--json")
    run("cat", image, "shares", *users, "--as", "alice", "--as", "bob")
    secrets.add(ring.unwrap(wrapped_keys(Image.open(image).lookup("shares")), ["alice", "bob"]).raw)
    for json_too in ((), ("--json",)):
        run("inspect", image, *json_too)
        run("check", image, *json_too)
        run("extents", image, names[0], *json_too)
    good = len(said)
    for file in sorted(tmp_path.glob("*.toml")):
        run("cat", image, names[0], "--keys", file, "--as", "eve")
        run("cat", image, names[0], "--keys", file)
        run("share", image, names[0], "bob", "--keys", file, "--as", "mallory")
    run("cat", image, "v2", "--keys", tmp_path / "master.json")
    run("cat", image, "shares", *users, "--as", "alice")
    run("cat", image, "group", *users, "--as", "dave")
    run("encrypt", image, names[0], *users, "--user", "alice")
    run("unshare", image, names[0], "mallory")
    run("group", image, "@staff", *users, "--user", "carol")
    run("userkey", tmp_path / "loose.toml", "dave")
    run("userkey", tmp_path / "users.toml", keys["alice"].hex())
    damaged = bytearray(image.read_bytes())
    at = damaged.index(secret_parts(wrapped_keys(Image.open(image).lookup(names[-1])))[0])
    damaged[at + 5] ^= 4
    (tmp_path / "damaged.img").write_bytes(damaged)
    run("cat", tmp_path / "damaged.img", names[-1], *users, "--as", "alice")
    bad = len(said)
    for name in names:
        run("shred", image, name, "--scan", *(["--json"] if "gcm" in name else []))
        run("rm", image, name, *(["--json"] if "gcm" in name else []))
    wrong_key = [command[-1] == str(tmp_path / "other.toml") for command, _code, _text in said[:good]]
    expected = [2 * wrong for wrong in wrong_key] + [2] * (bad - good) + [0] * (2 * len(names))
    assert [] == [
        one for one, want in zip(said, expected, strict=True) if one[1] != want or b"Traceback" in one[2]
    ]
    assert 2 == sum(wrong_key)
    scan = KeyScan(secrets)
    assert 3 + 2 + 2 + 2 * 4 + 2 + 1 == len(secrets)
    assert [] == [(command, scan.found(text)) for command, _code, text in said if scan.found(text)]
    assert {path.name for path in tmp_path.glob("*.*ml")} | {"master.json"} == scan.files(tmp_path).keys()

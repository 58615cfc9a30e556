"""
No key where results are kept or messages are shown: every scheme, every verb on keys, their error paths too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from key_scan import KeyScan, encodings, kek

from sim.config.encryption import Encryption
from sim.crypto.ecryptfs import LowerHeader
from sim.crypto.fscrypt.contexts import Context, MasterKey
from sim.crypto.streams import NamedStream
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.volume.images import ensure_image
from sim.volume.keyed_image import wrapped_keys
from sim.volume.scheme_image import device_cipher, key_ring, openers, secret

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

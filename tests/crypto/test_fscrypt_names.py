"""
fscrypt names: those that a Linux 6.1 kernel stored, ciphertext stealing against openssl and its definition.
"""

from __future__ import annotations

import json
import lzma
import re
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.fscrypt.contexts import Context, MasterKey
from sim.crypto.fscrypt.names import NamesCipher, cts_decrypt, cts_encrypt
from sim.errors import CryptoError
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import MemoryStore

FOLDER = Path(__file__).parents[1] / "data" / "fscrypt_4k"
MASTER = MasterKey(bytes.fromhex(json.loads((FOLDER / "keys.json").read_text())["raw_key"]))
CONTEXT = Context(2, 1, 4, 3, MASTER.identifier, bytes(range(16)))


@pytest.fixture(scope="module")
def image() -> Image:
    """The image that the kernel made."""
    return Image(MemoryStore(lzma.decompress((FOLDER / "fscrypt_4k.img.xz").read_bytes())))


def names_of(image: Image, directory: Inode, master: MasterKey = MASTER) -> NamesCipher:
    """Return the cipher of a directory."""
    context = Context.parse(directory.encryption_context or b"")
    return NamesCipher(master, context, inode_number=directory.number, filesystem_uuid=image.uuid)


def test_kernel_made_names(image: Image) -> None:
    """Every name the kernel stored, in all three kinds of directories, is the one it was given, and back."""
    records = [json.loads(line) for line in (FOLDER / "files.jsonl").read_text().splitlines()]
    given_names = {record["ino"]: record["path"].rsplit("/", 1)[1].encode() for record in records}
    folders = [json.loads(line)["ino"] for line in (FOLDER / "dirs.jsonl").read_text().splitlines()]
    met = {}
    for number in folders:
        directory = image.inode(number)
        cipher = names_of(image, directory)
        for inode, stored, _kind in image.entries(directory)[2:]:
            met[inode] = cipher.decrypt(stored)
            assert stored == cipher.encrypt(met[inode])
    assert 3 == len(folders)
    assert given_names == met


def test_wrong_key_never_gives_the_name(image: Image) -> None:
    """
    Another master key is refused by its identifier under v2; under v1, which names none, noise comes out.
    """
    other = MasterKey(bytes(range(64)))
    for name in ("/v2_xts", "/v2_inolblk64"):
        with pytest.raises(CryptoError, match="ENOKEY"):
            names_of(image, image.lookup(name), other)
    directory = image.lookup("/v1_xts")
    for _inode, stored, _kind in image.entries(directory)[2:]:
        name, wrong = names_of(image, directory).decrypt(stored), b""
        with suppress(CryptoError):
            wrong = names_of(image, directory, other).decrypt(stored)
        assert name != wrong


@given(st.binary(min_size=16, max_size=255))
@settings(max_examples=80, deadline=None)
def test_stealing_by_its_definition(data: bytes) -> None:
    """CS3 is CBC of the zero-padded data, its last two blocks swapped and cut; it decrypts to the data."""
    aes, iv = algorithms.AES(bytes(range(32))), bytes(range(16))
    stolen = cts_encrypt(aes, iv, data)
    assert len(data) == len(stolen)
    assert data == cts_decrypt(aes, iv, stolen)


@pytest.mark.parametrize("size", [16, 17, 31, 32, 33, 48, 255])
def test_stealing_against_openssl(size: int) -> None:
    """openssl's CBC of the padded data, its blocks swapped by hand, is what we store."""
    if (openssl := which("openssl")) is None:
        pytest.skip("openssl is not installed")
    key, iv, data = bytes(range(32)), bytes(range(16)), bytes(range(size))
    padded = data + bytes(-size % 16)
    words = [openssl, "enc", "-aes-256-cbc", "-nopad", "-K", key.hex(), "-iv", iv.hex()]
    blocks = subprocess.run(words, input=padded, capture_output=True, check=True).stdout
    if size > 16:
        blocks = (blocks[:-32] + blocks[-16:] + blocks[-32:-16])[:size]
    assert blocks == cts_encrypt(algorithms.AES(key), iv, data)


def test_kerberos_vectors() -> None:
    """RFC 3962's vectors of AES-128-CTS (appendix B), for 17, 31, 32 and 47 bytes."""
    aes = algorithms.AES(bytes.fromhex("636869636b656e207465726979616b69"))
    text = b"I would like the General Gau's Chicken, please, "
    for size, want in (
        (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
        ),
    ):
        assert want == cts_encrypt(aes, bytes(16), text[:size]).hex()
        assert text[:size] == cts_decrypt(aes, bytes(16), bytes.fromhex(want))


@given(st.binary(min_size=1, max_size=255), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_names_round_trip(name: bytes, flags: int) -> None:
    """Any name comes back, padded as the flags say: 4 to 32 bytes, at least 16, at most 255."""
    name = name.replace(b"\0", b"x").replace(b"/", b"x")
    cipher = NamesCipher(MASTER, replace(CONTEXT, flags=flags))
    stored = cipher.encrypt(name)
    step = 4 << flags
    assert min(255, max(16, (len(name) + step - 1) // step * step)) == len(stored)
    assert name == cipher.decrypt(stored)


def test_what_is_refused() -> None:
    """Other modes and flags, names that are none, stored names of impossible lengths."""
    for change, message in (
        ({"names_mode": 10}, "names mode 10"),
        ({"flags": 4}, "flags 0x04"),
        ({"flags": 8}, "without inode number"),
        ({"version": 1, "key_reference": bytes(8), "flags": 8}, "flags 0x08"),
    ):
        with pytest.raises(CryptoError, match=re.escape(message)):
            NamesCipher(MASTER, replace(CONTEXT, **change))
    cipher = NamesCipher(MASTER, CONTEXT)
    for name in (b"", b"a\0b", b"x" * 256):
        with pytest.raises(CryptoError, match=r"a name of \d+ bytes"):
            cipher.encrypt(name)
    for stored in (b"", b"x" * 15, b"x" * 256):
        with pytest.raises(CryptoError, match=r"a stored name of \d+ bytes"):
            cipher.decrypt(stored)

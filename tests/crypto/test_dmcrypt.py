"""dm-crypt: sectors that a Linux 6.1 kernel encrypted, and an ext4 reader over an encrypted device."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ciphers.cbc import CbcUnits
from sim.crypto.ciphers.xts import OUT_SLACK_BYTES
from sim.crypto.dmcrypt import CBC_ESSIV, XTS_PLAIN64, DmCrypt, DmCryptStore
from sim.errors import CryptoError, ImageError
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore, MmapStore

DATA = Path(__file__).parents[1] / "data" / "dmcrypt"
KEY = bytes.fromhex((DATA / "dmcrypt.key.hex").read_text())
HEAD_BYTES = 32768
"""The recordings hold this much of the front of a 1 MiB device, and its last 4096 bytes."""
LAST_SECTOR_512 = 2048 - 8

RECORDED = {
    "xts_plain64_512": (XTS_PLAIN64, KEY, 512),
    "xts_plain64_4096": (XTS_PLAIN64, KEY, 4096),
    "cbc_essiv_512": (CBC_ESSIV, KEY[:32], 512),
}
LARGE = "xts_plain64_4096_large"
"""Made with iv_large_sectors; the front of the device only."""


def recorded(name: str) -> bytes:
    """Return a recording's bytes."""
    return lzma.decompress((DATA / f"{name}.xz").read_bytes())


@pytest.mark.parametrize("name", RECORDED)
def test_kernel_made_sectors(name: str) -> None:
    """What the kernel wrote decrypts to its plaintext, and the plaintext encrypts to that again."""
    cipher, stored, plain = DmCrypt(*RECORDED[name]), recorded(f"{name}.img"), recorded("plain.bin")
    for part, sector in ((slice(HEAD_BYTES), 0), (slice(HEAD_BYTES, None), LAST_SECTOR_512)):
        assert plain[part] == cipher.decrypt(stored[part], sector)
        assert stored[part] == cipher.encrypt(plain[part], sector)


@pytest.mark.parametrize("name", RECORDED)
def test_any_run_of_sectors(name: str) -> None:
    """A run from the middle decrypts as it does in the whole; behind it the target stays as it was."""
    cipher, stored, plain = DmCrypt(*RECORDED[name]), recorded(f"{name}.img"), recorded("plain.bin")
    for first, count in ((8, 1), (8, 3), (16, 5)):
        sector = cipher.sector_bytes
        start = first * 512
        target = bytearray(b"\xee" * (count * sector + OUT_SLACK_BYTES))
        cipher.decrypt_into(memoryview(stored)[start : start + count * sector], first, memoryview(target))
        assert plain[start : start + count * sector] + b"\xee" * OUT_SLACK_BYTES == target


def test_large_sectors_count_once_with_iv_large_sectors() -> None:
    """With iv_large_sectors the second 4 KiB sector has IV 1, without it IV 8 (dm-crypt's documentation)."""
    plain = bytes(range(256)) * 32
    large = DmCrypt(XTS_PLAIN64, KEY, 4096, iv_large_sectors=True)
    small = DmCrypt(XTS_PLAIN64, KEY, 4096)
    assert large.encrypt(plain[4096:], 8) == large.encrypt(plain, 0)[4096:]
    assert small.encrypt(plain[:4096], 0) == large.encrypt(plain[:4096], 0)
    assert small.encrypt(plain[:4096], 8) == large.encrypt(plain[:4096], 64)
    assert plain == large.decrypt(large.encrypt(plain, 16), 16)
    stored, text = recorded(f"{LARGE}.img"), recorded("plain.bin")[:HEAD_BYTES]
    assert text == large.decrypt(stored, 0)
    assert stored == large.encrypt(text, 0)


@pytest.mark.parametrize("cipher", [XTS_PLAIN64, CBC_ESSIV])
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_ext4_over_a_decrypting_store(cipher: str, sector_bytes: int, tmp_path: Path) -> None:
    """An ext4 reader over the store sees the file system; without the key there is not even a superblock."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/data", 70_001),), 1024, 1 << 20))
    dm = DmCrypt(cipher, KEY[: 64 if cipher == XTS_PLAIN64 else 32], sector_bytes)
    encrypted = dm.encrypt(path.read_bytes(), 0)
    image = Image(DmCryptStore(MemoryStore(encrypted), dm))
    plain = Image(MmapStore(path))
    assert plain.read_file(plain.lookup("/data")) == image.read_file(image.lookup("/data"))
    with pytest.raises(ImageError, match="no ext4 image"):
        Image(MemoryStore(encrypted))


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=50, deadline=None)
def test_store_reads_any_bytes(offset: int, length: int) -> None:
    """Any range, aligned or not, is the range of the plaintext."""
    plain = bytes(range(256)) * 24
    dm = DmCrypt(CBC_ESSIV, KEY[:16], 512)
    store = DmCryptStore(MemoryStore(dm.encrypt(plain, 0) + b"rest"), dm)
    assert len(plain) == store.size_bytes
    assert plain[offset : offset + length] == store.read(offset, min(length, len(plain) - offset))
    with pytest.raises(ImageError, match="are asked for"):
        store.read(offset, len(plain) + 1 - offset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("aes-xts-plain", KEY), "cipher 'aes-xts-plain'; allowed: aes-xts-plain64, aes-cbc-essiv:sha256"),
        ((XTS_PLAIN64, KEY, 8192), "sectors of 8192 bytes; allowed: 512"),
        ((XTS_PLAIN64, KEY[:32]), "AES-256-XTS key: is 32 bytes long"),
        ((CBC_ESSIV, KEY), "AES-CBC key: is 64 bytes long"),
    ],
)
def test_what_is_refused(arguments: tuple[str, bytes, int], message: str) -> None:
    """A cipher, key or sector size that is not modelled is told by name."""
    with pytest.raises(CryptoError, match=re.escape(message)):
        DmCrypt(*arguments)


def test_broken_runs() -> None:
    """Parts of sectors, sectors off their alignment and negative numbers are refused, as are wrong IVs."""
    dm = DmCrypt(XTS_PLAIN64, KEY, 4096)
    for data, sector in ((bytes(4095), 0), (b"", 0), (bytes(4096), 4), (bytes(4096), -8)):
        with pytest.raises(CryptoError):
            dm.decrypt(data, sector)
    cbc = CbcUnits(KEY[:16])
    for data, ivs, unit in ((bytes(32), bytes(16), 16), (bytes(15), bytes(16), 15), (b"", b"", 16)):
        with pytest.raises(CryptoError, match="AES-CBC"):
            cbc.decrypt(data, ivs, unit)
    assert KEY.hex()[:16] not in repr(dm) + repr(cbc)

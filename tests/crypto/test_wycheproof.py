"""
Wycheproof's vectors, bad inputs among them, through our functions: the right bytes, or a CryptoError.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sim.crypto.ciphers.cbc import CbcUnits
from sim.crypto.ciphers.xts import OUT_SLACK_BYTES, XtsUnits
from sim.crypto.ciphers.xts_short import ShortUnits
from sim.crypto.fscrypt.contexts import hkdf_sha512
from sim.crypto.keys.aes_kw import unwrap_padded
from sim.crypto.keys.data_units import GcmContents
from sim.crypto.keys.wrapped import MODE_AES_256_GCM, FileKey
from sim.errors import CryptoError

FOLDER = Path(__file__).parents[1] / "data" / "wycheproof"


def vectors(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file, hexadecimal values as bytes."""
    tests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())["tests"]
    words = ("comment", "flags", "result", "tcId", "size")
    return [
        {key: value if key in words else bytes.fromhex(value) for key, value in test.items()}
        for test in tests
    ]


def test_key_wrap_with_padding() -> None:
    """RFC 5649: 25 keys come out as they were; 69 whose padding or length was tampered with do not open."""
    seen: Counter[str] = Counter()
    for test in vectors("aes_kwp"):
        seen[test["result"]] += 1
        if test["result"] == "valid":
            assert test["msg"] == unwrap_padded(test["key"], test["ct"], "here", "alice")
        else:
            with pytest.raises(CryptoError, match="the slot of alice is damaged"):
                unwrap_padded(test["key"], test["ct"], "here", "alice")
    assert {"valid": 25, "invalid": 69} == seen


def test_key_wrap_without_padding_does_not_open() -> None:
    """RFC 3394's wrapped keys, good and bad, are none of ours: the check of RFC 5649 is another one."""
    tests = vectors("aes_wrap")
    for test in tests:
        with pytest.raises(CryptoError, match="the slot of alice is damaged"):
            unwrap_padded(test["key"], test["ct"], "here", "alice")
    assert 68 == len(tests)


def test_gcm() -> None:
    """AES-256-GCM: 21 blocks open, 27 with a changed tag do not; the nonce is counter and number."""
    seen: Counter[str] = Counter()
    for test in vectors("aes_gcm"):
        seen[test["result"]] += 1
        gcm = GcmContents(FileKey(MODE_AES_256_GCM, test["key"]), len(test["msg"]), b"")
        counter, block = int.from_bytes(test["iv"][:4], "little"), int.from_bytes(test["iv"][4:], "little")
        if test["result"] == "valid":
            assert test["msg"] == gcm._open(block, counter, test["ct"], test["tag"])
        else:
            with pytest.raises(CryptoError, match="fails its AES-256-GCM check"):
                gcm._open(block, counter, test["ct"], test["tag"])
    assert {"valid": 21, "invalid": 27} == seen


def test_xts() -> None:
    """
    AES-256-XTS: whole blocks and 64-bit numbers both ways, by either of our ways; other lengths are refused.
    """
    seen: Counter[str] = Counter()
    for test in vectors("aes_xts"):
        unit, size = int.from_bytes(test["iv"], "little"), len(test["msg"])
        xts = XtsUnits(test["key"])
        if size % 16 or unit >= 1 << 64:
            seen["length" if size % 16 else "number"] += 1
            for action in (xts.decrypt, xts.encrypt):
                with pytest.raises(CryptoError, match="AES-256-XTS: data unit"):
                    action(test["ct"], unit, size)
            continue
        seen["read"] += 1
        assert (test["msg"], test["ct"]) == (
            xts.decrypt(test["ct"], unit, size),
            xts.encrypt(test["msg"], unit, size),
        )
        out = bytearray(size + OUT_SLACK_BYTES)
        ShortUnits(test["key"]).decrypt_into(test["ct"], range(unit, unit + 1), size, memoryview(out))
        assert test["msg"] == out[:size]
    assert {"read": 13, "length": 20, "number": 8} == seen


def test_cbc() -> None:
    """
    AES-CBC: 72 messages and their padding come out whole; 141 whose padding is wrong come out with that
    padding.

    Our units have no padding, so what PKCS #5 would refuse is plain bytes here. Empty ones are refused.
    """
    seen: Counter[str] = Counter()
    for test in vectors("aes_cbc_pkcs5"):
        cbc, size = CbcUnits(test["key"]), len(test["ct"])
        padding = 16 - len(test["msg"]) % 16
        padded = test["msg"] + bytes((padding,)) * padding
        if not size:
            seen["empty"] += 1
            with pytest.raises(CryptoError, match="AES-CBC"):
                cbc.decrypt(test["ct"], test["iv"], size)
            continue
        seen[test["result"]] += 1
        plain = cbc.decrypt(test["ct"], test["iv"], size)
        assert (test["result"] == "valid") == (padded == plain)
        assert test["ct"] == cbc.encrypt(plain, test["iv"], size)
    assert {"valid": 72, "invalid": 141, "empty": 3} == seen


def test_hkdf() -> None:
    """HKDF-SHA512 without salt: 22 outputs to the byte; more than 255 digests are refused."""
    seen: Counter[str] = Counter()
    for test in vectors("hkdf_sha512"):
        seen[test["result"]] += 1
        if test["result"] == "valid":
            assert test["okm"] == hkdf_sha512(test["ikm"], test["info"], test["size"])
        else:
            with pytest.raises(CryptoError, match=r"HKDF-SHA512: 16321 bytes; allowed: 1 \.\. 16320"):
                hkdf_sha512(test["ikm"], test["info"], test["size"])
    assert {"valid": 22, "invalid": 3} == seen

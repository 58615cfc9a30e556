"""
AES-CBC over units that each start with an IV of their own: sectors of dm-crypt, extents of eCryptfs.

A CBC block is decrypted as ECB and then XORed with the ciphertext before it (NIST SP 800-38A, 6.2), so a
run of units takes one ECB call and one XOR, however short the units are. Encryption is a chain and goes
unit by unit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.ciphers.xts import OUT_SLACK_BYTES, Buffer
from sim.errors import CryptoError, InvariantError

IV_BYTES = 16
KEY_BYTES = (16, 24, 32)
_WORDS = IV_BYTES // 8

Words = npt.NDArray[np.uint64]


class CbcUnits:
    """
    One AES key of 16, 24 or 32 bytes in CBC mode, applied to units of a given size.

    Not for use by two threads at once.
    """

    __slots__ = ("_cbc", "_ecb")

    def __init__(self, key: bytes) -> None:
        """Raise CryptoError if the key has another length."""
        if len(key) not in KEY_BYTES:
            raise CryptoError("AES-CBC key", f"is {len(key)} bytes long", "16, 24 or 32 bytes")
        self._ecb = Cipher(algorithms.AES(bytes(key)), modes.ECB())  # the first half of CBC, see above
        self._cbc = Cipher(algorithms.AES(bytes(key)), modes.CBC(bytes(IV_BYTES)))

    def __repr__(self) -> str:
        return "CbcUnits(<key hidden>)"

    def decrypt_into(self, data: Buffer, ivs: bytes, unit_bytes: int, out: memoryview) -> None:
        """
        Decrypt consecutive units, each with its 16 bytes of `ivs`, into `out`.

        out: writable, `len(data)` + cipher.OUT_SLACK_BYTES long, not overlapping `data`; the slack is not
        written to. Raises CryptoError unless `data` is whole units and there are as many IVs.
        """
        count = _count_units(data, ivs, unit_bytes)
        size = len(data)
        written = self._ecb.decryptor().update_into(data, out[: size + OUT_SLACK_BYTES])
        if written != size:
            raise InvariantError(f"AES-CBC wrote {written} bytes for {size}")
        before: Words = np.frombuffer(data, dtype=np.uint64).reshape(count, -1)
        plain: Words = np.frombuffer(out[:size], dtype=np.uint64).reshape(count, -1)
        plain[:, _WORDS:] ^= before[:, :-_WORDS]
        plain[:, :_WORDS] ^= np.frombuffer(ivs, dtype=np.uint64).reshape(count, _WORDS)

    def decrypt(self, data: Buffer, ivs: bytes, unit_bytes: int) -> bytes:
        """Return the plaintext of consecutive units; errors as `decrypt_into`."""
        out = bytearray(len(data) + OUT_SLACK_BYTES)
        self.decrypt_into(data, ivs, unit_bytes, memoryview(out))
        return bytes(out[: len(data)])

    def encrypt(self, data: Buffer, ivs: bytes, unit_bytes: int) -> bytes:
        """Return the ciphertext of consecutive units: the inverse of `decrypt`, with its errors."""
        count = _count_units(data, ivs, unit_bytes)
        view = memoryview(data)
        parts = []
        for unit in range(count):
            self._cbc.mode = modes.CBC(ivs[unit * IV_BYTES : (unit + 1) * IV_BYTES])
            parts.append(self._cbc.encryptor().update(view[unit * unit_bytes : (unit + 1) * unit_bytes]))
        return b"".join(parts)


def _count_units(data: Buffer, ivs: bytes, unit_bytes: int) -> int:
    if unit_bytes < IV_BYTES or unit_bytes % IV_BYTES:
        raise CryptoError("AES-CBC", f"unit of {unit_bytes} bytes", "a multiple of 16")
    count, rest = divmod(len(data), unit_bytes)
    if rest or not count:
        raise CryptoError("AES-CBC", f"{len(data)} bytes of data", f"whole units of {unit_bytes} bytes")
    if len(ivs) != count * IV_BYTES:
        raise CryptoError("AES-CBC", f"{len(ivs)} bytes of IVs for {count} units", "16 for each")
    return count

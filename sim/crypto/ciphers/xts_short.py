"""
AES-256-XTS over many short units at once: the sectors of dm-crypt.

A unit costs `cryptography` a context of OpenSSL, which takes several times as long as the AES of 512 bytes.
XTS is ECB between two XORs with the tweak's mask (IEEE Std 1619-2018, 5.3), so the masks of all units are
made in a few numpy operations and a single ECB call does the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.errors import InvariantError

MAX_UNIT_BYTES = 1024
"""Units above this are faster one by one, in OpenSSL's own XTS."""
_AES_BLOCK_BYTES = 16

Words = npt.NDArray[np.uint64]


class ShortUnits:
    """One 64-byte AES-256-XTS key, applied to runs of short units."""

    __slots__ = ("_data", "_tweak")

    def __init__(self, key64: bytes) -> None:
        """The caller has checked the key."""
        self._data = Cipher(algorithms.AES(key64[:32]), modes.ECB())
        self._tweak = Cipher(algorithms.AES(key64[32:]), modes.ECB())

    def decrypt_into(
        self, data: bytes | bytearray | memoryview, units: range, unit_bytes: int, out: memoryview
    ) -> None:
        """
        Decrypt units numbered `units` into `out`; lengths and numbers are the caller's affair, as the
        slack.
        """
        size = len(data)
        masks = self._masks(units, unit_bytes // _AES_BLOCK_BYTES)
        whitened = np.frombuffer(data, dtype=np.uint64) ^ masks
        written = self._data.decryptor().update_into(whitened.data.cast("B"), out)
        if written != size:
            raise InvariantError(f"AES-256-XTS wrote {written} bytes for {size}")
        plain: Words = np.frombuffer(out[:size], dtype=np.uint64)
        plain ^= masks

    def _masks(self, units: range, blocks: int) -> Words:
        """Return the mask of every 16-byte block of every unit, in order, as pairs of words."""
        numbers = np.zeros((len(units), 2), dtype="<u8")
        numbers[:, 0] = np.uint64(units.start) + np.arange(len(units), dtype=np.uint64) * np.uint64(
            units.step
        )
        first = np.frombuffer(self._tweak.encryptor().update(numbers.tobytes()), dtype="<u8").reshape(-1, 2)
        masks = np.empty((len(units), blocks, 2), dtype="<u8")
        masks[:, 0] = first
        done = 1
        while done < blocks:  # the masks of `done` blocks, times x^done, are those of the next
            count = min(done, blocks - done)
            masks[:, done : done + count] = _times_power(masks[:, :count], done)
            done += count
        return masks.reshape(-1)


def _times_power(masks: Words, power: int) -> Words:
    """Return elements of GF(2^128), as (low, high) words, times x^power; power: 1 .. 32."""
    low, high = masks[..., 0], masks[..., 1]
    up, down = np.uint64(power), np.uint64(64 - power)
    over = high >> down
    result = np.empty_like(masks)
    # x^128 = x^7 + x^2 + x + 1: what leaves at the top comes back at the bottom, four times.
    result[..., 0] = low << up ^ over ^ over << np.uint64(1) ^ over << np.uint64(2) ^ over << np.uint64(7)
    result[..., 1] = high << up ^ low >> down
    return result

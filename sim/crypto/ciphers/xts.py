"""
AES-256-XTS over data units: what fscrypt, dm-crypt and inline encryption do to contents.

A data unit is a block, page or sector that is encrypted on its own, with its number as the tweak
(IEEE Std 1619-2018; "plain64" in dm-crypt): 64 bits little endian, zero-padded to 16 bytes. The number is
the only thing that ties a unit to its place, so units may be handled in any order and grouping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from sim.crypto.ciphers.xts_short import MAX_UNIT_BYTES, ShortUnits
from sim.errors import CryptoError, InvariantError

XTS_KEY_BYTES = 64
MAX_UNIT = (1 << 64) - 1
_AES_BLOCK_BYTES = 16
OUT_SLACK_BYTES = _AES_BLOCK_BYTES - 1
"""What `update_into` asks for beyond the data, whatever the mode."""
_TWEAK_BYTES = 16
_TWEAK_TAIL = bytes(_TWEAK_BYTES - 8)

_LEAST_RUN = 32
"""Short units are handled at once from so many on: about where it takes as long as one by one."""

Buffer = bytes | bytearray | memoryview


class XtsUnits:
    """
    One 64-byte AES-256-XTS key, applied to data units.

    A unit costs one OpenSSL context, for `cryptography` cannot give an existing one another XTS tweak.
    The `Cipher` is built once and its `mode` replaced: to build it anew would check key and mode again for
    every unit, which takes longer than the AES of 4 KiB. `finalize()` is left out: XTS has no padding, an
    update with a whole unit returns the whole unit, and the length of the result is checked.

    Not for use by two threads at once.
    """

    __slots__ = ("_cipher", "_short")

    def __init__(self, key64: bytes) -> None:
        """Raise CryptoError if the key is not 64 bytes or has two equal halves (forbidden by FIPS 140)."""
        if len(key64) != XTS_KEY_BYTES:
            raise CryptoError("AES-256-XTS key", f"is {len(key64)} bytes long", f"{XTS_KEY_BYTES} bytes")
        half = XTS_KEY_BYTES // 2
        if key64[:half] == key64[half:]:
            raise CryptoError("AES-256-XTS key", "has two equal halves", "two independent 32-byte keys")
        self._cipher = Cipher(algorithms.AES(bytes(key64)), modes.XTS(bytes(_TWEAK_BYTES)))
        self._short = ShortUnits(bytes(key64))

    def __repr__(self) -> str:
        return "XtsUnits(<key hidden>)"

    def decrypt(self, data: Buffer, first_unit: int, unit_bytes: int) -> bytes:
        """
        Return the plaintext of consecutive units, the first of which bears the number `first_unit`.

        data: a whole number of units of `unit_bytes` each; `unit_bytes` is a multiple of 16.
        Raises CryptoError for other lengths and for unit numbers outside 0 .. 2^64-1.
        """
        units = range(first_unit, first_unit + _count_units(data, unit_bytes))
        return self._apply(self._cipher.decryptor, data, units, unit_bytes)

    def encrypt(self, data: Buffer, first_unit: int, unit_bytes: int) -> bytes:
        """Return the ciphertext of consecutive units: the inverse of `decrypt`, with its errors."""
        units = range(first_unit, first_unit + _count_units(data, unit_bytes))
        return self._apply(self._cipher.encryptor, data, units, unit_bytes)

    def decrypt_into(
        self, data: Buffer, first_unit: int, unit_bytes: int, out: memoryview, step: int = 1
    ) -> None:
        """
        Decrypt consecutive units into `out`, without a copy between.

        out: writable, `len(data)` + OUT_SLACK_BYTES long; the slack is asked for and not written to. step: by
        how much the number of the next unit is higher (dm-crypt counts 512 bytes in sectors of any size).
        Raises CryptoError as `decrypt` does.
        """
        count = _count_units(data, unit_bytes)
        if first_unit + (count - 1) * step > MAX_UNIT or first_unit < 0:
            raise CryptoError("AES-256-XTS", f"data unit number {first_unit}", "0 .. 2^64-1")
        if unit_bytes <= MAX_UNIT_BYTES and count >= _LEAST_RUN:
            units = range(first_unit, first_unit + count * step, step)
            self._short.decrypt_into(data, units, unit_bytes, out[: len(data) + OUT_SLACK_BYTES])
            return
        cipher, xts, new_context = self._cipher, modes.XTS, self._cipher.decryptor
        view = memoryview(data)
        written = start = 0
        for unit in range(first_unit, first_unit + count * step, step):
            end = start + unit_bytes
            cipher.mode = xts(unit.to_bytes(8, "little") + _TWEAK_TAIL)
            written += new_context().update_into(view[start:end], out[start : end + OUT_SLACK_BYTES])
            start = end
        if written != start:
            raise InvariantError(f"AES-256-XTS wrote {written} bytes for {start}")

    def decrypt_units(self, data: Buffer, units: Sequence[int], unit_bytes: int) -> bytes:
        """
        Return the plaintext of units that lie one after another in `data` and bear the numbers `units`.

        Raises CryptoError as `decrypt` does, and if there are not as many numbers as units.
        """
        return self._apply(self._cipher.decryptor, data, units, unit_bytes)

    def encrypt_units(self, data: Buffer, units: Sequence[int], unit_bytes: int) -> bytes:
        """Return the ciphertext of units numbered `units`; the inverse of `decrypt_units`."""
        return self._apply(self._cipher.encryptor, data, units, unit_bytes)

    def _apply(
        self, new_context: Callable[[], CipherContext], data: Buffer, units: Sequence[int], unit_bytes: int
    ) -> bytes:
        """Run a fresh context of `new_context`, a method of `_cipher`, over each unit."""
        count = _count_units(data, unit_bytes)
        if len(units) != count:
            raise CryptoError("AES-256-XTS", f"{len(units)} unit numbers for {count} units", "one per unit")
        cipher, xts = self._cipher, modes.XTS  # this loop is the hot spot of a run with real data
        view = memoryview(data)
        parts: list[bytes] = []
        start = 0
        try:
            for unit in units:
                end = start + unit_bytes
                cipher.mode = xts(unit.to_bytes(8, "little") + _TWEAK_TAIL)
                parts.append(new_context().update(view[start:end]))
                start = end
        except OverflowError:
            raise CryptoError("AES-256-XTS", f"data unit number {unit}", "0 .. 2^64-1") from None
        result = parts[0] if count == 1 else b"".join(parts)
        if len(result) != start:
            raise InvariantError(f"AES-256-XTS returned {len(result)} bytes for {start}")
        return result


def _count_units(data: Buffer, unit_bytes: int) -> int:
    if unit_bytes < _AES_BLOCK_BYTES or unit_bytes % _AES_BLOCK_BYTES:
        raise CryptoError("AES-256-XTS", f"data unit of {unit_bytes} bytes", "a multiple of 16")
    count, rest = divmod(len(data), unit_bytes)
    if rest:
        raise CryptoError("AES-256-XTS", f"{len(data)} bytes of data", f"whole units of {unit_bytes} bytes")
    return count

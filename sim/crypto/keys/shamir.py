"""
Shamir's secret sharing over GF(256): any k of n shares give a secret, k - 1 tell nothing about it.

Every byte of the secret is the constant term of its own random polynomial of degree k - 1 over the field of
AES (reduced by x^8 + x^4 + x^3 + x + 1, generator 3); share x is the value of all polynomials at x. A.
Shamir, "How to share a secret", 1979. Shares carry no check: whoever keeps them must authenticate them.

Table look-ups depend on secret bytes: not for a machine on which an attacker can time the cache.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.crypto.streams import Random
from sim.errors import CryptoError

MAX_SHARES = 255


def _tables() -> tuple[bytes, bytes]:
    """Return the powers of the generator (twice over, to save a remainder) and their logarithms."""
    powers, logs = bytearray(510), bytearray(256)
    value = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logs[value] = exponent
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    return bytes(powers), bytes(logs)


_POWERS, _LOGS = _tables()


def multiply(left: int, right: int) -> int:
    """Return the product of two elements of the field."""
    return _POWERS[_LOGS[left] + _LOGS[right]] if left and right else 0


def divide(left: int, right: int) -> int:
    """Return the quotient of two elements of the field; `right` is not 0."""
    return _POWERS[_LOGS[left] - _LOGS[right] + 255] if left else 0


def split(secret: bytes, needed: int, shares: int, random: Random) -> dict[int, bytes]:
    """
    Return `shares` shares by their number (1 and up), any `needed` of which give the secret.

    Raises CryptoError unless 1 <= needed <= shares <= 255.
    """
    if not 1 <= needed <= shares <= MAX_SHARES:
        raise CryptoError("secret sharing", f"{needed} of {shares} shares", f"1 <= k <= n <= {MAX_SHARES}")
    higher = [random(len(secret)) for _degree in range(needed - 1)]
    result = {}
    for number in range(1, shares + 1):
        value = bytes(len(secret))
        for coefficients in reversed([secret, *higher]):  # Horner's scheme
            value = bytes(
                multiply(so_far, number) ^ byte for so_far, byte in zip(value, coefficients, strict=True)
            )
        result[number] = value
    return result


def combine(shares: Mapping[int, bytes]) -> bytes:
    """
    Return the secret that as many shares as were needed determine: the polynomials at 0.

    With fewer shares, or with one changed, the result is some other value; the caller checks it. Raises
    CryptoError for shares of different lengths and numbers outside 1 .. 255.
    """
    if not shares or len({len(share) for share in shares.values()}) != 1:
        raise CryptoError("secret sharing", f"{len(shares)} shares", "one or more, of one length")
    if not all(1 <= number <= MAX_SHARES for number in shares):
        raise CryptoError("secret sharing", f"share numbers {sorted(shares)}", f"1 .. {MAX_SHARES}")
    secret = bytes(len(next(iter(shares.values()))))
    for number, share in shares.items():
        weight = 1  # Lagrange's basis polynomial of this share, at 0; minus is XOR
        for other in shares:
            if other != number:
                weight = multiply(weight, divide(other, other ^ number))
        secret = bytes(so_far ^ multiply(weight, byte) for so_far, byte in zip(secret, share, strict=True))
    return secret

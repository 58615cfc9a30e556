"""Secret sharing against the definition: bits multiplied by hand, polynomials evaluated term by term."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.keys.shamir import combine, divide, multiply, split
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError


def naive_multiply(left: int, right: int) -> int:
    """Multiply two polynomials over GF(2) and reduce by x^8 + x^4 + x^3 + x + 1, bit by bit."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0b1_0001_1011 << (bit - 8)
    return product


def test_field() -> None:
    """Products of all pairs are those of the definition, and division undoes multiplication."""
    for left in range(256):
        for right in range(256):
            assert naive_multiply(left, right) == multiply(left, right)
            if right:
                assert left == divide(multiply(left, right), right)


@given(st.binary(min_size=1, max_size=5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_k_of_n_gives_the_secret(secret: bytes, needed: int, spare: int, seed: int) -> None:
    """Shares are the polynomial's values; any k of them give the secret back, and more do too."""
    shares = split(secret, needed, needed + spare, NamedStream(seed, "shares"))
    draw = NamedStream(seed, "shares")
    terms = [secret, *(draw(len(secret)) for _degree in range(needed - 1))]
    for number, share in shares.items():
        for at, value in enumerate(share):
            power, want = 1, 0
            for term in terms:
                want ^= naive_multiply(term[at], power)
                power = naive_multiply(power, number)
            assert want == value
    for size in range(needed, needed + spare + 1):
        for numbers in combinations(shares, size):
            assert secret == combine({number: shares[number] for number in numbers})


def test_one_share_too_few_tells_nothing() -> None:
    """Over all coefficients, a single share of a 2-of-n secret takes each value once, whatever the secret."""
    for secret in (b"\x00", b"\x01", b"\xc3"):
        values = [split(secret, 2, 3, lambda _count, c=c: bytes((c,)))[3] for c in range(256)]
        assert 256 == len(set(values))


@pytest.mark.parametrize(("needed", "shares"), [(0, 3), (4, 3), (2, 256)])
def test_what_is_refused(needed: int, shares: int) -> None:
    """Numbers that make no sense are refused, as are shares that do not fit together."""
    with pytest.raises(CryptoError, match="1 <= k <= n <= 255"):
        split(b"secret", needed, shares, NamedStream(0, ""))
    for broken in ({}, {1: b"a", 2: b"ab"}, {0: b"a"}, {256: b"a"}):
        with pytest.raises(CryptoError, match="secret sharing"):
            combine(broken)

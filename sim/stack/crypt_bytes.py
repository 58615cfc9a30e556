"""
The bytes that go through a crypt target: ciphertext, made of what the file system submits.

They are taken when a bio is submitted to the target, not when kcryptd comes to it: a page that is changed in
between may reach a real disk either way.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.block.bio import Bio
from sim.crypto.dmcrypt import DmCrypt


class CryptBytes:
    """cipher: of the device. plain: returns the bytes of a bio of the file system."""

    def __init__(self, cipher: DmCrypt, plain: Callable[[Bio], bytes]) -> None:
        self._cipher = cipher
        self._plain = plain
        self._made: dict[Bio, bytes] = {}

    def take(self, bio: Bio) -> None:
        """Encrypt what a bio with data writes, sector by sector."""
        self._made[bio] = self._cipher.encrypt(self._plain(bio), bio.sector)

    def of(self, clone: Bio) -> bytes:
        """Return what a clone writes to the device below, once."""
        return self._made.pop(clone.owner)

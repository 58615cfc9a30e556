"""
What a format of wrapped keys is: a module with these names. rfc2014 and aes_kw beside this one are the two.
"""

from __future__ import annotations

from typing import Protocol

from sim.crypto.keys.user_keys import PublicKey, UserKey
from sim.crypto.keys.wrapped import Secret
from sim.crypto.streams import Random


class Format(Protocol):
    """A set of packets, each of which holds the secret of one user."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """Its name."""
        ...

    @property
    def FIRST_BYTES(self) -> tuple[int, ...]:  # noqa: N802 - a module's constant
        """The first bytes of the versions of this format that are read."""
        ...

    def encode(self, packets: list[bytes], /) -> bytes:
        """Return packets as a set."""
        ...

    def decode(self, raw: bytes, place: str, /) -> list[bytes]:
        """Return the packets of a set."""
        ...

    def set_record(self, raw: bytes, place: str, /) -> bytes:
        """Return what a set is bound to (binding.py), empty for nothing; its packets are not looked at."""
        ...

    def owner(self, packet: bytes, /) -> str:
        """Return whom a packet is for, as far as it says so without a key."""
        ...

    def secret_part(self, packet: bytes, /) -> bytes:
        """Return what of a packet must be gone for its key to be gone; it looks random."""
        ...

    def record(self, packet: bytes, /) -> bytes:
        """Return what the set of a packet is bound to; as `set_record`."""
        ...

    def is_share(self, packet: bytes, /) -> bool | None:
        """Return whether a packet holds a share of the key; None if the set does not tell."""
        ...

    def is_public(self, packet: bytes, /) -> bool:
        """Return whether anyone who knows a public key can have made a packet."""
        ...

    def label(self, key: UserKey | PublicKey, /) -> str:
        """Return what `owner` says of a packet for this key."""
        ...

    def find(self, raw: bytes, key: UserKey, place: str, /) -> bytes | None:
        """Return a user's packet, without looking at all of them."""
        ...

    def wrap(
        self,
        secret: Secret,
        key: UserKey | PublicKey,
        random: Random,
        first: bytes | None = None,
        bound: bytes = b"",
        /,
    ) -> bytes:
        """Return a packet; first: one of the set that it is to join; bound: what a new set is bound to."""
        ...

    def unwrap(self, packet: bytes, key: UserKey, place: str, /) -> Secret:
        """Return what a packet holds."""
        ...

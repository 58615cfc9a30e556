"""
Who may open a file: each policy says which user's packet holds what. A packet is wrapped by
sim.crypto.keys.file_keys.

A policy names users by id. "@name" is a group, whose key is itself wrapped for its members: whoever joins
or leaves a group changes the group's packets, not those of its files (a leaver keeps the group's key all
the same).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sim.crypto.keys.binding import Binding
from sim.crypto.keys.file_keys import KeyRing, wrap_secrets
from sim.crypto.keys.user_keys import GROUP_MARK
from sim.crypto.keys.wrapped import FileKey, Secret, Share, split_key
from sim.crypto.streams import Random
from sim.errors import CryptoError


class Policy(Protocol):
    """Who gets what of a file's key."""

    def secrets(self, key: FileKey, random: Random, /) -> list[tuple[str, Secret]]:
        """Return (user id, what that user's packet is to hold)."""
        ...


@dataclass(frozen=True, slots=True)
class OwnerOnly:
    """One user, and no one else."""

    owner: str

    def secrets(self, key: FileKey, _random: Random) -> list[tuple[str, Secret]]:
        """Return the owner's packet."""
        return [(self.owner, key)]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Any one of these users: a packet for each, hence as many to write as there are users."""

    users: Sequence[str]

    def secrets(self, key: FileKey, _random: Random) -> list[tuple[str, Secret]]:
        """Return a packet for each user."""
        return [(user, key) for user in self.users]


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Whoever has the key of a group: one packet, however many members; opening takes one unwrapping more."""

    group: str

    def secrets(self, key: FileKey, _random: Random) -> list[tuple[str, Secret]]:
        """Return the group's packet; CryptoError if the name is not a group's."""
        if not self.group.startswith(GROUP_MARK):
            raise CryptoError("policy", f"group {self.group!r}", f"{GROUP_MARK}name")
        return [(self.group, key)]


@dataclass(frozen=True, slots=True)
class Escrow:
    """Whoever `inner` allows, and an authority that can open everything."""

    inner: Policy
    authority: str

    def secrets(self, key: FileKey, random: Random) -> list[tuple[str, Secret]]:
        """Return inner's packets and the authority's."""
        return [*self.inner.secrets(key, random), (self.authority, key)]


@dataclass(frozen=True, slots=True)
class KOfN:
    """Any `needed` of these users together, by shares of the key."""

    needed: int
    users: Sequence[str]

    def secrets(self, key: FileKey, random: Random) -> list[tuple[str, Secret]]:
        """Return a share for each user; CryptoError unless 1 <= needed <= users <= 255."""
        shares = split_key(key, self.needed, len(self.users), random)
        return list(zip(self.users, shares, strict=True))


def wrap_by_policy(
    form: str, key: FileKey, policy: Policy, ring: KeyRing, random: Random, binding: Binding | None = None
) -> bytes:
    """
    Return the xattr that a policy makes of a file's key; the ring must hold a key of everyone it names.

    binding: what the set is for; how many shares are needed is put in here. Raises CryptoError as
    `file_keys.wrap_secrets` does.
    """
    named = policy.secrets(key, random)
    if binding is not None:
        needed = {secret.needed for _user, secret in named if isinstance(secret, Share)}
        binding = replace(binding, needed=max(needed, default=0))
    return wrap_secrets(form, [(ring.recipient(user), secret) for user, secret in named], random, binding)

"""
Tags of units: a unit is what one tag is of, a block in a table, a run of blocks with an extent.

Contexts, which are hashed before the data: a letter, the file system's UUID, and the place: T physical block;
E inode, generation, logical block, blocks; P first physical block, blocks; B a block of the table itself; L a
file's list of tags; S a file's Merkle root. Little endian, 8 bytes each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.crypto.macs import TAG_BYTES, Aead, SealedTags, hmac_sha256_128, mac_key_of
from sim.integrity.algorithms import MAX_COUNTER, nonce
from sim.integrity.plan import Plan

OWN_POSITION = 1 << 63
"""Of tags of tags, for a nonce that no block has: inodes are below 2^31."""
LIST_BLOCK = (1 << 32) - 1
_COUNTER_BYTES = 4
_AEAD_KEY_BYTES = 32

Decrypt = Callable[[bytes, int], bytes]
"""(ciphertext of whole blocks, first logical block) -> plaintext."""


class Place(NamedTuple):
    """
    Where a unit lies. context, position: as above, and for nonces. inode: of the file, 0 for no file's.

    logical: its first block in the file.
    """

    context: bytes
    position: int
    inode: int = 0
    logical: int = 0


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A file's own key, and how its blocks are read with it; its repr tells neither."""

    key: bytes = field(repr=False)
    decrypt: Decrypt = field(repr=False)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What someone knows: the volume's key (b"": not), files' own keys by inode."""

    volume: bytes = field(default=b"", repr=False)
    files: Mapping[int, FileSecret] = field(default_factory=dict)


_NUMBERS = [struct.Struct(f"<{count}Q") for count in range(5)]


def context(letter: bytes, uuid: bytes, *numbers: int) -> bytes:
    """Return the bytes of a context."""
    return letter + uuid + _NUMBERS[len(numbers)].pack(*numbers)


class Tagger:
    """
    Makes and judges the tags of one image under a plan, as far as `secrets` allow.

    hashed_bytes: counts what went through an algorithm, contexts left out.
    """

    def __init__(self, plan: Plan, uuid: bytes, secrets: Secrets, keyed_files: frozenset[int]) -> None:
        self.plan = plan
        self.uuid = uuid
        self.hashed_bytes = 0
        self._secrets = secrets
        self._keyed = keyed_files if plan.scheme.file_keys else frozenset()
        self._macs = {number: mac_key_of(secret.key) for number, secret in secrets.files.items()}
        self._seals: dict[int, SealedTags] = {}

    def place(
        self, letter: bytes, position: int, numbers: tuple[int, ...], inode: int, logical: int
    ) -> Place:
        """Return a place of this file system."""
        return Place(context(letter, self.uuid, *numbers), position, inode, logical)

    def block(self, physical: int, inode: int, logical: int) -> Place:
        """Return the place of a block in a table."""
        return self.place(b"T", physical, (physical,), inode, logical)

    def extent(self, inode: int, generation: int, logical: int, blocks: int, physical: int) -> Place:
        """Return the place of a run of blocks: of a file, or, with per_extent_place, of the device."""
        if self.plan.layout == "per_extent_place":
            return self.place(b"P", physical, (physical, blocks), inode, logical)
        return self.place(b"E", inode << 32 | logical, (inode, generation, logical, blocks), inode, logical)

    def can_judge(self, inode: int) -> bool:
        """Return whether the keys at hand tell a right tag of a file's from a wrong one; 0: of no file's."""
        if inode in self._keyed:
            return inode in self._secrets.files
        return bool(self._secrets.volume) or not self.plan.scheme.volume_key

    def _is_keyed(self, place: Place) -> bool:
        return place.inode in self._keyed

    def _mac_key(self, place: Place) -> bytes:
        if not self.plan.scheme.volume_key:
            return b""
        return self._macs[place.inode] if self._is_keyed(place) else self._secrets.volume

    def make(self, place: Place, stored: bytes, old: bytes) -> bytes:
        """Return the tag of a unit as it is stored; old: the tag it replaces. Not for the cipher's own."""
        self.hashed_bytes += len(stored)
        algorithm, scheme = self.plan.algorithm, self.plan.scheme
        if scheme.plain:
            return self._sealed(place, stored)
        return algorithm.make(self._mac_key(place), place.position, place.context + stored, old)

    def again(self, place: Place, stored: bytes, tag: bytes, decrypted: bool = False) -> bytes:
        """
        Return the tag that a unit has if nothing was changed: `tag` itself, or another.

        decrypted: `stored` is its plaintext, for a tag of that.
        """
        self.hashed_bytes += len(stored)
        if self.plan.scheme.plain:
            return self._sealed(place, stored, decrypted)
        if self.plan.scheme.aead and self._is_keyed(place):
            counter = tag[:_COUNTER_BYTES]
            used = nonce(int.from_bytes(counter, "little"), place.position)
            return counter + self._aead(place).tag(used, stored, place.context)
        return self.plan.algorithm.again(self._mac_key(place), place.position, place.context + stored, tag)

    def blocks_again(
        self,
        physical: int,
        stored: bytes,
        size: int,
        tags: list[bytes],
        owner: tuple[int, int] = (0, 0),
        decrypted: bool = False,
    ) -> list[bytes]:
        """
        Return the tags of blocks in a row, as `again` does.

        owner: their inode and the first one's logical block, asked for where files have keys.
        """
        starts = range(0, len(stored), size)
        if self.plan.scheme.file_keys:
            inode, logical = owner
            places = (self.block(physical + at, inode, logical + at) for at in range(len(tags)))
            return [
                self.again(place, stored[at : at + size], tag, decrypted)
                for place, at, tag in zip(places, starts, tags, strict=True)
            ]
        self.hashed_bytes += len(stored)
        again, uuid = self.plan.algorithm.again, self.uuid
        key = self._secrets.volume if self.plan.scheme.volume_key else b""
        return [
            again(key, block, context(b"T", uuid, block) + stored[at : at + size], tag)
            for block, at, tag in zip(range(physical, physical + len(tags)), starts, tags, strict=True)
        ]

    def of_tags(self, place: Place, said: bytes, old: bytes) -> bytes:
        """Return the tag of tags: as `make`, but of what is no file's contents, and never sealed."""
        self.hashed_bytes += len(said)
        made = self.plan.algorithm.make(self._mac_key(place), place.position, place.context + said, old)
        return self._fitted(made)

    def of_tags_again(self, place: Place, said: bytes, tag: bytes) -> bytes:
        """Return the tag that tags have if nothing was changed."""
        self.hashed_bytes += len(said)
        algorithm, key = self.plan.algorithm, self._mac_key(place)
        return self._fitted(algorithm.again(key, place.position, place.context + said, tag))

    def of_root(self, place: Place, digest: bytes) -> bytes:
        """Return the seal of a Merkle root: HMAC-SHA256, 16 bytes."""
        return hmac_sha256_128(self._mac_key(place), place.context + digest)

    def _fitted(self, tag: bytes) -> bytes:
        """Return a tag as long as the plan's are."""
        return tag[: self.plan.tag_bytes].ljust(self.plan.tag_bytes, b"\0")

    def _sealed(self, place: Place, stored: bytes, decrypted: bool = False) -> bytes:
        """Return a checksum of the plaintext, sealed; of a unit without a key, as it is."""
        keyed = self._is_keyed(place)
        plain = stored
        if keyed and not decrypted:
            plain = self._secrets.files[place.inode].decrypt(stored, place.logical)
        tag = self.plan.algorithm.make(b"", 0, place.context + plain)[:TAG_BYTES].ljust(TAG_BYTES, b"\0")
        if not keyed:
            return tag
        if place.inode not in self._seals:
            self._seals[place.inode] = SealedTags(self._secrets.files[place.inode].key)
        return self._seals[place.inode].seal(tag, place.logical)

    # -- the cipher's own tags -------------------------------------------------------------------------

    def _aead(self, place: Place) -> Aead:
        return Aead(self._secrets.files[place.inode].key[:_AEAD_KEY_BYTES])

    def makes_tags(self, place: Place) -> bool:
        """Return whether the cipher makes the tags of a unit."""
        return self.plan.scheme.aead and self._is_keyed(place)

    def seal(self, place: Place, plain: bytes, old: bytes) -> tuple[bytes, bytes]:
        """Return ciphertext and tag of a unit; old: the tag it had, whose counter goes up."""
        counter = int.from_bytes(old[:_COUNTER_BYTES], "little") + 1
        assert counter <= MAX_COUNTER
        self.hashed_bytes += len(plain)
        stored, tag = self._aead(place).seal(nonce(counter, place.position), plain, place.context)
        return stored, counter.to_bytes(_COUNTER_BYTES, "little") + tag

    def open(self, place: Place, stored: bytes, tag: bytes) -> bytes | None:
        """Return the plaintext of a unit, None if it is not what was sealed."""
        self.hashed_bytes += len(stored)
        used = nonce(int.from_bytes(tag[:_COUNTER_BYTES], "little"), place.position)
        return self._aead(place).open(used, stored, tag[_COUNTER_BYTES:], place.context)

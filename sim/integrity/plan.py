"""
What an image's tags are: a layout, a scheme, an algorithm; and the xattr of the root directory that says so.

    4 magic "rpin"   1 version   1 layout   1 scheme   1 algorithm   4 blocks of an extent at most, 0: any
    4 inode of the table, 0: none   16 tag of these, under the volume's key if the scheme has one

Little endian, index 4 (trusted), name "readpath.integrity". The root's xattr, because it is found without a
feature bit of one's own, which e2fsck and the kernel would refuse. Who verifies with the volume's key takes
no other word for what the tags are: a scheme that was put in place of a keyed one is a finding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from sim.crypto.macs import TAG_BYTES, hmac_sha256_128
from sim.errors import ConfigError, ImageError
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.format.xattr import INDEX_TRUSTED, XattrKey
from sim.ext4.read.reader import Image
from sim.integrity.algorithms import ALGORITHMS, Algorithm, algorithm_of

PLAN_KEY: XattrKey = (INDEX_TRUSTED, b"readpath.integrity")
_PLAN = struct.Struct("<4sBBBBII")
_MAGIC = b"rpin"
_VERSION = 1
_NO_KEY = bytes(32)


@dataclass(frozen=True, slots=True)
class Scheme:
    """
    Who can make a tag. volume_key: the volume has a key. file_keys: files' own keys are used.

    plain: the tag is of the plaintext, and sealed. aead: the cipher makes it.
    """

    name: str
    volume_key: bool = False
    file_keys: bool = False
    plain: bool = False
    aead: bool = False


SCHEMES: Mapping[str, Scheme] = {
    one.name: one
    for one in (
        Scheme("checksum"),
        Scheme("mac", volume_key=True),
        Scheme("encrypt-then-mac", volume_key=True, file_keys=True),
        Scheme("checksum-then-encrypt", file_keys=True, plain=True),
        Scheme("aead", volume_key=True, file_keys=True, aead=True),
    )
}
LAYOUTS = ("table_all", "table_data", "per_extent", "merkle", "per_extent_place")
_TABLES = ("table_all", "table_data")
_LISTS = ("per_extent", "per_extent_place")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the tags of an image are; extent_blocks: for per_extent, 0 for extents of any length."""

    layout: str
    scheme: Scheme
    algorithm: Algorithm
    extent_blocks: int = 0
    table_inode: int = 0

    @classmethod
    def of(cls, layout: str, scheme: str, algorithm: str, extent_blocks: int = 0) -> Plan:
        """Return a plan; ConfigError for words that are none, or do not go together."""
        if layout not in LAYOUTS:
            raise ConfigError("layout", repr(layout), ", ".join(LAYOUTS))
        if scheme not in SCHEMES:
            raise ConfigError("scheme", repr(scheme), ", ".join(SCHEMES))
        chosen, found = algorithm_of(algorithm), SCHEMES[scheme]
        keyed = found.volume_key
        if layout == "merkle":
            if algorithm != "sha256" or found.plain or found.aead:
                raise ConfigError(
                    "layout merkle", f"{scheme} with {algorithm}", "sha256, whose root a key may seal"
                )
        elif chosen.keyed != keyed:
            fitting = ", ".join(one.name for one in ALGORITHMS.values() if one.keyed == keyed)
            raise ConfigError(f"scheme {scheme}", algorithm, fitting)
        if layout == "per_extent_place" and chosen.counted:
            # A place that another block was at before has no counter that goes on.
            raise ConfigError(f"layout {layout}", algorithm, "an algorithm without a counter")
        if found.aead and algorithm != "aes-256-gcm":
            raise ConfigError(f"scheme {scheme}", algorithm, "aes-256-gcm")
        if not 0 <= extent_blocks <= 1 << 15 or (extent_blocks and layout not in _LISTS):
            raise ConfigError(
                f"layout {layout}", f"extents of {extent_blocks} blocks", "0 to 32768, per_extent"
            )
        return cls(layout, found, chosen, extent_blocks)

    @property
    def tag_bytes(self) -> int:
        """Bytes of a tag as it is kept: a sealed one has 16."""
        return TAG_BYTES if self.scheme.plain else self.algorithm.tag_bytes

    @property
    def is_list(self) -> bool:
        """Whether the tags lie in lists, of files."""
        return self.layout in _LISTS

    @property
    def is_table(self) -> bool:
        """Whether the tags lie in a table of the volume."""
        return self.layout in _TABLES

    def encode(self, volume_key: bytes) -> bytes:
        """Return the xattr's value."""
        said = _PLAN.pack(
            _MAGIC,
            _VERSION,
            LAYOUTS.index(self.layout),
            list(SCHEMES).index(self.scheme.name),
            list(ALGORITHMS).index(self.algorithm.name),
            self.extent_blocks,
            self.table_inode,
        )
        return said + hmac_sha256_128(volume_key if self.scheme.volume_key else _NO_KEY, said)


def plan_of(image: Image, volume_key: bytes = b"") -> Plan | None:
    """
    Return what an image says that its tags are, None if it says nothing.

    volume_key: what it must be said with; without, a keyed plan is believed as it is. Raises ImageError for
    what cannot be, or is not of that key.
    """
    root = image.inode(ROOT_INODE)
    raw, place = root.xattrs.get(PLAN_KEY), f"{image.name}: integrity"
    if raw is None:
        if volume_key:
            raise ImageError(place, "says nothing of tags", "tags under the volume's key")
        return None
    if len(raw) != _PLAN.size + TAG_BYTES:
        raise ImageError(place, f"{len(raw)} bytes", f"{_PLAN.size + TAG_BYTES}")
    magic, version, layout, scheme, algorithm, blocks, table = _PLAN.unpack_from(raw)
    words = ((layout, len(LAYOUTS)), (scheme, len(SCHEMES)), (algorithm, len(ALGORITHMS)))
    if magic != _MAGIC or version != _VERSION or any(word >= count for word, count in words):
        raise ImageError(place, f"{raw[:8].hex()} says no layout, scheme and algorithm", "version 1")
    names = LAYOUTS[layout], list(SCHEMES)[scheme], list(ALGORITHMS)[algorithm]
    try:
        plan = Plan.of(*names, blocks)
    except ConfigError as error:
        raise ImageError(place, f"{error.place}: {error.problem}", error.allowed) from None
    plan = Plan(plan.layout, plan.scheme, plan.algorithm, blocks, table)
    if volume_key and not plan.scheme.volume_key:
        raise ImageError(place, f"says {plan.scheme.name}, without a key", "tags under the volume's key")
    if (volume_key or not plan.scheme.volume_key) and plan.encode(volume_key) != raw:
        raise ImageError(place, "its own tag is wrong", "what was written with the tags")
    return plan

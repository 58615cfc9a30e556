"""
What a set of wrapped keys is for: the record that ties it to one file or group of one file system.

    1 purpose (1 a file, 2 a group)   1 shares needed, 0 without shares   2 form   4 generation of the inode
    16 UUID of the file system        16 digest of the name               16 id

56 bytes, numbers big endian. In form 1, which files have, the id begins with 4 bytes of the inode number and
12 are random; in form 0, which groups have and files of older versions had, all 16 are: such a set is read,
and may lie in any inode of its name. The record lies in the set, is part of what every wrapping key is
derived from, so that a set under a changed record opens for nobody, and is compared with where the set is
found. The name is the path of a file or the name of a group; the digest is zero for a file that has several
names, which is bound to none of them. A file's id is also in what seals its contents (data_units).

Not covered: an older set of the same file put back (rollback). It gives the key that it gave then.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from sim.crypto.streams import Random
from sim.errors import CryptoError

FOR_FILE, FOR_GROUP = 1, 2
_WORDS = {FOR_FILE: "a file", FOR_GROUP: "a group"}
_RECORD = struct.Struct(">BBHI16s16s16s")
RECORD_BYTES = _RECORD.size
ID_BYTES = 16
NO_NAME = bytes(16)
_MAX_NEEDED = 255
_INODE_BYTES = 4


def name_digest(name: bytes) -> bytes:
    """Return the 16 bytes by which a record knows a name."""
    return hashlib.sha256(b"readpath name\0" + name).digest()[: len(NO_NAME)]


@dataclass(frozen=True, slots=True)
class Binding:
    """
    The record. filesystem: its UUID. name: as `name_digest` makes it, NO_NAME for none.

    needed: how many shares make the key, 0 if it is wrapped whole. id: random, new with every key. inode: the
    file's, 0 for a group and for a set of an older version, which is not bound to one.
    """

    purpose: int
    filesystem: bytes
    generation: int
    name: bytes
    id: bytes
    needed: int = 0
    inode: int = 0

    @classmethod
    def new(
        cls,
        purpose: int,
        filesystem: bytes,
        generation: int,
        name: bytes | None,
        random: Random,
        needed: int = 0,
        inode: int = 0,
    ) -> Binding:
        """Return the record of a new set; name: in clear, None for none."""
        digest = NO_NAME if name is None else name_digest(name)
        unique = random(ID_BYTES)
        if inode:
            unique = inode.to_bytes(_INODE_BYTES, "big") + unique[_INODE_BYTES:]
        return cls(purpose, filesystem, generation, digest, unique, needed, inode)

    def encode(self) -> bytes:
        """Return the 56 bytes."""
        return _RECORD.pack(
            self.purpose, self.needed, bool(self.inode), self.generation, self.filesystem, self.name, self.id
        )

    def check(self, here: Binding, place: str, *, moved: bool = False) -> None:
        """
        Raise CryptoError, naming `place` and what differs, unless the set belongs where it was found.

        here: what is known of that place (its id and needed are not looked at). moved: only the purpose has
        to be right, for a file that its owner has renamed, or a file system with a new UUID.
        """
        other = []
        if self.purpose != here.purpose:
            other.append(f"for {_WORDS[self.purpose]}, not {_WORDS[here.purpose]}")
        if not moved:
            if self.filesystem != here.filesystem:
                other.append(f"of the file system {self.filesystem.hex()}")
            if self.generation != here.generation:
                other.append(f"of an inode of generation {self.generation:#x}, not {here.generation:#x}")
            if 0 not in (self.inode, here.inode) and self.inode != here.inode:
                other.append(f"of inode {self.inode}")
            if NO_NAME not in (self.name, here.name) and self.name != here.name:
                other.append("of another name")
        if other:
            raise CryptoError(
                place,
                f"EIO: the wrapped keys are {', '.join(other)}: they were moved here",
                "its own wrapped keys, or --moved if you have renamed it yourself"
                if self.purpose == here.purpose
                else "its own wrapped keys",
            )


def parse_binding(raw: bytes, place: str) -> Binding:
    """Return the record in 56 bytes; CryptoError, naming `place`, if it is none."""
    if len(raw) != RECORD_BYTES:
        raise CryptoError(place, f"a binding of {len(raw)} bytes", f"{RECORD_BYTES}")
    purpose, needed, form, generation, filesystem, name, unique = _RECORD.unpack(raw)
    if purpose not in _WORDS or form > 1:
        raise CryptoError(
            place, f"a binding of purpose {purpose}, form {form}", "1 (a file), 2 (a group); 0, 1"
        )
    inode = int.from_bytes(unique[:_INODE_BYTES], "big") if form else 0
    return Binding(purpose, filesystem, generation, name, unique, needed, inode)

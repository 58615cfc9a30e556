"""
What an image is to hold, and what it then holds: the arguments and the result of make_image().
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from sim.ext4.format.xattr import XattrKey
from sim.ext4.make.layout import Contiguous, Layout

Transform = Callable[[int, bytes], bytes]
"""(logical block of the file, one plaintext block) -> as many bytes of ciphertext."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a file is encrypted: the fscrypt context kept as xattr, and the cipher, which lives elsewhere."""

    context: bytes
    transform: Transform


@dataclass(frozen=True, slots=True)
class FileSpec:
    """
    One file.

    path: absolute. size_bytes: of the contents; None for the length of `data`, or of a Placed layout.
    data: the contents, None for random ones of (seed, path); what lies in holes or unwritten blocks must
    be zero. filled: False leaves its blocks, which are allocated all the same, as the device has them: zeros.
    xattrs: (name index, name) -> value, e.g. (1, b"note") for user.note.
    """

    path: str
    size_bytes: int | None = None
    layout: Layout = field(default_factory=Contiguous)
    data: bytes | None = None
    filled: bool = True
    encryption: Encryption | None = None
    xattrs: Mapping[XattrKey, bytes] = field(default_factory=dict)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """
    A whole image.

    size_bytes: of the device; None for as much as the files need, and a little more. seed: contents,
    aged layouts, times and uuid follow from it. directories: further, empty ones. new_files, new_bytes: as
    many are to be made later, of so many bytes in all, for which there is room. journal_blocks: of a
    journal, 0 for none; its log is empty, but what it was is still in it: that the names of files with an
    xattr block were made, then inode and xattr block of each, as when they were written. spare_blocks: how
    many more are free, if no size is given. metadata_csum: it has that feature.
    """

    files: tuple[FileSpec, ...] = ()
    block_size: int = 4096
    size_bytes: int | None = None
    seed: int = 0
    directories: tuple[str, ...] = ()
    journal_blocks: int = 0
    new_files: int = 0
    new_bytes: int = 0
    spare_blocks: int = 0
    metadata_csum: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of a made image; sha256 is that of the plaintext, holes as zeros; "" of one not filled."""

    path: str
    size_bytes: int
    inode: int
    sha256: str
    layout: str
    extents: int
    depth: int
    encrypted: bool
    block_size: int
    neighbour_of: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What make_image() made."""

    block_size: int
    blocks_count: int
    uuid: str
    seed: int
    files: tuple[FileRecord, ...]

    def file(self, path: str) -> FileRecord:
        """Return the record of a path; KeyError if there is none."""
        for record in self.files:
            if record.path == path:
                return record
        raise KeyError(path)

    def to_json(self) -> str:
        """Return the manifest as indented JSON with a final newline."""
        return json.dumps(asdict(self), indent=1) + "\n"

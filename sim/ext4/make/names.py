"""
The directory tree of an image being made: paths judged, parents implied, inodes numbered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from sim.errors import ConfigError
from sim.ext4.format.dirs import MAX_NAME_BYTES, DirEntry, encode_blocks
from sim.ext4.format.inode import (
    DIRENT_TYPES,
    LOST_AND_FOUND_INODE,
    ROOT_INODE,
    TYPE_DIRECTORY,
    TYPE_REGULAR,
)

MAX_SUBDIRECTORIES = 64_998
"""So that the link count stays below ext4's limit of 65,000."""


@dataclass(slots=True)
class Directory:
    """A directory being made: its inode, its parent's, and (name, inode, type bits) of its children."""

    inode: int
    parent: int
    children: list[tuple[bytes, int, int]] = field(default_factory=list)
    links: int = 2
    """One from the parent, one from ".", one from each subdirectory."""

    def add(self, name: bytes, inode: int, kind: int) -> None:
        """Add a child."""
        self.children.append((name, inode, kind))
        self.links += kind == TYPE_DIRECTORY

    def encode(self, block_size: int, tail: bool = False) -> list[bytes]:
        """Return the directory's blocks; tail: with a record for each one's checksum."""
        directory = DIRENT_TYPES[TYPE_DIRECTORY]
        entries = [DirEntry(self.inode, b".", directory), DirEntry(self.parent, b"..", directory)]
        entries += [DirEntry(number, name, DIRENT_TYPES[kind]) for name, number, kind in self.children]
        return encode_blocks(entries, block_size, tail)


class Names:
    """The names of an image: directories by path ("" is the root), files by path to inode number."""

    def __init__(self, place: str) -> None:
        self.place = place
        root = Directory(ROOT_INODE, ROOT_INODE)
        root.add(b"lost+found", LOST_AND_FOUND_INODE, TYPE_DIRECTORY)
        self.directories = {"": root, "/lost+found": Directory(LOST_AND_FOUND_INODE, ROOT_INODE)}
        self.files: dict[str, int] = {}
        self.last_inode = LOST_AND_FOUND_INODE

    def _split(self, path: str) -> tuple[str, list[str]]:
        parts = path.split("/")
        bad = not path.startswith("/") or any(
            not part or part in (".", "..") or "\0" in part or len(os.fsencode(part)) > MAX_NAME_BYTES
            for part in parts[1:]
        )
        if bad:
            raise ConfigError(f"{self.place}: {path!r}", "cannot be a path", "/name or /directory/name")
        return "/".join(parts[:-1]), parts[1:]

    def _enter(self, path: str, kind: int) -> tuple[int, int]:
        """Number a new name and enter it into its parent; return (inode, parent's inode)."""
        above, parts = self._split(path)
        parent = self.add_directory(above)
        if path in self.files or path in self.directories:
            raise ConfigError(f"{self.place}: {path}", "is there twice", "each path once")
        self.last_inode += 1
        parent.add(os.fsencode(parts[-1]), self.last_inode, kind)
        if parent.links > MAX_SUBDIRECTORIES:
            raise ConfigError(
                f"{self.place}: {above}", "has too many subdirectories", f"{MAX_SUBDIRECTORIES}"
            )
        return self.last_inode, parent.inode

    def add_directory(self, path: str) -> Directory:
        """Return the directory at `path`, made with its parents if it is not there yet."""
        found = self.directories.get(path)
        if found is None:
            if path in self.files:
                raise ConfigError(f"{self.place}: {path}", "is a file and a directory", "one of them")
            found = Directory(*self._enter(path, TYPE_DIRECTORY))
            self.directories[path] = found
        return found

    def add_file(self, path: str) -> int:
        """Return the inode number of a new file."""
        self.files[path] = inode = self._enter(path, TYPE_REGULAR)[0]
        return inode

    def add_hidden(self) -> int:
        """Return the inode number of something that has no name."""
        self.last_inode += 1
        return self.last_inode

    def blocks_needed(self, block_size: int, tail: bool) -> int:
        """Return how many blocks all directories take."""
        return sum(len(directory.encode(block_size, tail)) for directory in self.directories.values())


def add_all(names: Names, directories: Iterable[str], files: Iterable[str]) -> list[int]:
    """Enter directories, then files, in order; return the files' inode numbers."""
    for path in directories:
        names.add_directory(path.rstrip("/"))
    return [names.add_file(path) for path in files]

"""
What a crash can leave of an image that a verb writes: the verb's system calls, noted, and cut after each one.

A disk keeps what was flushed. Of what was written since, it may have the first pieces in order, or any, torn
at a sector; only the superblock's two sectors, whose checksum covers both, are taken to be written as one. Of
two files that had a name one after the other, it has either until the folder is flushed.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from sim.ext4.edit.overlay import Changes
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.units import SECTOR_BYTES


class Call(NamedTuple):
    """
    "write", "size" (at: the bytes), "flush", "rename" (to the image's name) of a file, by its inode; "names".
    """

    kind: str
    inode: int
    at: int = 0
    data: bytes = b""


class Cut(BaseException):
    """A process is killed: nothing that it does afterwards is done."""


def recorded(action: Callable[[], object], cut_after: int | None = None) -> list[Call]:
    """Return the calls by which an action writes files. cut_after: so many are done, then Cut is raised."""
    calls: list[Call] = []
    pwrite, ftruncate, fsync, replace = os.pwrite, os.ftruncate, os.fsync, os.replace

    def note(call: Call) -> None:
        if cut_after is not None and len(calls) >= cut_after:
            raise Cut
        calls.append(call)

    def write(fd: int, data: bytes, at: int) -> int:
        note(Call("write", os.fstat(fd).st_ino, at, bytes(data)))
        return pwrite(fd, data, at)

    def resize(fd: int, size: int) -> None:
        note(Call("size", os.fstat(fd).st_ino, size))
        ftruncate(fd, size)

    def flush(fd: int) -> None:
        said = os.fstat(fd)
        note(Call("names" if stat.S_ISDIR(said.st_mode) else "flush", said.st_ino))
        fsync(fd)

    def rename(old: Path, new: Path) -> None:
        note(Call("rename", os.stat(old).st_ino))
        replace(old, new)

    unlink = os.unlink

    def remove(path: Path) -> None:
        if cut_after is not None and len(calls) >= cut_after:
            raise Cut
        unlink(path)

    with pytest.MonkeyPatch.context() as patch:
        for name, call in (
            ("pwrite", write),
            ("ftruncate", resize),
            ("fsync", flush),
            ("replace", rename),
            ("unlink", remove),
        ):
            patch.setattr(f"os.{name}", call)
        action()
    return calls


class CrashingDisk:
    """
    An image by its name, while calls are made on it.

    old, inode: the file that has the name at first.
    """

    def __init__(self, old: bytes, inode: int) -> None:
        self._noise = random.Random(7)
        self._flushed = {inode: old}
        self._since: dict[int, Changes] = {inode: []}
        self._shown = [inode]

    def images(self, calls: list[Call]) -> Iterator[bytes]:
        """
        Yield what may have the name, at first and after each call, in order and with pieces shuffled.

        The last one is what is there for good.
        """
        yield self._flushed[self._shown[0]]
        for call in calls:
            if call.kind == "size":
                assert call.inode not in self._shown
                self._flushed[call.inode], self._since[call.inode] = bytes(call.at), []
            elif call.kind == "write":
                self._since[call.inode].append((call.at, call.data))
            elif call.kind == "names":
                self._shown = self._shown[-1:]
            elif call.kind == "rename":
                self._shown.append(call.inode)
                yield from self._any_order(call.inode)
            else:
                yield from self._any_order(call.inode)
                self._flushed[call.inode] = self._with(call.inode, self._since[call.inode])
                self._since[call.inode] = []
            yield from (self._with(inode, self._since[inode]) for inode in self._shown)
        assert 1 == len(self._shown), "the folder is not flushed"
        assert [] == self._since[self._shown[0]], "the image is not flushed"
        yield self._flushed[self._shown[0]]

    def _with(self, inode: int, writes: Changes) -> bytes:
        if not writes:
            return self._flushed[inode]
        data = bytearray(self._flushed[inode])
        for at, piece in writes:
            data[at : at + len(piece)] = piece
        return bytes(data)

    def _any_order(self, inode: int) -> Iterator[bytes]:
        since = self._since[inode]
        if inode not in self._shown or not since:
            return
        shuffled = self._noise.sample(since, len(since))
        yield from (self._with(inode, shuffled[:count]) for count in range(1, len(since)))
        if torn := self._noise.sample(_sectors(since), len(_sectors(since))):
            yield self._with(inode, torn[: self._noise.randrange(len(torn))])


def _sectors(changes: Changes) -> Changes:
    """Return changes cut into sectors; the two of the superblock are one piece."""
    pieces = []
    for at, data in changes:
        middle = SUPERBLOCK_OFFSET + SECTOR_BYTES - at
        ends = [end for end in range(SECTOR_BYTES, len(data), SECTOR_BYTES) if end != middle]
        pieces += [(at + start, data[start:end]) for start, end in pairwise([0, *ends, len(data)])]
    return pieces

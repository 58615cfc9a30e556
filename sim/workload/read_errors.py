"""
Reads that may fail, as fio's psync engine takes them, and what became of each.

A short read is taken up again where it ended (what fio counts as short); an error ends the job, or with
continue_on_error that read alone, whose bytes and time do not count. So does fio 3.33, which the tests ask.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from sim.cache.address_space import OpenFile, Sink
from sim.cache.filemap import Filemap
from sim.cache.pages import Mapping
from sim.engine.cpu import Task


class Compared(Sink):
    """Compares what is read of a file with `plaintext`, all of it. wrong_bytes: so many were others."""

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = np.frombuffer(plaintext, np.uint8)
        self.wrong_bytes = 0

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Compare a piece (Sink)."""
        if mapping.content is not None:
            piece = np.frombuffer(mapping.content[offset : offset + length], np.uint8)
            self.wrong_bytes += int(np.count_nonzero(piece != self._plaintext[offset : offset + length]))


class ReadErrors:
    """
    How the reads of one task go. right, failed, wrong: reads that brought what the file holds, that were
    refused, and that brought other bytes, if only before they were refused; wrong_bytes: how many. short:
    calls that brought less than was asked for, but something. first_error: of the reads that were refused,
    0 without. ends: one was refused that ends the job.
    """

    def __init__(self, filemap: Filemap, continues: bool) -> None:
        self._filemap = filemap
        self._continues = continues
        self.right = self.failed = self.wrong = self.wrong_bytes = 0
        self.short = self.refused = 0
        self.first_error = 0
        self.ends = False

    def read(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        """Read `length` bytes at `offset`, whatever it takes; return as pread(2) does, but never short."""
        sink = file.sink
        before = sink.wrong_bytes if isinstance(sink, Compared) else 0
        done = got = 0
        end = min(offset + length, file.size_bytes)
        while True:
            got = yield from self._filemap.read(task, file, offset + done, length - done)
            if got < 0:
                break
            done += got
            if offset + done >= end:
                break
            self.short += 1
        wrong = (sink.wrong_bytes if isinstance(sink, Compared) else 0) - before
        self.wrong_bytes += wrong
        self.wrong += wrong > 0
        if got < 0:
            self.refused += 1
            self.failed += not wrong
            self.first_error = self.first_error or -got
            self.ends = not self._continues
            return got
        self.right += not wrong
        return done

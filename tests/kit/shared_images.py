"""The images of small cells: each is made once by a process, for all of its tests that read it."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sim.config.cell import Cell
from sim.volume.images import ensure_image


def shared_image(cell: Cell) -> Path:
    """
    Return the image of a cell. Not for tests of how images are made.

    A test may damage it: before it is used again it is held against its digests, and made anew.
    """
    return ensure_image(cell, _root())


@cache
def _root() -> Path:
    folder = TemporaryDirectory(prefix="readpath-images-")
    atexit.register(folder.cleanup)
    return Path(folder.name)

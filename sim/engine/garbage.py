"""
When the interpreter looks for garbage in cycles while a simulation runs.

A run makes and drops many small objects and keeps some. Reference counts are enough for them: nothing that is
made per read is part of a cycle. Looking through what is kept after every 700 objects, as CPython does unless
told otherwise, takes up to a tenth of the time of a compiled run.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 20, 20)
"""gc.set_threshold(): objects made and not dropped before the youngest are looked through; some MB."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage after THRESHOLDS, for as long as it takes."""
    before = gc.get_threshold()
    if before[0]:  # else it is off, and stays so
        gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)

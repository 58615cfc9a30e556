"""
Which PageBytes the core runs with: its own where it is compiled, a bytearray where it is plain Python.
"""

from __future__ import annotations

from typing import cast

from sim.cache.page_bytes import PageBytes
from sim.cache.plain_bytes import PlainBytes
from sim.engine.mode import compiled


def page_bytes(size: int) -> PageBytes:
    """Return one byte, 0, for each of `size` pages."""
    return PageBytes(size) if compiled() else cast("PageBytes", PlainBytes(size))

"""
`nop`: the null path, which reads nothing: pages are up to date at once. For calibration, and as an example.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.no_io import NoIo
from sim.paths.parts import PathParts


def make(parts: PathParts) -> NoIo:
    """Build it."""
    return NoIo(parts.ledger)


DESIGN = PathDesign(name="nop", make=make, order=7, large_folios=("7.3",), recorded_as="nop", listed=False)

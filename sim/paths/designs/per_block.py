"""
`per_block`: the counterfactual of before 2006: mpage, with a get_block for every block and no map carried on.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.designs.mpage import build
from sim.paths.mpage import MpagePath
from sim.paths.parts import PathParts


def make(parts: PathParts) -> MpagePath:
    """Build it."""
    return build(parts, per_block=True)


DESIGN = PathDesign(
    name="per_block", make=make, order=6, colour="purple", marker="D", large_folios=("7.3",), maps_fail=True
)

"""
Checking an image that is open, and one that cannot be opened; sim.ext4.check has what is looked at.
"""

from __future__ import annotations

from sim.ext4.check.findings import MAX_PROBLEMS, Findings
from sim.ext4.check.run import check_store
from sim.ext4.read.reader import Image

__all__ = ["MAX_PROBLEMS", "Findings", "check_image", "check_store"]


def check_image(image: Image) -> list[str]:
    """
    Return a line for each problem found, at most MAX_PROBLEMS and one more; none for a sound image.

    An image that was not unmounted cleanly is told, too: nobody may change it.
    """
    findings = check_store(image.store, image.name)
    return [*findings.problems, *findings.unclean]

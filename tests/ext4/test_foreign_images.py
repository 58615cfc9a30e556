"""
A folder of images from elsewhere, READPATH_IMAGES: e2fsck's verdict on each is ours.

    READPATH_IMAGES=e2fsprogs-1.47.0/tests pytest tests/ext4/test_foreign_images.py

e2fsprogs' own test images are GPL and not here; `apt-get source e2fsprogs` gets them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from e2fsck_verdicts import verdicts

FOLDER = os.environ.get("READPATH_IMAGES", "")


@pytest.mark.skipif(not FOLDER, reason="READPATH_IMAGES names no folder of images")
def test_verdicts_are_those_of_e2fsck() -> None:
    """No clean image is called damaged; of the damaged ones at most one in twenty is not told."""
    found = verdicts(Path(FOLDER))
    assert [] == [v for v in found if v.ours and not v.damaged]
    damaged = [v for v in found if v.damaged]
    missed = [v for v in damaged if not v.ours]
    assert found
    assert len(missed) * 20 <= len(damaged), missed

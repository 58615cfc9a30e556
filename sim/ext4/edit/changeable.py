"""
Whether an image may be changed: what its features ask for is kept up, and e2fsck would have nothing to mend.
"""

from __future__ import annotations

from sim.errors import ImageError
from sim.ext4.check.run import check_image
from sim.ext4.format.features import Incompat, RoCompat, feature_name
from sim.ext4.format.superblock import Superblock
from sim.ext4.read.reader import Image

_STATE_CLEAN = 1
_NOT_KEPT_UP: tuple[RoCompat | Incompat, ...] = (
    RoCompat.QUOTA,
    RoCompat.READONLY,
    RoCompat.SHARED_BLOCKS,
    RoCompat.ORPHAN_PRESENT,
    Incompat.META_BG,
    Incompat.INLINE_DATA,
)


def refuse_unchangeable(sb: Superblock, place: str, kept_up: int = 0) -> None:
    """
    Raise ImageError for an image with a feature that is not kept up here, or not unmounted cleanly.

    kept_up: bits of ro_compat that the caller does keep up.
    """
    features = [feature for feature in _NOT_KEPT_UP if sb.has(feature)]
    features = [f for f in features if not (isinstance(f, RoCompat) and f & kept_up)]
    if sb.has(RoCompat.UNINIT_BG) and not sb.has(RoCompat.METADATA_CSUM):
        features.append(RoCompat.UNINIT_BG)
    for feature in features:
        name = feature_name(feature)
        raise ImageError(place, f"cannot be changed: {name} is not kept up here", f"an image without {name}")
    if sb.state != _STATE_CLEAN:
        raise ImageError(
            place, "cannot be changed: not unmounted cleanly", "an image that e2fsck has cleaned"
        )


def refuse_unsound(image: Image, place: str) -> None:
    """Raise ImageError for an image of which check has anything to tell."""
    for problem in check_image(image):
        raise ImageError(place, f"is not sound: {problem}", "an image that e2fsck has cleaned")

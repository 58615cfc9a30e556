"""
The feature words of a superblock: their names, and what the reader takes.
"""

from __future__ import annotations

from enum import IntFlag

from sim.errors import ImageError


class Compat(IntFlag):
    """Features that a reader may ignore."""

    DIR_PREALLOC = 0x1
    IMAGIC_INODES = 0x2
    HAS_JOURNAL = 0x4
    EXT_ATTR = 0x8
    RESIZE_INODE = 0x10
    DIR_INDEX = 0x20
    SPARSE_SUPER2 = 0x200
    FAST_COMMIT = 0x400
    STABLE_INODES = 0x800
    ORPHAN_FILE = 0x1000


class Incompat(IntFlag):
    """Features without which the image cannot be read."""

    COMPRESSION = 0x1
    FILETYPE = 0x2
    NEEDS_RECOVERY = 0x4
    JOURNAL_DEV = 0x8
    META_BG = 0x10
    EXTENTS = 0x40
    BIT64 = 0x80
    MMP = 0x100
    FLEX_BG = 0x200
    EA_INODE = 0x400
    DIRDATA = 0x1000
    CSUM_SEED = 0x2000
    LARGEDIR = 0x4000
    INLINE_DATA = 0x8000
    ENCRYPT = 0x10000
    CASEFOLD = 0x20000


class RoCompat(IntFlag):
    """Features that a reader may ignore but a writer may not; bigalloc changes what an extent means."""

    SPARSE_SUPER = 0x1
    LARGE_FILE = 0x2
    BTREE_DIR = 0x4
    HUGE_FILE = 0x8
    UNINIT_BG = 0x10
    DIR_NLINK = 0x20
    EXTRA_ISIZE = 0x40
    QUOTA = 0x100
    BIGALLOC = 0x200
    METADATA_CSUM = 0x400
    READONLY = 0x1000
    PROJECT = 0x2000
    SHARED_BLOCKS = 0x4000
    VERITY = 0x8000
    ORPHAN_PRESENT = 0x10000


READ_INCOMPAT = (
    Incompat.FILETYPE
    | Incompat.EXTENTS
    | Incompat.BIT64
    | Incompat.FLEX_BG
    | Incompat.META_BG
    | Incompat.INLINE_DATA
    | Incompat.EA_INODE
    | Incompat.CSUM_SEED
    | Incompat.LARGEDIR
    | Incompat.ENCRYPT
)

READ_RO_COMPAT = (
    RoCompat.SPARSE_SUPER
    | RoCompat.LARGE_FILE
    | RoCompat.BTREE_DIR
    | RoCompat.HUGE_FILE
    | RoCompat.UNINIT_BG
    | RoCompat.DIR_NLINK
    | RoCompat.EXTRA_ISIZE
    | RoCompat.QUOTA
    | RoCompat.METADATA_CSUM
    | RoCompat.READONLY
    | RoCompat.PROJECT
    | RoCompat.VERITY
    | RoCompat.SHARED_BLOCKS
    | RoCompat.ORPHAN_PRESENT
)


_SPELT_BY_MKE2FS = {
    "EXTENTS": "extent",
    "BIT64": "64bit",
    "CSUM_SEED": "metadata_csum_seed",
    "LARGEDIR": "large_dir",
    "READONLY": "read-only",
}
"""Features that mke2fs -O spells unlike the members above; the others are in lower case."""


def feature_name(feature: Compat | Incompat | RoCompat) -> str:
    """Return what mke2fs, tune2fs and dumpe2fs call a feature."""
    name = str(feature.name)
    return _SPELT_BY_MKE2FS.get(name, name.lower())


def _names(kind: type[Compat | Incompat | RoCompat], bits: int) -> list[str]:
    known = {feature.value: feature_name(feature) for feature in kind}
    return [known.get(1 << n, f"bit {1 << n:#x}") for n in range(32) if bits >> n & 1]


def unknown_features(compat: int, incompat: int, ro_compat: int) -> list[str]:
    """Return the bits of the three words that stand for no feature known here."""
    words = ((Compat, compat), (Incompat, incompat), (RoCompat, ro_compat))
    return [
        f"{kind.__name__.lower()} {name}"
        for kind, bits in words
        for name in _names(kind, bits & ~sum(feature.value for feature in kind))
    ]


def refuse_unsupported(incompat: int, ro_compat: int, place: str) -> None:
    """Raise ImageError naming every feature of the image that the reader does not know how to read."""
    strange = _names(Incompat, incompat & ~int(READ_INCOMPAT))
    strange += _names(RoCompat, ro_compat & ~int(READ_RO_COMPAT))
    if strange:
        words = ", ".join(strange)
        hint = "; run e2fsck first" if incompat & Incompat.NEEDS_RECOVERY else ""
        supported = _names(Incompat, int(READ_INCOMPAT)) + _names(RoCompat, int(READ_RO_COMPAT))
        raise ImageError(
            place,
            f"unsupported feature: {words}{hint}",
            ", ".join(supported),
        )

"""
The volumes on which the kernel's writes were recorded: 160 MiB, holes of every kind between their files.

Source: the recordings' own list of files (write cases of Linux 6.1.192); what is in them does not matter.
"""

from __future__ import annotations

from pathlib import Path

from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Layout, Pattern, unwritten
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.units import MIB

_SEED = 20261127
_JOURNAL_BLOCKS = {1024: 8192, 2048: 4096, 4096: 4096}


def make_recorded_volume(path: Path, block_size: int) -> None:
    """Make the volume of a block size (bytes)."""
    per_page = 4096 // block_size
    layouts: list[tuple[str, int, Layout]] = [("contig", 8 * MIB, Contiguous())]
    layouts += [(f"frag{n}", 2 * MIB, Fragmented(n, gap_blocks=1)) for n in (1, 2, 3, 4, 16, 64)]
    layouts += [
        ("sparse", 2 * MIB, Pattern(f"{per_page}d{per_page}h")),
        ("odd", MIB, Pattern("3d1h2d5h1u7d2u")),
        ("unwritten", 2 * MIB, unwritten()),
        ("aged", 2 * MIB, Aged(16)),
        ("free4", 6 * MIB, Fragmented(4, gap_blocks=1)),
        ("free16", 6 * MIB, Fragmented(16, gap_blocks=1)),
        ("tail", MIB + 1234, Contiguous()),
        ("enc_contig", MIB, Contiguous()),
        ("enc_frag1", MIB, Fragmented(1, gap_blocks=1)),
        ("enc_frag4", MIB, Fragmented(4, gap_blocks=1)),
    ]
    # Content costs time and no block: zeros.
    files = tuple(
        FileSpec(f"/{name}", size, layout, data=None if isinstance(layout, Pattern) else bytes(size))
        for name, size, layout in layouts
    )
    spec = ImageSpec(
        files,
        block_size,
        size_bytes=160 * MIB,
        seed=_SEED,
        journal_blocks=_JOURNAL_BLOCKS[block_size],
        directories=("/dir",),
    )
    make_image(path, spec)

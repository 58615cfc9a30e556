"""
What a design of a read path says of itself: how it is built, and what the rest of the house must know of it.

One file in sim/paths/designs holds one `DESIGN`; the registry finds it there. A user's own class says the
same in its attributes, see docs/own-path.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sim.cache.address_space import ReadPath
from sim.paths.parts import PathParts
from sim.paths.post_read_steps import MakeStep

PageState = Literal["buffer heads", "bitmap", "none"]
"""What tells which blocks of a cached page are up to date: struct buffer_head, iomap_page, nothing."""


@dataclass(frozen=True, slots=True)
class PathDesign:
    """
    One design.

    name: what experiments call it. make: builds it. order: its place among the others in lists and legends.
    colour: a name of Okabe and Ito's palette, marker: matplotlib's; "": whatever is free.
    per_extent: it maps by extents, for the figures that hold extents against blocks.
    page_state: see PageState. heads_on_every_page: reading through it leaves buffer heads on all pages.
    large_folios: the kernels on which its files may have large folios. recorded_as: its name in records of
    kernels. listed: experiments may name it.
    kernels: those that it is of, () for any. plain_files: it reads no file that is encrypted by the file
    system, has fs-verity or no extents, and none with data=journal. predicted: why no recording can speak of
    it, if it stands for code of a kernel; figures and notes say so.
    costs: of its own symbols, as in a machine profile's [cost]. mapper: what finds blocks on it, instead of
    what the experiment says (ledger, buffers, block size). post_read: steps beside decryption.
    maps_fail: it reads on where a map cannot be made (FAILED); on others such a run ends with one line.
    """

    name: str
    make: Callable[[PathParts], ReadPath]
    order: int = 0
    colour: str = ""
    marker: str = ""
    per_extent: bool = False
    page_state: PageState = "buffer heads"
    heads_on_every_page: bool = False
    large_folios: tuple[str, ...] = ()
    recorded_as: str = ""
    listed: bool = True
    kernels: tuple[str, ...] = ()
    plain_files: bool = False
    predicted: str = ""
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mapper: Callable[..., Any] | None = None
    post_read: tuple[MakeStep, ...] = ()
    maps_fail: bool = False

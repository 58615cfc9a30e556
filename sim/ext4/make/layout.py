"""
Layouts: where the blocks of one file go, relative to a region that the allocator then places.

A plan is pure: pieces of the file at offsets in a region of `span` blocks. What the pieces leave over is
free space, or belongs to a neighbour file written in turn with this one. Units: blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple, Protocol

from sim.errors import ConfigError
from sim.ext4.format.extents import Extent
from sim.ext4.make.content import named_generator


class Piece(NamedTuple):
    """`length` blocks from `logical` in the file, at `offset` in the region."""

    logical: int
    offset: int
    length: int
    unwritten: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Where a file's pieces lie in a region of `span` blocks, by logical block.

    neighbour: the blocks between the pieces belong to another file; else they stay free.
    absolute: offsets are physical blocks of the device, and `tree_blocks` those of the extent tree (empty:
        the allocator chooses), in the order that TreePlan names: leaves, then index blocks upwards.
    """

    pieces: tuple[Piece, ...]
    span: int
    neighbour: bool = False
    absolute: bool = False
    tree_blocks: tuple[int, ...] = ()


class Layout(Protocol):
    """A rule that lays out a file."""

    def plan(self, blocks: int, seed: int, name: str) -> Plan:
        """Return the plan for a file of `blocks` blocks; (seed, name) is all that chance may depend on."""
        ...


@dataclass(frozen=True, slots=True)
class Contiguous:
    """The whole file in one piece."""

    def plan(self, blocks: int, _seed: int, _name: str) -> Plan:
        """Return one piece."""
        return Plan((Piece(0, 0, blocks, False),) if blocks else (), blocks)


@dataclass(frozen=True, slots=True)
class Fragmented:
    """
    Pieces of `extent_blocks`, with `gap_blocks` of a neighbour file between them (default: as many).

    This is what two programs that write two files in turn leave on a disk without delayed allocation.
    """

    extent_blocks: int
    gap_blocks: int | None = None

    def plan(self, blocks: int, _seed: int, _name: str) -> Plan:
        """Return pieces at a constant stride."""
        _require("fragmented", self.extent_blocks, 1, "extent blocks")
        gap = self.extent_blocks if self.gap_blocks is None else self.gap_blocks
        _require("fragmented", gap, 1, "gap blocks")
        _require_few("fragmented", blocks // self.extent_blocks)
        stride = self.extent_blocks + gap
        pieces = tuple(
            Piece(at, number * stride, min(self.extent_blocks, blocks - at), False)
            for number, at in enumerate(range(0, blocks, self.extent_blocks))
        )
        return Plan(pieces, len(pieces) * stride, neighbour=True)


_PATTERN = re.compile(r"(\d+)([dhu])", re.ASCII)
_KINDS = {"d": "data", "h": "hole", "u": "unwritten"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    Runs of data (d), hole (h) and unwritten (u) blocks, repeated to the end of the file: "3d1h", "1u4d2h".

    The device blocks below a hole stay free, as the kernel's allocator leaves them when a program writes
    a sparse file front to back.
    """

    pattern: str

    def runs(self) -> list[tuple[int, str]]:
        """Return (blocks, kind letter) of one repetition; ConfigError if the pattern cannot be read."""
        words = self.pattern.lower().split()
        if re.search(r"[0-9]{12}", self.pattern):
            raise ConfigError("layout.pattern", f"{self.pattern[:40]!r}", "counts of up to 11 digits")
        found = [(int(n), kind) for n, kind in _PATTERN.findall("".join(words))]
        if not found or _PATTERN.sub("", "".join(words)) or any(n == 0 for n, _kind in found):
            kinds = ", ".join(f"{letter} ({word})" for letter, word in _KINDS.items())
            raise ConfigError("layout.pattern", f"{self.pattern!r}", f"counts above 0 with {kinds}, as 3d1h")
        return found

    def plan(self, blocks: int, _seed: int, _name: str) -> Plan:
        """Return the pieces that are not holes, each at the offset of its logical block."""
        runs = self.runs()
        if len({kind for _length, kind in runs}) == 1:  # one run, however it is written
            runs = [(max(blocks, 1), runs[0][1])]
        _require_few("pattern", blocks * len(runs) // sum(length for length, _kind in runs))
        return Plan(tuple(_repeat(runs, blocks)), blocks)


def _repeat(runs: Sequence[tuple[int, str]], blocks: int) -> Iterator[Piece]:
    at = 0
    for length, kind in cycle(runs):
        if at >= blocks:
            return
        length = min(length, blocks - at)
        if kind != "h":
            yield Piece(at, at, length, kind == "u")
        at += length


def sparse(run_blocks: int, every: int = 2) -> Pattern:
    """Return a layout of runs of `run_blocks`, of which each `every`-th is a hole (2: every other)."""
    _require("sparse", run_blocks, 1, "run blocks")
    _require("sparse", every, 2, "runs between two holes")
    return Pattern(f"{run_blocks * (every - 1)}d{run_blocks}h")


def unwritten(run_blocks: int | None = None, every: int = 2) -> Pattern:
    """Return a layout that is all unwritten, or whose every `every`-th run of `run_blocks` is."""
    if run_blocks is None:
        return Pattern("1u")
    _require("unwritten", run_blocks, 1, "run blocks")
    _require("unwritten", every, 2, "runs between two unwritten ones")
    return Pattern(f"{run_blocks * (every - 1)}d{run_blocks}u")


@dataclass(frozen=True, slots=True)
class Aged:
    """
    A seeded mix, as in a file system that has been in use: extents of random length out of order, with
    other files' blocks between them, and now and then a hole or an unwritten run.

    Lengths are geometric with a mean of `mean_blocks`; a run is a hole or unwritten with the given shares
    (5 % of the runs each if nothing is said; 0: none); a gap of the same distribution follows half of the
    extents; extents are shuffled within `window` neighbours, so that the reader jumps back and forth but not
    across the whole device (Scattered does). `seed` replaces the image's.
    """

    mean_blocks: int = 16
    hole_share: float = 0.05
    unwritten_share: float = 0.05
    window: int = 8
    seed: int | None = None

    def plan(self, blocks: int, seed: int, name: str) -> Plan:
        """Return the plan of (seed, name)."""
        _require("aged", self.mean_blocks, 1, "mean blocks")
        _require("aged", self.window, 1, "window")
        _require_few("aged", blocks // self.mean_blocks)
        if self.hole_share < 0 or self.unwritten_share < 0 or self.hole_share + self.unwritten_share > 1:
            raise ConfigError(
                "layout: aged", f"shares {self.hole_share} and {self.unwritten_share}", "0 to 1, together too"
            )
        rng = named_generator(seed if self.seed is None else self.seed, f"aged\0{name}")
        runs: list[tuple[int, int, bool]] = []
        at = 0
        while at < blocks:
            length = min(int(rng.geometric(1 / self.mean_blocks)), blocks - at)
            dice = float(rng.random())
            if dice >= self.hole_share:
                runs.append((at, length, dice < self.hole_share + self.unwritten_share))
            at += length
        order = [
            start + int(step)
            for start in range(0, len(runs), self.window)
            for step in rng.permutation(min(self.window, len(runs) - start))
        ]
        pieces: list[Piece] = []
        span = 0
        for index in order:
            logical, length, is_unwritten = runs[index]
            pieces.append(Piece(logical, span, length, is_unwritten))
            span += length
            if rng.random() < 0.5:
                span += int(rng.geometric(1 / self.mean_blocks))
        return Plan(tuple(sorted(pieces)), span, neighbour=True)


@dataclass(frozen=True, slots=True)
class Scattered:
    """
    A file that was written at random: its extents lie one behind the other in the order of the writes, which
    is a random order of the file; without holes, and with no other file between.

    Lengths are geometric with a mean of `mean_blocks` (1: every block alone). Two that follow each other in
    the file and on the device are one extent; among n pieces that happens (n - 1) / n times on average.
    `seed` replaces the image's.
    """

    mean_blocks: int = 1
    seed: int | None = None

    def plan(self, blocks: int, seed: int, name: str) -> Plan:
        """Return the plan of (seed, name)."""
        _require("random", self.mean_blocks, 1, "mean blocks")
        _require_few("random", blocks // self.mean_blocks)
        rng = named_generator(seed if self.seed is None else self.seed, f"random\0{name}")
        starts = [0]
        while starts[-1] < blocks:
            starts.append(min(starts[-1] + int(rng.geometric(1 / self.mean_blocks)), blocks))
        pieces, offset = [], 0
        for index in rng.permutation(len(starts) - 1).tolist():
            length = starts[index + 1] - starts[index]
            pieces.append(Piece(starts[index], offset, length, False))
            offset += length
        return Plan(tuple(sorted(pieces)), blocks)


@dataclass(frozen=True, slots=True)
class Placed:
    """
    The layout of a real file: extents at absolute physical blocks, and, if known, its tree blocks.

    tree_blocks: physical blocks of the extent tree: leaves in logical order, then index blocks in logical
        order, level by level upwards; empty if the allocator is to choose. Their number must be what
        plan_tree() needs for the extents.
    size_bytes: of the file, if it is known; unwritten extents may lie behind it, preallocated.
    """

    extents: tuple[Extent, ...]
    tree_blocks: tuple[int, ...] = ()
    size_bytes: int | None = None

    @property
    def blocks(self) -> int:
        """Blocks up to the end of the last extent."""
        return max((extent.logical + extent.length for extent in self.extents), default=0)

    def plan(self, blocks: int, _seed: int, name: str) -> Plan:
        """Return the extents as they are; ConfigError if they overlap, or written ones lie beyond the end."""
        pieces = tuple(Piece(e.logical, e.physical, e.length, e.unwritten) for e in sorted(self.extents))
        at = 0
        for piece in pieces:
            behind = piece.logical + piece.length > blocks and not piece.unwritten
            if piece.logical < at or piece.length < 1 or behind:
                raise ConfigError(
                    f"layout of {name}",
                    f"extent of {piece.length} blocks at logical block {piece.logical}",
                    f"disjoint extents inside logical blocks {at} to {blocks - 1}",
                )
            at = piece.logical + piece.length
        return Plan(pieces, 0, absolute=True, tree_blocks=self.tree_blocks)


MOST_PIECES = 2_000_000
"""Of a plan, its gaps not counted: each takes half a KiB of memory and 20 us on its way to the disk."""


def _require_few(kind: str, pieces: int) -> None:
    if pieces > MOST_PIECES:
        raise ConfigError(f"layout: {kind}", f"about {pieces:,} extents", f"at most {MOST_PIECES:,}")


def _require(kind: str, value: int, least: int, what: str) -> None:
    if value < least:
        raise ConfigError(f"layout: {kind}", f"{value} {what}", f"at least {least}")

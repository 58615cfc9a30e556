"""
Work of the cores as nested slices: the stacks of a stretch of work, laid side by side over its time.

The model charges a stretch as a whole; it does not know in which order its calls came. They are shown in the
order of their stacks, a symbol's own time before that of what it calls. A stretch that other work comes
between is cut there, and what is cut goes on in the next piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Call(NamedTuple):
    """A symbol at the end of its stack, with its own calls, ps and instructions."""

    stack: tuple[str, ...]
    calls: int
    ps: int
    milli_instructions: int


class Edge(NamedTuple):
    """
    The beginning of a slice (name) or its end (""), at_ps: after so much of the stretch's own time.

    own: what the symbol did itself, of a beginning.
    """

    at_ps: int
    name: str
    own: Call | None


@dataclass(frozen=True, slots=True)
class Kind:
    """Stretches that did the same. edges: of its slices, in order. ps: own time of all its calls."""

    edges: tuple[Edge, ...]
    ps: int


def kind_of(calls: Sequence[Call]) -> Kind:
    """Return the slices of a stretch that made these calls."""
    edges: list[Edge] = []
    open_now: list[str] = []
    at = 0
    for call in sorted(calls):
        common = 0
        for ours, theirs in zip(open_now, call.stack[:-1], strict=False):
            if ours != theirs:
                break
            common += 1
        edges += [Edge(at, "", None)] * (len(open_now) - common)
        edges += [Edge(at, name, None) for name in call.stack[common:-1]]
        edges.append(Edge(at, call.stack[-1], call))
        open_now = list(call.stack)
        at += call.ps
    edges += [Edge(at, "", None)] * len(open_now)
    return Kind(tuple(edges), at)


Placed = tuple[int, str, Call | None]
"""(ns, name of the slice that begins or "" where one ends, what it did itself) of an edge."""


def cut(kind: Kind, pieces: Sequence[tuple[int, int]]) -> list[list[Placed]]:
    """
    Return the edges in each piece [start, end) of a stretch, all slices that are open cut where one ends.

    What a symbol did itself comes with the first part of its slice only.
    """
    own_ns = sum(end - start for start, end in pieces)
    open_now: list[str] = []
    found: list[list[Placed]] = [[]]
    before, number = 0, 0
    for edge in kind.edges:
        ns = nearest_ns(edge.at_ps, own_ns, kind.ps)
        while number < len(pieces) - 1 and (ns, bool(edge.name)) > (before + _length(pieces[number]), False):
            found[-1] += [(pieces[number][1], "", None)] * len(open_now)
            before += _length(pieces[number])
            number += 1
            found.append([(pieces[number][0], name, None) for name in open_now])
        found[-1].append((pieces[number][0] + ns - before, edge.name, edge.own))
        if edge.name:
            open_now.append(edge.name)
        else:
            open_now.pop()
    return found + [[] for _ in range(len(pieces) - len(found))]


def nearest_ns(at_ps: int, own_ns: int, whole_ps: int) -> int:
    """Return when a place in a stretch's calls comes, in ns of its own time."""
    return round(at_ps * (own_ns / whole_ps)) if whole_ps else 0


def _length(piece: tuple[int, int]) -> int:
    return piece[1] - piece[0]

"""
Stacks put together to a tree: each frame with what it and all that it called cost, on one side or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Frame:
    """
    A function below its callers. own: cost without what it calls, a number a side; group: of its own cost, ""
    if it has none. children: by name.
    """

    name: str
    own: list[float]
    group: str = ""
    children: dict[str, Frame] = field(default_factory=dict)

    def whole(self, side: int) -> float:
        """Return the cost with all that it calls."""
        return self.own[side] + sum(child.whole(side) for child in self.children.values())


class Placed(NamedTuple):
    """A frame in a picture: how deep, where it begins and how wide it is, in units of cost of one side."""

    frame: Frame
    depth: int
    start: float
    width: float


def tree_of(stacks: Iterable[tuple[Sequence[str], str, int, float]], sides: int = 1) -> Frame:
    """Return the root over all stacks, each with its frames, cost group, side and own cost."""
    root = Frame("all", [0.0] * sides)
    for stack, group, side, cost in stacks:
        frame = root
        for name in stack:
            child = frame.children.get(name)
            if child is None:
                child = frame.children[name] = Frame(name, [0.0] * sides)
            frame = child
        frame.own[side] += cost
        frame.group = group
    return root


def placed(root: Frame, side: int) -> Iterator[Placed]:
    """Yield all frames that cost something on a side, callers first, children in the order of their names."""
    yield from _below(root, side, 0, 0.0)


def _below(frame: Frame, side: int, depth: int, start: float) -> Iterator[Placed]:
    width = frame.whole(side)
    if width <= 0:
        return
    yield Placed(frame, depth, start, width)
    for name in sorted(frame.children):
        child = frame.children[name]
        yield from _below(child, side, depth + 1, start)
        start += child.whole(side)

"""
Packets of a Perfetto trace that differ in nothing but numbers, written many at a time.

A shape is bytes with places that numbers go to, TIME_BYTES each. What is to be written is a sequence of
items, bytes or a shape with its numbers; `assembled` fills all rows of a shape at once and keeps the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

TIME_BYTES = 8
"""Of a number as a varint: up to 2^56, two years in ns."""
Numbers = NDArray[np.int64]
_ROWS = 4096
"""Items that are put together at once: a few MB."""
_MASKS = [(np.uint64(127 << 7 * at), np.uint64(at)) for at in range(TIME_BYTES)]
_MORE = np.uint64(int.from_bytes(bytes([128] * (TIME_BYTES - 1) + [0]), "little"))


class Shape:
    """Packets in which numbers are left open. raw: the places of those that are 64 bits, not varints."""

    def __init__(self, content: bytes, places: Sequence[int], raw: frozenset[int] = frozenset()) -> None:
        self.content, self.places, self.raw = content, tuple(places), raw
        self.length = len(content)
        self._template = np.frombuffer(content, np.uint8)

    def and_then(self, other: Shape) -> Shape:
        """Return the packets of both, with the numbers of both."""
        moved = [place + self.length for place in other.places]
        raw = self.raw | {place + self.length for place in other.raw}
        return Shape(self.content + other.content, [*self.places, *moved], raw)

    def numbers(self, rows: Numbers) -> Numbers:
        """Return what is written at the places, a row for each of those given."""
        return rows

    def filled(self, rows: Numbers) -> bytes:
        """Return the packets of all rows, one behind the other."""
        numbers = self.numbers(rows).astype(np.uint64)
        spread = padded(numbers)
        for at, place in enumerate(self.places):
            if place in self.raw:
                spread[:, at] = numbers[:, at]
        made = np.empty((len(rows), self.length), np.uint8)
        made[:] = self._template
        written = spread.astype("<u8", copy=False).view(np.uint8).reshape(len(rows), -1, TIME_BYTES)
        for at, place in enumerate(self.places):
            made[:, place : place + TIME_BYTES] = written[:, at]
        return made.tobytes()


class Stretch(Shape):
    """Packets whose times are shares of a stretch of work: a row is when it starts, and how long it is."""

    def __init__(self, shape: Shape, shares: Sequence[float]) -> None:
        super().__init__(shape.content, shape.places)
        self._shares = np.asarray(shares, np.float64)

    def numbers(self, rows: Numbers) -> Numbers:
        """Return the times."""
        times: Numbers = rows[:, :1] + np.rint(self._shares * rows[:, 1:]).astype(np.int64)
        return times


Item = bytes | tuple[Shape, tuple[int, ...]]


def assembled(items: Iterable[Item]) -> Iterator[bytes]:
    """Yield the bytes of items in their order, some thousands at a time."""
    out: list[bytes] = []
    rows: dict[Shape, tuple[list[int], list[tuple[int, ...]]]] = {}
    for item in items:
        if isinstance(item, bytes):
            out.append(item)
        else:
            shape, numbers = item
            filled = rows.get(shape)
            if filled is None:
                filled = rows[shape] = [], []
            filled[0].append(len(out))
            filled[1].append(numbers)
            out.append(b"")
        if len(out) == _ROWS:
            yield _joined(out, rows)
            out, rows = [], {}
    yield _joined(out, rows)


def _joined(out: list[bytes], rows: dict[Shape, tuple[list[int], list[tuple[int, ...]]]]) -> bytes:
    """Return the items' bytes, those of shapes put into their places."""
    for shape, (at, numbers) in rows.items():
        content, length = shape.filled(np.asarray(numbers, np.int64)), shape.length
        for number, place in enumerate(at):
            out[place] = content[number * length : (number + 1) * length]
    return b"".join(out)


def padded(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers as varints of TIME_BYTES: seven bits a byte, all but the last marked as having more."""
    spread = np.full(numbers.shape, _MORE)
    for mask, shift in _MASKS:
        spread |= (numbers & mask) << shift
    return spread

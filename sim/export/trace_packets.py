"""
Packets of a Perfetto trace, in protobuf's wire form: only the fields that are written here.

Field numbers are those of protos/perfetto/trace (TracePacket, TrackEvent, TrackDescriptor, InternedData of
Perfetto 0.59). Every time has the same number of bytes, so that packets of one shape differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

TIME_BYTES = 8
"""Of a time in ns as a varint: up to 2^56 ns, two years."""
_SEQUENCE = 1
_CLEARED, _NEEDED = 1, 2


class Event(IntEnum):
    """TrackEvent.Type."""

    BEGIN = 1
    END = 2
    COUNTER = 4


def varint(value: int) -> bytes:
    """Return a number of 0 or more as protobuf writes it."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(field: int, value: int) -> bytes:
    """Return a field with a number; one below 0 as an int64."""
    return varint(field << 3) + varint(value & (1 << 64) - 1)


def block(field: int, content: bytes) -> bytes:
    """Return a field with bytes: a message, a string."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def fixed(field: int, value: int) -> bytes:
    """Return a field of 64 bits."""
    return varint(field << 3 | 1) + value.to_bytes(8, "little")


def text(field: int, value: str) -> bytes:
    """Return a field with a string."""
    return block(field, value.encode())


def packet(content: bytes) -> bytes:
    """Return a packet of a trace."""
    return block(1, content + number(10, _SEQUENCE))


def start() -> bytes:
    """Return the first packet: what was interned before is forgotten."""
    return packet(number(13, _CLEARED))


def track(uuid: int, name: str, parent: int = 0, rank: int = 0, counter: bool = False) -> bytes:
    """Return the packet that describes a track. rank: its place among its siblings."""
    content = number(1, uuid) + text(2, name) + (number(5, parent) if parent else b"")
    content += number(12, rank) + number(11, 3)
    if counter:
        content += block(8, number(3, 2))
    return packet(block(60, content))


class Interned:
    """Names that are told once and then called by their number."""

    def __init__(self, field: int) -> None:
        """field: of InternedData, 2 for events, 3 for arguments."""
        self._field = field
        self._numbers: dict[str, int] = {}
        self._new: list[bytes] = []

    def of(self, name: str) -> int:
        """Return the number of a name."""
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers[name] = len(self._numbers) + 1
            self._new.append(block(self._field, number(1, known) + text(2, name)))
        return known

    def take_new(self) -> bytes:
        """Return what has to be told before the next event, in an InternedData."""
        new, self._new = b"".join(self._new), []
        return new


class Names:
    """All names of a trace."""

    def __init__(self) -> None:
        self.events = Interned(2)
        self.arguments = Interned(3)

    def told(self) -> bytes:
        """Return the packet that tells the names that are new; nothing if there are none."""
        new = self.events.take_new() + self.arguments.take_new()
        return packet(block(12, new) + number(13, _NEEDED)) if new else b""

    def event(
        self,
        kind: Event,
        uuid: int,
        name: str = "",
        arguments: Mapping[str, int | str] | None = None,
        flows: Iterable[int] = (),
        value: int = 0,
    ) -> bytes:
        """Return an event without its time, to be given to `timed`."""
        content = number(9, kind) + number(11, uuid)
        if name:
            content += number(10, self.events.of(name))
        for key, said in (arguments or {}).items():
            shown = text(6, said) if isinstance(said, str) else number(4, said)
            content += block(4, number(1, self.arguments.of(key)) + shown)
        for flow in flows:
            content += fixed(47, flow)
        if kind == Event.COUNTER:
            content += number(30, value)
        return number(10, _SEQUENCE) + number(13, _NEEDED) + block(11, content)


def timed(event: bytes, ns: int) -> bytes:
    """Return the packet of an event at a time."""
    head, at = shaped(event)
    return head[:at] + padded(ns) + head[at + TIME_BYTES :]


def shaped(event: bytes) -> tuple[bytes, int]:
    """Return the packet of an event with no time in it yet, and where that goes."""
    content = varint(8 << 3) + bytes(TIME_BYTES) + event
    whole = block(1, content)
    return whole, len(whole) - len(content) + 1


def padded(ns: int) -> bytes:
    """Return a time in TIME_BYTES."""
    return bytes(
        [*(ns >> 7 * at & 127 | 128 for at in range(TIME_BYTES - 1)), ns >> 7 * (TIME_BYTES - 1) & 127]
    )

"""
Packets of a Perfetto trace, in protobuf's wire form: only the fields that are written here.

Field numbers are those of protos/perfetto/trace (TracePacket, TrackEvent, TrackDescriptor, InternedData of
Perfetto 0.59). Every time has the same number of bytes, so that packets of one shape differ in nothing else.
"""

from __future__ import annotations

from enum import IntEnum

from sim.export.trace_shapes import TIME_BYTES, Shape

_SEQUENCE = 1
_CLEARED, _NEEDED = 1, 2


class Event(IntEnum):
    """TrackEvent.Type."""

    BEGIN = 1
    END = 2
    COUNTER = 4


_SHORT = [bytes([value]) for value in range(128)]


def varint(value: int) -> bytes:
    """Return a number of 0 or more as protobuf writes it."""
    if value < 128:
        return _SHORT[value]
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


_OF_SEQUENCE = number(10, _SEQUENCE) + number(13, _NEEDED)


Said = tuple[tuple[str, int | str | None], ...]
"""Arguments of an event; None is a number that is left open."""


class Interned:
    """Names that are told once and then called by their number; `new`: those not yet told."""

    def __init__(self, field: int, new: list[bytes]) -> None:
        """field: of InternedData, 2 for events, 3 for arguments."""
        self._field = field
        self._numbers: dict[str, int] = {}
        self._new = new

    def of(self, name: str) -> int:
        """Return the number of a name."""
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers[name] = len(self._numbers) + 1
            self._new.append(block(self._field, number(1, known) + text(2, name)))
        return known


class Names:
    """
    All names of a trace, and the shapes of events that are called by them.

    new: what has to be told before the next event (`told`), in an InternedData.
    """

    def __init__(self) -> None:
        self.new: list[bytes] = []
        self.events = Interned(2, self.new)
        self.arguments = Interned(3, self.new)
        self._shapes: dict[tuple[Event, int, str, Said, int, int], Shape] = {}

    def told(self) -> bytes:
        """Return the packet that tells the names that are new; nothing if there are none."""
        new = b"".join(self.new)
        self.new.clear()
        return packet(block(12, new) + number(13, _NEEDED)) if new else b""

    def event(
        self, kind: Event, uuid: int, name: str = "", said: Said = (), flows: int = 0, value: int = 0
    ) -> Shape:
        """Return an event: its numbers are the time, the arguments that are None, and as many flows."""
        key = kind, uuid, name, said, flows, value
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = self._shape(*key)
        return shape

    def _shape(self, kind: Event, uuid: int, name: str, said: Said, flows: int, value: int) -> Shape:
        content = number(9, kind) + number(11, uuid)
        content += number(10, self.events.of(name)) if name else b""
        places, raw = [], []
        for key, constant in said:
            called = number(1, self.arguments.of(key))
            if constant is None:
                content += block(4, called + varint(4 << 3) + bytes(TIME_BYTES))
                places.append(len(content) - TIME_BYTES)
            else:
                shown = text(6, constant) if isinstance(constant, str) else number(4, constant)
                content += block(4, called + shown)
        for _ in range(flows):
            content += fixed(47, 0)
            raw.append(len(content) - TIME_BYTES)
        if kind == Event.COUNTER:
            content += number(30, value)
        event = varint(8 << 3) + bytes(TIME_BYTES) + _OF_SEQUENCE + block(11, content)
        whole = block(1, event)
        time, moved = len(whole) - len(event) + 1, len(whole) - len(content)
        flow_places = frozenset(place + moved for place in raw)
        return Shape(whole, [time, *(place + moved for place in (*places, *raw))], flow_places)

    def end(self, uuid: int) -> Shape:
        """Return the end of a slice: its number is the time."""
        return self.event(Event.END, uuid)

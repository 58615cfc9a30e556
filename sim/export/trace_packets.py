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
        self._heads: dict[tuple[Event, int, str], bytes] = {}
        self._plain: dict[tuple[Event, int, int], tuple[bytes, bytes]] = {}

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
        head = self._heads.get((kind, uuid, name))
        if head is None:
            head = number(9, kind) + number(11, uuid)
            head += number(10, self.events.of(name)) if name else b""
            self._heads[kind, uuid, name] = head
        content = head
        for key, said in (arguments or {}).items():
            shown = text(6, said) if isinstance(said, str) else number(4, said)
            content += block(4, number(1, self.arguments.of(key)) + shown)
        for flow in flows:
            content += fixed(47, flow)
        if kind == Event.COUNTER:
            content += number(30, value)
        return _OF_SEQUENCE + block(11, content)

    def end(self, uuid: int, ns: int) -> bytes:
        """Return the packet of the end of a slice."""
        return self._at(Event.END, uuid, 0, ns)

    def count(self, uuid: int, value: int, ns: int) -> bytes:
        """Return the packet of a value of a counter."""
        return self._at(Event.COUNTER, uuid, value, ns)

    def _at(self, kind: Event, uuid: int, value: int, ns: int) -> bytes:
        """Return the packet of an event that differs from others of its kind in nothing but the time."""
        parts = self._plain.get((kind, uuid, value))
        if parts is None:
            whole, at = shaped(self.event(kind, uuid, value=value))
            parts = self._plain[kind, uuid, value] = whole[:at], whole[at + TIME_BYTES :]
        return parts[0] + padded(ns) + parts[1]


def timed(event: bytes, ns: int) -> bytes:
    """Return the packet of an event at a time."""
    head, at = shaped(event)
    return head[:at] + padded(ns) + head[at + TIME_BYTES :]


def shaped(event: bytes) -> tuple[bytes, int]:
    """Return the packet of an event with no time in it yet, and where that goes."""
    content = varint(8 << 3) + bytes(TIME_BYTES) + event
    whole = block(1, content)
    return whole, len(whole) - len(content) + 1


_MASKS = [(127 << 7 * at, at) for at in range(TIME_BYTES)]
_MORE = int.from_bytes(bytes([128] * (TIME_BYTES - 1) + [0]), "little")


def padded(ns: int) -> bytes:
    """Return a time in TIME_BYTES: seven bits a byte, all but the last marked as having more behind them."""
    spread = _MORE
    for mask, shift in _MASKS:
        spread |= (ns & mask) << shift
    return spread.to_bytes(TIME_BYTES, "little")

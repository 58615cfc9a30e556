"""
The tracks of the cores in a Perfetto trace: what ran in each context, down to the kernel's symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.experiment.traced_tables import pieces
from sim.export.cpu_slices import Call, Kind, Placed, cut, kind_of
from sim.export.trace_packets import TIME_BYTES, Event, Names, shaped, timed, track

CONTEXTS = ("task", "irq", "kworker")
_FIRST_UUID = 1000
_SHIFTS = np.arange(TIME_BYTES, dtype=np.int64) * 7
_MORE = np.array([128] * (TIME_BYTES - 1) + [0], np.int64)


def cpu_packets(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield the packets of all cores' tracks; of the stretches that begin in `between` [ns, ns)."""
    kinds = kinds_of(run, cell, seed)
    split = _pieces_of_split(run, cell, seed)
    cutting: dict[int, list[list[Placed]]] = {}
    shapes: dict[tuple[int, int, str], _Shape] = {}
    tracks: dict[tuple[int, str], int] = {}
    for piece in pieces(run, "bursts", cell, seed):
        rows: Any = piece
        columns = (rows[name] for name in ("burst", "cpu", "context", "comm", "start_ns", "ns", "kind"))
        for burst, cpu, context, comm, start, ns, kind in zip(*columns, strict=True):
            whole = split.get(burst)
            began = start if whole is None else whole[0][0]
            if not between[0] <= began < between[1]:
                continue
            uuid = tracks.get((cpu, context))
            if uuid is None:
                uuid = tracks[cpu, context] = _FIRST_UUID + 4 * cpu + 1 + CONTEXTS.index(context)
                yield from _described(cpu, context, uuid, tracks)
            if whole is None:
                shape = shapes.get((kind, uuid, comm))
                if shape is None:
                    shape = shapes[kind, uuid, comm] = _Shape(kinds[kind], uuid, comm, names)
                    yield names.told()
                yield shape.at(start, ns)
                continue
            if burst not in cutting:
                cutting[burst] = cut(kinds[kind], whole)
            yield from _cut_packets(cutting[burst].pop(0), (start, start + ns), uuid, comm, names)
            if not cutting[burst]:
                del cutting[burst]


def _described(cpu: int, context: str, uuid: int, tracks: dict[tuple[int, str], int]) -> Iterator[bytes]:
    if sum(known == cpu for known, _ in tracks) == 1:
        yield track(_FIRST_UUID + 4 * cpu, f"CPU {cpu}", rank=cpu)
    name = f"CPU {cpu} {context}"
    yield track(uuid, name, _FIRST_UUID + 4 * cpu, CONTEXTS.index(context))


def kinds_of(run: Path, cell: int, seed: int) -> dict[int, Kind]:
    """Return the kinds of stretches of a cell, by number."""
    calls: dict[int, list[Call]] = {}
    for piece in pieces(run, "burst_calls", cell, seed):
        rows: Any = piece
        columns = (rows[name] for name in ("kind", "stack", "calls", "ps", "milli_instructions"))
        for kind, stack, count, ps, mi in zip(*columns, strict=True):
            calls.setdefault(kind, []).append(Call(tuple(stack.split(";")), count, ps, mi))
    return {kind: kind_of(made) for kind, made in calls.items()} | {-1: kind_of([])}


def _pieces_of_split(run: Path, cell: int, seed: int) -> dict[int, list[tuple[int, int]]]:
    """Return the pieces of each stretch that has several, by its number."""
    numbers = [
        np.asarray(piece["burst"], np.int64) for piece in pieces(run, "bursts", cell, seed, ("burst",))
    ]
    split = np.bincount(np.concatenate([*numbers, np.zeros(0, np.int64)])) > 1
    found: dict[int, list[tuple[int, int]]] = {}
    for piece in pieces(run, "bursts", cell, seed, ("burst", "start_ns", "ns")) if split.any() else ():
        rows: Any = piece
        for burst, start, ns in zip(rows["burst"], rows["start_ns"], rows["ns"], strict=True):
            if split[burst]:
                found.setdefault(burst, []).append((start, start + ns))
    return found


def _arguments(own: Call | None) -> dict[str, int | str]:
    """Return what a slice says: the symbol's own calls, time and instructions."""
    if own is None:
        return {}
    return {"calls": own.calls, "self_ps": own.ps, "self_milli_instructions": own.milli_instructions}


def _cut_packets(
    edges: list[Placed], piece: tuple[int, int], uuid: int, comm: str, names: Names
) -> Iterator[bytes]:
    """Yield the packets of one piece of a stretch."""
    events = [timed(names.event(Event.BEGIN, uuid, comm), piece[0])]
    for ns, name, own in edges:
        kind = Event.BEGIN if name else Event.END
        events.append(timed(names.event(kind, uuid, name, _arguments(own)), ns))
    events.append(names.end(uuid, piece[1]))
    yield names.told()
    yield b"".join(events)


class _Shape:
    """
    The packets of a kind of stretch on one track, in which only the times are left open.
    """

    def __init__(self, kind: Kind, uuid: int, comm: str, names: Names) -> None:
        made = [names.event(Event.BEGIN, uuid, comm)]
        for edge in kind.edges:
            begins = Event.BEGIN if edge.name else Event.END
            made.append(names.event(begins, uuid, edge.name, _arguments(edge.own)))
        made.append(names.event(Event.END, uuid))
        places, content = [], bytearray()
        for event in made:
            packet, at = shaped(event)
            places.append(len(content) + at)
            content += packet
        self._content = np.frombuffer(bytes(content), np.uint8).copy()
        self._places = np.asarray(places, np.int64)[:, None] + np.arange(TIME_BYTES)
        at_ps = [0, *(edge.at_ps for edge in kind.edges), kind.ps]
        self._share: NDArray[np.float64] = np.asarray(at_ps, np.float64) / (kind.ps or 1)
        self._share[-1] = 1.0

    def at(self, start: int, ns: int) -> bytes:
        """Return the packets of a stretch of `ns` that starts at `start`."""
        times = start + np.rint(self._share * ns).astype(np.int64)
        self._content[self._places] = (times[:, None] >> _SHIFTS & 127 | _MORE).astype(np.uint8)
        return self._content.tobytes()

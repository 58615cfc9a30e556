"""
The tracks of the cores in a Perfetto trace: what ran in each context, down to the kernel's symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.experiment.traced_tables import pieces
from sim.export.cpu_slices import Call, Kind, Placed, cut, kind_of
from sim.export.trace_packets import Event, Names, Said, track
from sim.export.trace_shapes import Item, Stretch

CONTEXTS = ("task", "irq", "kworker")
_FIRST_UUID = 1000


def cpu_items(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
    """Yield the items of all cores' tracks; of the stretches that begin in `between` [ns, ns)."""
    kinds = kinds_of(run, cell, seed)
    split = _pieces_of_split(run, cell, seed)
    cutting: dict[int, list[list[Placed]]] = {}
    shapes: dict[tuple[int, int, str], Stretch] = {}
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
                    shape = shapes[kind, uuid, comm] = _stretch(kinds[kind], uuid, comm, names)
                    yield names.told()
                yield shape, (start, ns)
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


def _arguments(own: Call | None) -> Said:
    """Return what a slice says: the symbol's own calls, time and instructions."""
    if own is None:
        return ()
    return ("calls", own.calls), ("self_ps", own.ps), ("self_milli_instructions", own.milli_instructions)


def _cut_packets(
    edges: list[Placed], piece: tuple[int, int], uuid: int, comm: str, names: Names
) -> Iterator[Item]:
    """Yield the items of one piece of a stretch."""
    items: list[Item] = [(names.event(Event.BEGIN, uuid, comm), (piece[0],))]
    for ns, name, own in edges:
        kind = Event.BEGIN if name else Event.END
        items.append((names.event(kind, uuid, name, _arguments(own)), (ns,)))
    yield names.told()
    yield from items
    yield names.end(uuid), (piece[1],)


def _stretch(kind: Kind, uuid: int, comm: str, names: Names) -> Stretch:
    """Return the packets of a kind of stretch on one track."""
    whole = names.event(Event.BEGIN, uuid, comm)
    for edge in kind.edges:
        begins = Event.BEGIN if edge.name else Event.END
        whole = whole.and_then(names.event(begins, uuid, edge.name, _arguments(edge.own)))
    own_ps = kind.ps or 1
    shares = [0.0, *(edge.at_ps / own_ps for edge in kind.edges), 1.0]
    return Stretch(whole.and_then(names.end(uuid)), shares)

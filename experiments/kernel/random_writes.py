# SPDX-License-Identifier: MIT
"""
Writes that nobody has thought of: cases drawn at random, for `make truth CASES=random:SEED`.

Left out, for time decides what comes of them: the flusher's own rounds, and more data under data=journal than
a transaction takes, and a sync behind each write (which of them fell into a new clock tick); and files that
are in memory before where a page has several extents, for what the read left of their buffers is not
simulated.
"""

from __future__ import annotations

from random import Random

from cases import Record
from write_cases import MODES, SIZES, case, opened

from sim.units import KIB, MIB, PAGE_BYTES

CASES = 120
"""Of a seed."""
WHOLE = {"contig": 2 * MIB} | {f"frag{run}": 2 * MIB for run in (1, 2, 3, 4, 16, 64)}
"""Files without holes, and how much of them is written: other operations have no handles to allocate with."""
FILES = WHOLE | {"aged": 2 * MIB, "tail": MIB + 1234, "sparse": 2 * MIB, "odd": MIB, "unwritten": 2 * MIB}
NEW = "new"
ENDS = ("end", "end", "fdatasync", "sfr", "sfrw", "none")
MOST_JOURNALLED = 768 * KIB
MOST = 3 * MIB


def random_cases(seed: int) -> list[Record]:
    """Return the cases of a seed, always the same."""
    return [_case(Random(f"{seed}/{number}"), f"random-{seed}-{number}") for number in range(CASES)]


def _case(draw: Random, tag: str) -> Record:
    bs, mode, sync = draw.choice(SIZES), draw.choice(tuple(MODES)), draw.choice(ENDS)
    own = mode not in ("od", "wn") or draw.random() < 0.7
    path = "own" if own else draw.choice(("bwfp", "mpage"))
    file = draw.choice(tuple(FILES if own else WHOLE))
    sync = sync if own or sync != "none" else "end"  # else another operation is to write it
    if own and draw.random() < 0.3:
        file, cache, es, before = NEW, "cold", "warm", [f"open 0 /mnt/{NEW} c"]
    else:
        known = file == "contig" or (bs == PAGE_BYTES and file in WHOLE)
        cache = draw.choice(("cold", "warm")) if known else "cold"
        es = draw.choice(("warm", "cold")) if cache == "cold" else "warm"
        before = opened(file, cache, es, MOST)
    body, total = _body(draw, FILES.get(file, 256 * KIB), own, MOST_JOURNALLED if mode == "j" else MOST)
    return case(
        "random",
        f"{file}/{tag}/{cache}" + ("" if es == "warm" else "/es_cold"),
        bs,
        mode,
        before,
        body,
        path=path,
        sync=sync,
        after=(f"fiemap /mnt/{file} after",),
        file=file,
        kind="random",
        total=total,
        cache=cache,
        es=es,
    )


def _body(draw: Random, reach: int, grows: bool, most: int) -> tuple[list[str], int]:
    """Return lines that write, and how many bytes. reach: they begin before; grows: some end later."""
    lines: list[str] = []
    total = 0
    for _ in range(draw.randint(1, 6)):
        line, written, end = _line(draw, reach)
        if total + written <= most and (grows or end <= reach):
            lines.append(line)
            total += written
    return (lines, total) if lines else _body(draw, reach, grows, most)


def _line(draw: Random, reach: int) -> tuple[str, int, int]:
    """Return a line, how many bytes it writes, and where the last of them ends."""
    unit, number = draw.choice((1, 512, 4096, 4096)), draw.randint(1, 12)
    length = draw.choice((draw.randint(1, 9000), 4096, 16384, draw.randint(1, 40) * 4096))
    length = max(length // unit * unit, unit)
    offset = draw.randrange(reach) // unit * unit
    total = length * number
    form = draw.choice(("wseq", "wv", "wl"))
    if form == "wseq":
        return f"wseq 0 {offset} {length} {total} 0", total, offset + total
    if form == "wv":
        step = length + draw.randrange(4) * 2048
        return f"wv 0 {offset} {length} {step} {number} 0", total, offset + step * (number - 1) + length
    places = [draw.randrange(reach) // unit * unit for _ in range(number)]
    return f"wl 0 {length} 0 " + " ".join(map(str, places)), total, max(places) + length

"""
What `readpath image reads` prints: what verifying makes a reader read, under each layout of tags.

The page docs/integrity.md has the table as it is printed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sim.cli.image.attack import layout_word
from sim.volume.tag_reads import BLOCK_BYTES, BLOCKS, FILES, PATTERNS, RANDOM_READS, WINDOW, Reads, run_reads


def run_image_reads(as_json: bool = False) -> None:
    """Count, and print a table in Markdown, or JSON."""
    counts = list(run_reads())
    print(json.dumps([asdict(one) for one in counts], indent=1) if as_json else reads_table(counts))


def reads_table(counts: Sequence[Reads]) -> str:
    """Return the table: layouts by file and pattern."""
    columns = [(file, pattern) for file in FILES for pattern in PATTERNS]
    heads = [f"{file}, {pattern}" for file, pattern in columns]
    lines = [f"| tags | read | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for said in dict.fromkeys(one.said for one in counts):
        mine = {(one.file, one.pattern): one for one in counts if one.said == said}
        cells = [_cell(mine[column]) for column in columns]
        when = mine[columns[0]].when
        lines.append(f"| {layout_word(said)}, {said[2]} | {when} the data | {' | '.join(cells)} |")
    size = BLOCKS * BLOCK_BYTES >> 10
    told = (
        "Blocks of tags + blocks of data that the read did not ask for, bytes hashed. A file of "
        f"{size} KiB in blocks of {BLOCK_BYTES >> 10} KiB, read in order ({WINDOW} at a time), or "
        f"{RANDOM_READS} blocks of it."
    )
    return "\n".join([*lines, "", told])


def _cell(one: Reads) -> str:
    return f"{one.tag_blocks} + {one.more_blocks}, {one.hashed_bytes}"

"""
Make tests/data/ext4/mutations.jsonl: changes to the small images, one for each kind of damage we can tell.

Run it from the top of the project after a change of an error message or of the small images:

    python tests/ext4/make_mutations.py

A row is {"block_size", "changes": [[offset, hex], ...], "read", "check"}: the outcome of reading everything,
and what check finds. Where several changes have the same kind of outcome, the first is kept.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "kit"), str(Path(__file__).parents[2])]

from ext4_samples import (  # noqa: E402 - its folder is not on the path before
    check_outcome,
    metadata_ranges,
    outcome,
    read_everything,
    small_image,
)

TARGET = Path(__file__).parents[1] / "data" / "ext4" / "mutations.jsonl"
TRIES = 8000
MOST = 250


def kind_of(text: str) -> str:
    """Return a message without its numbers and names."""
    return re.sub(r"b'[^']*'|/\S*|0x[0-9a-f]+|\d+|bit #(, )?", "#", text)


def main() -> None:
    """Try changes at random and keep the first of every kind."""
    rng = random.Random(20)
    rows: dict[tuple[str, str], dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        images = {size: small_image(Path(folder), size) for size in (1024, 4096)}
    places = {size: [at for part in metadata_ranges(data) for at in part] for size, data in images.items()}
    for _try in range(TRIES):
        size = rng.choice(sorted(images))
        data = bytearray(images[size])
        changes = []
        for _change in range(rng.choice((1, 1, 2))):
            at, width = rng.choice(places[size]), rng.choice((1, 1, 2, 4))
            flipped = bytes([data[at] ^ 1 << rng.randrange(8)]) + bytes(data[at + 1 : at + width])
            new = rng.choice((flipped, b"\xff" * width, bytes(width), rng.randbytes(width)))
            data[at : at + width] = new
            changes.append([at, new.hex()])
        read, check = outcome(lambda data=data: read_everything(data)), check_outcome(data)
        kind = (kind_of(read), kind_of(check))
        if kind not in rows and len(rows) < MOST:
            rows[kind] = {"block_size": size, "changes": changes, "read": read, "check": check}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    print(f"{len(rows)} mutations, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

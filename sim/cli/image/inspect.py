"""
What `readpath image inspect` prints: all that an image tells without a key.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sim.text import printable
from sim.volume.inspection import inspect


def run_inspect(image: Path, as_json: bool = False) -> None:
    """Print what an image tells without a key: per scheme, per file, and who shares what."""
    found = inspect(image)
    if as_json:
        document = {
            "schemes": found.schemes(),
            "files": [asdict(file) for file in found.files],
            "sharing": found.sharing,
            "groups": found.groups,
            "device": found.device_noise,
        }
        print(json.dumps(document, indent=1))
        return
    rows = found.schemes()
    if rows:
        heads = list(rows[0])
        widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
        for row in [dict(zip(heads, heads, strict=True)), *rows]:
            print(
                "  ".join(row[head].ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip()
            )
    if found.device_noise is not None:
        said = found.device_noise
        print(
            "no file system is seen: an encrypted device, or something unknown; "
            f"{said['never_written']} of {said['sectors']} sectors were never written"
        )
    for file in found.files:
        keys = (
            f"  keys: {', '.join(file.keys[:5])}{' ...' if len(file.keys) > 5 else ''}" if file.keys else ""
        )
        print(
            f"{file.inode:>8} {file.size_bytes:>14} {len(file.runs):>6} runs  {file.scheme:<22} "
            f"{printable(file.path + keys)}"
        )
    for group, members in sorted(found.groups.items()):
        print(printable(f"{group}: {', '.join(members) or 'damaged'}"))
    for key in sorted(found.sharing):
        if (files := found.opened_by(key)) > 1:
            print(printable(f"{key} opens {files} files"))

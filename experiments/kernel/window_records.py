# SPDX-License-Identifier: MIT
"""
Makes records of what the plugin (plugin/symbols.c) wrote while a rig's program went through the cases of a
recording of instructions, a window around each phase of a write case, or around the last repetition of reads:

    python experiments/kernel/window_records.py CASES.jsonl LINES.jsonl WINDOWS.txt [LINES WINDOWS]...

CASES: the records of instructions, whose fields are kept. LINES: what the program printed, a line a case, in
the order of the windows. Rounds of write cases whose code and metadata are cold (0) are left out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTSIDE = ("-", "irq", "run_ksoftirqd", "worker_thread")
DEVICE = "null_handle_cmd"
OF_THE_DEVICE = {"null_transfer", "null_process_cmd", DEVICE, "null_insert_page"}
"""What null_blk does with a command, wherever the plugin's stack has it."""
COPIES = {"memcpy_erms", "__memcpy"}
READ_FIELDS = (
    *("case", "kernel", "block_size", "path", "layout", "access", "es", "file_bytes", "pages_read"),
    *("layout_file", "device", "read_ahead_kb", "large_folios"),
)


def windows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield user, symbols and outside of each window, labels that stand twice together."""
    found: dict[str, Any] | None = None
    for line in path.read_text().splitlines():
        words = line.split()
        if words[0] == "#dump":
            if found is not None:
                yield found
            found = {"user": int(words[3]), "calls": Counter(), "instructions": Counter()}
        elif words[0] == "T" and found is not None:
            found["calls"][words[1]] += int(words[3])
        elif words[0] == "L" and found is not None:
            found["instructions"][label_of(words[1], words[2])] += int(words[3])
    if found is not None:
        yield found


def label_of(label: str, function: str) -> str:
    """Return what a function's instructions below a label are counted to."""
    copied = function in COPIES and label.startswith(("blk_", "null_", "-", "irq"))
    return DEVICE if copied or function in OF_THE_DEVICE or label in OF_THE_DEVICE else label


def counted(window: dict[str, Any]) -> dict[str, Any]:
    """Return what a record has of a window."""
    calls, instructions = window["calls"], window["instructions"]
    both = {label: [calls[label], instructions[label]] for label in sorted(calls | instructions)}
    return {
        "user": window["user"],
        "symbols": {label: pair for label, pair in both.items() if label not in OUTSIDE},
        "outside": {label: pair for label, pair in both.items() if label in OUTSIDE},
    }


def main() -> None:
    """Print the records."""
    cases = {record["case"]: record for record in map(json.loads, Path(sys.argv[1]).read_text().splitlines())}
    for lines, counts in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
        following = windows(Path(counts))
        for said in map(json.loads, Path(lines).read_text().splitlines()):
            case = cases[said["case"]]
            if "script" not in case:
                kept = {field: case[field] for field in READ_FIELDS if field in case}
                print(json.dumps(kept | {"what": "read"} | counted(next(following)), separators=(",", ":")))
                continue
            for phase in said["phases"]:
                window = next(following)
                if not phase["name"].endswith("0"):
                    record = {"case": case["case"], "what": "write", "phase": phase["name"]}
                    record |= {"block_size": case["block_size"], "device": "null_blk, irqmode none"}
                    print(json.dumps(record | counted(window), separators=(",", ":")))


if __name__ == "__main__":
    main()

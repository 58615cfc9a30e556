# SPDX-License-Identifier: MIT
"""
What the program inside is told: the cases of a boot, their reads and settings, and the device they are on.
"""

from __future__ import annotations

from cases import Record

from sim.records.kernel_case import reads

NULL_BLK = """
n=/sys/kernel/config/nullb/n{number}; mkdir $n
echo {size_mb} > $n/size; echo 512 > $n/blocksize; echo 1 > $n/memory_backed; echo 2 > $n/queue_mode
echo 0 > $n/completion_nsec; echo 1 > $n/irqmode
echo 1 > $n/submit_queues; echo 1280 > $n/max_sectors; echo 1 > $n/power
device=/dev/n{number}; [ -b $device ] || device=/dev/nullb$(cat $n/index)
"""
"""A device in memory; its node is left in $device."""


def guest_plan(records: list[Record], number: int) -> dict[str, str]:
    """Return the files below /plan that tell the program inside what to do for these records."""
    files: dict[str, str] = {}

    def shared(kind: str, text: str) -> str:
        """Return the path of a file with this text; equal texts share one."""
        name = next((name for name, known in files.items() if known == text), f"{kind}{number}/{len(files)}")
        files[name] = text
        return f"/plan/{name}"

    lines = []
    for record in records:
        file = f"enc_{record['layout']}" if "encryption" in record else record["layout"]
        ops = {"ext4": "own", "iomap": "own"}.get(record["path"], record["path"])
        if not record.get("large_folios"):
            ops = "small" if ops == "own" else f"{ops}-small"
        words = [f"name={record['case']}", f"file={file}", f"ops={ops}", f"es={record['es']}"]
        listed = "".join(f"{offset} {length} {descriptor}\n" for offset, length, descriptor in reads(record))
        words.append(f"reads={shared('reads', listed)}")
        advice = "random" if record["access"].endswith("_advrandom") else record.get("fadvise", "normal")
        words.append(f"advice={advice}")
        if "cached_pages" in record:
            ranges = "".join(f"{a * 4096} {(b - a) * 4096}\n" for a, b in _within(record["cached_pages"]))
            words.append(f"cached={shared('cached', ranges)}")
        if "rewritten_blocks" in record:
            size = record["block_size"]
            ranges = "".join(f"{block * size} {size}\n" for block in record["rewritten_blocks"])
            words.append(f"written={shared('written', ranges)}")
        settings = ""
        if "max_sectors_kb" in record:
            settings += (
                f"/queue/max_sectors_kb {record['max_sectors_kb']}\n/queue/scheduler {record['scheduler']}\n"
            )
        # From 6.11 on a change of the queue's limits lifts readahead to 128 KiB: it is set last.
        settings += f"/queue/read_ahead_kb {record['read_ahead_kb']}\n"
        words.append(f"set={shared('set', settings)}")
        lines.append(" ".join(words))
    return files | {f"cases{number}": "\n".join(lines) + "\n"}


def _within(ranges: list[list[int]], most: int = 32) -> list[tuple[int, int]]:
    """Return page ranges cut to what one read of the guest's buffer takes."""
    return [(at, min(at + most, end)) for start, end in ranges for at in range(start, end, most)]

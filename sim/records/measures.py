"""
What a simulated case counted, under the names that counters.py has for it.
"""

from __future__ import annotations

from sim.machine.machine import Machine
from sim.records import counters
from sim.records.devices import RAM, VIRTIO_BLK, device_name
from sim.records.kernel_case import Case
from sim.records.versions import VERSIONS, kernel_name
from sim.units import PAGE_BYTES


def names_of(case: Case) -> dict[str, str]:
    """Return every symbol that is compared, with what it is here; "" for what the other file system calls."""
    version = VERSIONS[kernel_name(case.record, case.name)]
    symbols = (*counters.READ_PATH, *counters.SHARED, *counters.ONE_PAGE_READS)
    names = {symbol: symbol for symbol in symbols} | counters.RENAMED
    names |= {symbol: name or symbol for symbol, name in version.compared.items()}
    for symbol in (*version.not_compared, *version.at_least):
        names.pop(symbol, None)
    elsewhere = ("ext4_", "block_is_") if case.record.get("filesystem") == "xfs" else ("xfs_", "iomap_")
    return {symbol: "" if symbol.startswith(elsewhere) else name for symbol, name in names.items()}


def measures(case: Case, machine: Machine) -> dict[str, int]:
    """Return what a simulated case counted: calls per symbol, and quantities by name (counters.py)."""
    calls, stats = machine.ledger.calls(), machine.queue.stats
    small = int(case.record["block_size"]) < PAGE_BYTES
    return (
        calls
        | _of_drivers(case, calls)
        | {
            "back merges": stats.back_merges,
            "front merges": stats.front_merges,
            "requests taken": stats.getrq,
            "requests issued": stats.issued,
            "requests completed": stats.completed,
            "requests inserted": stats.inserted,
            "requests merged with requests": 0,
            "bios split": stats.splits,
            "plugs begun": stats.plugs,
            "plugs that went to the scheduler": stats.unplugs,
            "requests put into plugs": stats.plugged,
            "windows handed on": 0 if calls.get("force_page_cache_ra") else _of_data(machine),
            "pieces of folios": calls.get("iomap_readpage_iter", 0) + calls.get("iomap_read_folio_iter", 0),
            "lists of requests": stats.lists,
            "bios ended by a stacked device": stats.queued if machine.crypt is not None else 0,
            "bios of metadata": 0,
            "pieces of pages of smaller blocks": calls.get("iomap_readpage_iter", 0) if small else 0,
        }
    )


def _of_data(machine: Machine) -> int:
    """Return the calls of page_cache_ra_unbounded() that are not for the pages of a Merkle tree."""
    rows = machine.ledger.rows()
    ours = [row for row in rows if row.symbol == "page_cache_ra_unbounded" and "merkle" not in row.stack]
    return sum(row.calls for row in ours)


def _of_drivers(case: Case, calls: dict[str, int]) -> dict[str, int]:
    """Return how often the functions of drivers are called that other devices' cases do not have."""
    device, to_ram = device_name(case.record, case.name), calls.get("brd_submit_bio", 0)
    found = {f"bios to {name}": to_ram if device == name else 0 for name in RAM}
    if device != VIRTIO_BLK:
        return found
    return found | {
        "lists issued": calls.get("virtio_queue_rqs", 0),
        "requests issued one by one": calls.get("virtio_queue_rq", 0),
    }

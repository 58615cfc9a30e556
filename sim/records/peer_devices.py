"""
Recorded cases of dm-integrity, and of dm-crypt with an AEAD above it, as the models run them.
"""

from __future__ import annotations

import re
from typing import Final

from sim.block.dm.integrity import IntegrityDevice
from sim.errors import ConfigError
from sim.integrity.interleaved import Interleaved
from sim.peers.device_run import Device, run_direct
from sim.peers.dm_crypt_aead import AeadDevice
from sim.peers.script import Request
from sim.peers.tally import Tally
from sim.records.peer_case import PeerCase, Prediction
from sim.units import SECTOR_BYTES

_LINE: Final = re.compile(r"integrity \S+ 0 (\S+) ([A-Z]) \d+ (.*)$")
"""The end of a record's `table`: tag size or "-", mode, options."""
BESIDE: Final = "blocks are copied to their places beside the flush that committed them: time decides"
EARLY: Final = "tags are changed beside the request: whether a buffer goes out before the flush, time decides"
_HASHES: Final = {"crc32c": 4}
"""internal_hash -> bytes of a tag."""


def predict_device(case: PeerCase) -> Prediction:
    """Run a case's direct reads, writes and flushes. Raises ConfigError for a table that is not modelled."""
    layout, own_hash = table_of(case)
    tally = Tally()
    device: Device = IntegrityDevice(layout, tally, own_hash)
    top = "dm0"
    if case.group == "dm-crypt-aead":
        device, top = AeadDevice(IntegrityDevice(layout, tally, own_hash), tally, layout.block_sectors), "dm1"
    phases = run_direct(case.steps(), device, top, tally)
    if phases.get("sync", Tally()).calls["integrity_writer"]:
        return Prediction(phases, together=("sync", "settle"), why_together=BESIDE)
    if layout.mode != "J" and any(_buffers(layout, step.request) > 1 for step in case.steps()):
        return Prediction(phases, together=("io", "sync"), why_together=EARLY)
    return Prediction(phases)


def _buffers(layout: Interleaved, request: Request) -> int:
    """Return how many buffers have the tags of what a request writes."""
    if request.kind != "write":
        return 0
    first, end = request.offset // SECTOR_BYTES, (request.offset + request.length) // SECTOR_BYTES
    return len({layout.buffer_of(sector) for sector in range(first, end, layout.block_sectors)})


def table_of(case: PeerCase) -> tuple[Interleaved, bool]:
    """Return the layout that a record's table line asks for, and whether it has a checksum of its own."""
    line = str(case.record.get("table", ""))
    found = _LINE.search(line)
    if found is None:
        raise ConfigError(f"{case.at}: table", repr(line), "a line of dm-integrity")
    options = dict(word.split(":", 1) for word in found[3].split() if ":" in word)
    hash_name = options.get("internal_hash", "")
    if hash_name and hash_name not in _HASHES:
        raise ConfigError(f"{case.at}: internal_hash", repr(hash_name), ", ".join(_HASHES))
    layout = Interleaved(
        int(options.get("block_size", 512)),
        _HASHES[hash_name] if hash_name else int(found[1]),
        int(options.get("interleave_sectors", 32768)),
        int(options.get("journal_sectors", 2048)),
        found[2],
    )
    return layout, bool(hash_name)

"""
dm-integrity below a cell's volume: its table line, and what a run of it comes to.
"""

from __future__ import annotations

from sim.config.cell_result import Number
from sim.config.integrity import Integrity
from sim.errors import ConfigError
from sim.paths.checksums.symbols import ALGORITHM_SYMBOLS
from sim.stack.dm_integrity import IntegrityTable, IntegrityTarget


def table_of(said: Integrity, block_size: int) -> IntegrityTable | None:
    """Return the target of a volume with these blocks, None without; ConfigError if they are smaller."""
    if said.mode == "none":
        return None
    if said.block_bytes > block_size:
        problem = f"{said.block_bytes}, and the image has blocks of {block_size} bytes"
        raise ConfigError("integrity.block_size", problem, f"up to {block_size}")
    return IntegrityTable(said.layout, ALGORITHM_SYMBOLS[said.internal_hash], said.journal_watermark)


def integrity_metrics(target: IntegrityTarget) -> dict[str, Number]:
    """Return what a target came to, in the columns of checksums that the file system keeps."""
    return {
        "checksum_bytes_read": target.tag_bytes,
        "checksum_bytes_hashed": target.hashed_bytes,
        "checksums_verified": target.verified,
        "checksums_computed": target.computed,
    }

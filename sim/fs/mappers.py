"""
The mappers there are: name -> factory, as an experiment's `mapping` names them.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.engine.ledger import Ledger
from sim.errors import ConfigError
from sim.fs.buffer_cache import BufferCache
from sim.fs.ext4_map import Ext4Mapper
from sim.fs.mapper import Mapper
from sim.fs.other_maps import IndirectMapper, LinearMapper

MakeMapper = Callable[[Ledger, BufferCache, int], Mapper]
"""Makes a mapper of (ledger, buffer cache, block size in bytes)."""


def _forgetful(ledger: Ledger, buffers: BufferCache, _block_size: int) -> LinearMapper:
    return LinearMapper(ledger, buffers, remembers=False)


def _remembering(ledger: Ledger, buffers: BufferCache, _block_size: int) -> LinearMapper:
    return LinearMapper(ledger, buffers, remembers=True)


MAPPERS: dict[str, MakeMapper] = {
    "extents": Ext4Mapper,
    "indirect": IndirectMapper,
    "linear": _forgetful,
    "linear-remembered": _remembering,
}


def mapper_factory(mapping: str | MakeMapper) -> MakeMapper:
    """Return the factory of a name; a factory is its own. Raises ConfigError for an unknown name."""
    if not isinstance(mapping, str):
        return mapping
    if mapping not in MAPPERS:
        raise ConfigError("mapping", f"{mapping!r} is not modelled", ", ".join(MAPPERS))
    return MAPPERS[mapping]

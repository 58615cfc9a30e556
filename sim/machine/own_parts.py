"""
A user's own parts of a machine, checked: read path, mapper, device, kernel version.

Each is a class (the kernel: a value) in a file beside the experiment. What it has to be is told when the
experiment is read, before any image is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from sim.block.device.profile import DeviceProfile
from sim.block.hardware import Hardware, WritableHardware
from sim.cache.address_space import ReadPath
from sim.config.cell import Cell
from sim.config.cell_result import GROUPS
from sim.config.values import CodeRef
from sim.engine.clock import Clock
from sim.errors import ConfigError
from sim.fs.mapper import Mapper
from sim.fs.mappers import MakeMapper
from sim.kernels import KERNELS, KernelVersion
from sim.own_code import load
from sim.paths.design import PageState, PathDesign
from sim.paths.parts import PathParts
from sim.paths.post_read_steps import PostReadStep

MakeDevice = Callable[[Clock, DeviceProfile, int], Hardware]
"""Makes a device of (clock, its profile, seed)."""

MAPPER_METHODS = ("charge_hits", "map", "map_each", "would_sleep")


def path_of(cell: Cell) -> str | PathDesign:
    """Return a cell's read path: a name, or the design of the user's own class."""
    said = cell.config.reads_through
    return said if isinstance(said, str) else _design(said.word, _found(cell, said, "path"))


def mapping_of(cell: Cell) -> str | MakeMapper:
    """Return what finds a cell's blocks: a name, or the user's own class."""
    said = cell.config.mapping
    if isinstance(said, str):
        return said
    make: MakeMapper = _class("mapping", said.word, _found(cell, said, "mapping"), Mapper, MAPPER_METHODS)
    return make


def kernel_version_of(cell: Cell) -> str | KernelVersion:
    """Return a cell's kernel: a name, or the user's own version."""
    said = cell.config.machine.kernel
    if isinstance(said, str):
        return said
    found = _found(cell, said, "machine.kernel")
    if not isinstance(found, KernelVersion) or found.name in KERNELS:
        allowed = "a KernelVersion (sim/kernels.py) with a name of its own"
        raise ConfigError("machine.kernel", f"{said.word} is none", allowed)
    return found


def device_of(cell: Cell) -> MakeDevice | None:
    """Return the user's own device model, None for the profile's."""
    said = cell.config.device.model
    if said is None:
        return None
    writes = cell.config.workload.writes
    base = WritableHardware if writes else Hardware
    methods = ("submit", "write", "flush") if writes else ("submit",)
    make: MakeDevice = _class("device.model", said.word, _found(cell, said, "device.model"), base, methods)
    return make


def check_own_parts(cell: Cell) -> None:
    """Raise ConfigError, naming the key, if a part that the cell names cannot be used."""
    path_of(cell), mapping_of(cell), kernel_version_of(cell), device_of(cell)


def own_files(cell: Cell) -> list[Path]:
    """Return the files of the user's own code that a cell names."""
    return [cell.base / said.file for said in cell.config.own_code.values()]


def _found(cell: Cell, said: CodeRef, place: str) -> object:
    return load(place, cell.base / said.file, said.name, said.sha256)


def _class(place: str, word: str, found: object, base: type, methods: tuple[str, ...]) -> Any:
    """Return `found` if it is a class with all `methods`, below `base`."""
    needed = f"a subclass of {base.__module__}.{base.__name__} with {', '.join(methods)}"
    if not isinstance(found, type) or not issubclass(found, base):
        raise ConfigError(place, f"{word} is no {base.__name__}", needed)
    for method in methods:
        own = next(kind for kind in found.__mro__ if method in vars(kind))
        if own is base:
            raise ConfigError(place, f"{word} has no {method}", needed)
    if inspect.isabstract(found):
        raise ConfigError(place, f"{word} is abstract", needed)
    return found


def _design(word: str, found: object) -> PathDesign:
    """Return what a user's class says of itself."""
    kind = _class("path", word, found, ReadPath, ("read_pages", "read_folio"))
    place = f"path {word}"
    state: Any = getattr(kind, "page_state", "buffer heads")
    if state not in get_args(PageState):
        raise ConfigError(f"{place}: page_state", f"{state!r} is not known", ", ".join(get_args(PageState)))
    folios = getattr(kind, "large_folios", ())
    if not isinstance(folios, tuple) or not set(folios) <= set(KERNELS):
        allowed = f"a tuple of {', '.join(KERNELS)}"
        raise ConfigError(f"{place}: large_folios", f"{folios!r} cannot be used", allowed)
    mapper = getattr(kind, "mapper", None)
    if mapper is not None:
        mapper = _class(f"{place}: mapper", repr(mapper), mapper, Mapper, ("map",))
    return PathDesign(
        name=word,
        make=lambda parts: _built(kind, place, parts),
        page_state=state,
        heads_on_every_page=bool(getattr(kind, "heads_on_every_page", False)),
        large_folios=folios,
        costs=_costs(place, getattr(kind, "costs", {})),
        mapper=mapper,
        post_read=_steps(place, getattr(kind, "post_read", ())),
    )


def _built(kind: Callable[[PathParts], ReadPath], place: str, parts: PathParts) -> ReadPath:
    try:
        path = kind(parts)
    except TypeError as error:
        if "inherit from compiled" not in str(error):
            raise
        allowed = "ReadPath, or a path of sim/paths, as its base"
        raise ConfigError(place, "is below a compiled class that takes no others below it", allowed) from None
    if not isinstance(path, ReadPath):
        raise ConfigError(place, f"made a {type(path).__name__}", "a ReadPath")
    return path


def _costs(place: str, costs: object) -> Mapping[str, Mapping[str, Any]]:
    """Return the costs of a user's own symbols; what the entries say is checked with the profile's."""
    entries = costs if isinstance(costs, dict) else None
    if entries is None or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError(f"{place}: costs", f"{costs!r} cannot be used", "symbol -> table, as in a profile")
    for symbol, entry in entries.items():
        if entry.get("group") not in GROUPS:
            where = f"{place}: costs.{symbol}.group"
            raise ConfigError(where, f"{entry.get('group')!r} is not known", ", ".join(GROUPS))
    return entries


def _steps(place: str, steps: object) -> tuple[Any, ...]:
    if not isinstance(steps, tuple):
        raise ConfigError(f"{place}: post_read", f"{steps!r} cannot be used", "a tuple of steps")
    return tuple(_class(f"{place}: post_read", repr(step), step, PostReadStep, ("charge",)) for step in steps)

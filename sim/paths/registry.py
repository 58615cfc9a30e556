"""
The read paths there are: name -> design, found in sim/paths/designs, one file each.
"""

from __future__ import annotations

import importlib
import pkgutil

from sim.errors import ConfigError
from sim.paths import designs as _folder
from sim.paths.design import PathDesign


def _found() -> dict[str, PathDesign]:
    """Return the DESIGN of every module of the folder by name, in their order."""
    names = sorted(module.name for module in pkgutil.iter_modules(_folder.__path__))
    modules = [importlib.import_module(f"{_folder.__name__}.{name}") for name in names]
    found: list[PathDesign] = [module.DESIGN for module in modules]
    return {design.name: design for design in sorted(found, key=lambda design: (design.order, design.name))}


DESIGNS: dict[str, PathDesign] = _found()

PATHS = tuple(name for name, design in DESIGNS.items() if design.listed)
"""What an experiment may name, in order."""


def design_of(path: str | PathDesign) -> PathDesign:
    """Return the design of a name; a design is its own. Raises ConfigError for an unknown name."""
    if isinstance(path, PathDesign):
        return path
    if path not in DESIGNS:
        raise ConfigError("path", f"{path!r} is not modelled", ", ".join(PATHS))
    return DESIGNS[path]

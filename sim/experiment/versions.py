"""
What a result comes from: the model, code of the user's own, and libraries.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import sim
from sim.config.cell import Cell, digest
from sim.config.values import CodeRef
from sim.files import code_digest

_LIBRARIES = ("cryptography", "matplotlib", "numpy", "pyarrow", "pydantic", "simpy")
"""What the bytes of a run come from besides our code: ciphers, figures, draws, tables, defaults, order."""


def model_digest() -> str:
    """
    Return SHA-256 (hex) over the simulator's own code and profiles: the model's version.

    What only shows or describes (report, export, schema, cli, api.py), or is held against recordings alone
    (peers, records), is not of the model.
    """
    return code_digest(
        "sim",
        without=(
            *("report", "export", "schema", "claims", "calibrate", "records", "peers"),
            *("cli", "api.py", "shipped"),
        ),
    )


def digest_with(model: str, code: Iterable[str]) -> str:
    """Return the version of `model` where code of the user's own, of these SHA-256, is part of it."""
    own = sorted(set(code))
    return digest([model, *own]) if own else model


def own_code(manifest: Mapping[str, Any]) -> list[str]:
    """Return the SHA-256 of the user's own code that a run's manifest names."""
    found: list[str] = []
    for cell in manifest["cells"]:
        said = cell.get("config", {})
        tables = [said, *(said[key] for key in ("machine", "device") if isinstance(said.get(key), dict))]
        found += [value["sha256"] for table in tables for value in table.values() if _is_code(value)]
    return found


def _is_code(value: object) -> bool:
    return isinstance(value, dict) and set(CodeRef.model_fields) == set(value)


def versions(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the versions of all that results of `cells` come from; `model` is the hash of the code."""
    code = [ref.sha256 for cell in cells for ref in cell.config.own_code.values()]
    return {
        "readpath": sim.__version__,
        "model": digest_with(model_digest(), code),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }

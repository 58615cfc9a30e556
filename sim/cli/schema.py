"""
readpath schema: the JSON Schema of the documents that people write.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sim.errors import ConfigError
from sim.schema.claims import claims_schema
from sim.schema.experiment import experiment_schema
from sim.schema.profiles import device_schema, machine_schema

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "experiment": experiment_schema,
    "claims": claims_schema,
    "machine": machine_schema,
    "device": device_schema,
}


def show_schema(kind: str, quiet: bool) -> None:
    """Print the schema of a kind of document, one of SCHEMAS; ConfigError for another."""
    if kind not in SCHEMAS:
        raise ConfigError("schema", f"{kind!r} is not known", ", ".join(SCHEMAS))
    document = json.dumps(SCHEMAS[kind](), indent=2)
    if not quiet:
        print(document)

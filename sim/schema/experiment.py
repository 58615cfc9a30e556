"""
The schema of experiment files: what pydantic knows of the tables, in the words in which a file writes them.

A size may be "4KiB", a time "120us", a file is a path; whatever a matrix varies need not be said elsewhere,
so nothing is required but the title.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from sim.block.device.profile import device_profile_names
from sim.config.cell import CellConfig
from sim.config.crash import Moments
from sim.config.table import Model
from sim.engine.costs import machine_profile_names
from sim.fs.mappers import MAPPERS
from sim.kernels import KERNELS
from sim.paths.registry import PATHS
from sim.paths.writepages.designs import READS_AS, WRITE_PATHS
from sim.schema.documented import DIALECT, Schema, first_paragraph, in_words, said_of
from sim.workload.fio.table import engine_options, engines, options

_SIZE = {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": r"^ *[0-9]+(\.[0-9]+)? *([kKmMgGtTpP]([iI]?[bB])?|[bB](ytes?)?)? *$",
}
_TIME = {"type": ["integer", "string"], "minimum": 0, "pattern": r"^ *[0-9]+(\.[0-9]+)? *(ns|us|ms|s)? *$"}
_FILE = {"type": "string", "minLength": 1}
_CODE = {"type": "string", "pattern": r"\.py:[^:]+$"}
_PROFILE = {"type": "string", "pattern": r"(\.toml|/.*)$"}
_NAMES = {
    ("CellConfig", "path"): (*PATHS, *READS_AS),
    ("CellConfig", "read_path"): tuple(PATHS),
    ("CellConfig", "mapping"): tuple(MAPPERS),
    ("Machine", "kernel"): tuple(KERNELS),
    ("Machine", "profile"): tuple(machine_profile_names()),
    ("Device", "profile"): tuple(device_profile_names()),
}
"""What is there by name, and may also be code, or a profile, of the user's own."""


def experiment_schema() -> Schema:
    """Return the schema of an experiment file."""
    made = CellConfig.model_json_schema()
    tables = {table.__name__: table for table in _tables(Model)}
    definitions = made.pop("$defs")
    for name in ("FileRef", "CodeRef", "Job"):
        definitions.pop(name)
    for name, definition in {**definitions, "CellConfig": made}.items():
        _describe(definition, tables[name])
    body = made["properties"]
    body["workload"]["description"] = definitions["Workload"]["description"]
    definitions["Workload"]["properties"]["job"] = _job()
    definitions["Volume"]["properties"]["files"] = {
        "description": "The files, or, with a fio job that lays them out, what each of them has besides.",
        "anyOf": [
            {"type": "array", "items": {"$ref": "#/$defs/VolumeFile"}},
            {"$ref": "#/$defs/VolumeFile"},
        ],
    }
    schema = {
        "$schema": DIALECT,
        "title": "readpath experiment",
        "description": "A question, a system, a workload, and a matrix of what is varied.",
        "type": "object",
        "required": ["title"],
        "additionalProperties": False,
        "properties": {**_head(body, definitions), **body},
        "$defs": definitions,
    }
    plain: Schema = in_words(schema, _REFERENCES)
    return plain


def _tables(base: type[Model]) -> Iterator[type[Model]]:
    """Yield the tables of experiments: other documents have tables of the same names."""
    for table in base.__subclasses__():
        if table.__module__.startswith("sim.config."):
            yield table
        yield from _tables(table)


def _describe(definition: Schema, table: type[Model]) -> None:
    """Give a table what its docstring says, and its values the forms in which they are written."""
    text = table.__doc__ or ""
    if table.__name__ not in _LAYOUTS:
        definition.pop("required", None)
    properties = definition["properties"]
    fields = {field.alias or name: name for name, field in table.model_fields.items()}
    keys = {*fields, *fields.values()}
    said = said_of(text, keys)
    definition["description"] = first_paragraph(text, keys)
    for key, name in fields.items():
        own = properties[key]
        if name.endswith("_bytes"):
            properties[key] = own = _formed(own, _SIZE)
        elif name.endswith("_ns"):
            properties[key] = own = _formed(own, _TIME)
        if (table.__name__, name) in _NAMES:
            own.pop("type", None)
            other = _PROFILE if name == "profile" else _CODE
            own["anyOf"] = [*_words(_NAMES[table.__name__, name]), dict(other)]
        if words := said.get(key) or said.get(name):
            own["description"] = re.sub(r"\bNone\b", "not said", words)
    if "write_path" in properties:
        properties["write_path"] = {**properties["write_path"], "anyOf": [{"enum": list(WRITE_PATHS)}]}
    if table.__name__ == "Crash":
        properties["at"]["anyOf"] = [{"enum": list(get_args(Moments))}, dict(_TIME)]


_LAYOUTS = (
    *("Contiguous", "Fragmented", "Sparse", "Unwritten", "Hole", "Empty", "Absent"),
    *("Aged", "Scattered", "Recorded"),
)
"""A layout is known by its kind, which is therefore required."""


def _formed(own: Schema, form: Schema) -> Schema:
    return {**{key: own[key] for key in ("title", "default", "description") if key in own}, **form}


def _words(names: tuple[str, ...]) -> list[Schema]:
    """Return what names may be written as: words, and numbers where they look like some (kernel = 6.1)."""
    numbers = [float(name) for name in names if name.replace(".", "", 1).isdigit()]
    return [{"enum": [*names, *numbers]}]


def _job() -> Schema:
    """Return the schema of workload.job: a job file, a command line, a table of fio's options or several."""
    names: dict[str, Schema] = {"name": {"type": "string", "description": "what results call the job"}}
    several = [options(), *map(engine_options, engines())]
    for option in (option for some in several for option in some.values()):
        for name in filter(None, (option.name, option.alias)):
            names[name] = {
                "description": option.why if option.here == "modelled" else f"{option.here}: {option.why}"
            }
    table = {"type": "object", "properties": dict(sorted(names.items())), "additionalProperties": False}
    return {
        "description": "A fio job file, a fio command line, or fio's options, of one job or several.",
        "anyOf": [{"type": "string"}, table, {"type": "array", "items": table, "minItems": 1}],
    }


def _head(body: Schema, definitions: Schema) -> Schema:
    """Return what a file has besides the tables of a cell."""
    number = {"type": "integer", "minimum": 0}
    axes = {
        key: {"type": ["array", "object"], "minItems": 1, **({"description": said} if said else {})}
        for key, said in _dotted(body, definitions, "")
    }
    return {
        "title": {"type": "string", "description": "What tables and figures are headed."},
        "question": {"type": "string", "description": "What the experiment is to tell."},
        "matrix": {
            "description": "Every combination of these values is a cell, the first line slowest. A value"
            " may be { label = ..., value = ... }, or { label = ..., 'key.of.another' = ..., ... },"
            " whose keys are replaced together.",
            "type": "object",
            "properties": axes,
            "additionalProperties": {"type": ["array", "object"]},
        },
        "run": {
            "description": "How often each cell is run.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "seeds": {
                    "description": "How many seeds, from 0 on, or a list of them.",
                    "anyOf": [{**number, "minimum": 1}, {"type": "array", "items": number, "minItems": 1}],
                }
            },
        },
    }


def _dotted(properties: Schema, definitions: Schema, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the keys that a matrix may vary, and what is said of each."""
    for key, own in properties.items():
        yield f"{prefix}{key}", own.get("description", "")
        for inner in (own, *own.get("anyOf", ()), *own.get("oneOf", ())):
            name = inner.get("$ref", "").rpartition("/")[2]
            if name in definitions:
                yield from _dotted(definitions[name]["properties"], definitions, f"{prefix}{key}.")
        if f"{prefix}{key}" == "workload.job":
            yield from _dotted(own["anyOf"][1]["properties"], definitions, "workload.job.")


_REFERENCES: dict[str, Schema] = {"#/$defs/FileRef": _FILE, "#/$defs/CodeRef": _CODE}

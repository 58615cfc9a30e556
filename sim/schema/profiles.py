"""
The schemas of profiles: what a machine's code costs, and what a device is.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from sim.block.device.profile import COPIES, KINDS, NAMES, UNITS, WRITE_KINDS, DeviceLimits
from sim.config.cell_result import GROUPS
from sim.engine.costs import CLOCK_KEYS, ENTRY_KEYS, TOP_KEYS
from sim.schema.documented import DIALECT, Schema, first_paragraph, said_of

_NUMBER = {"type": "number", "minimum": 0}
_TEXT = {"type": "string"}
_INTERVAL = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}

_COST: dict[str, tuple[Schema, str]] = {
    "self": (_NUMBER, "ns a call takes, those of what it calls not included"),
    "per_unit": (_NUMBER, "ns a unit takes besides"),
    "unit": (_TEXT, "what per_unit is of: byte, page, a level of a tree"),
    "instructions": (_NUMBER, "of a call"),
    "unit_instructions": (_NUMBER, "of a unit"),
    "rep_bytes": (_NUMBER, "instructions of a call that are bytes a rep moves or sets"),
    "unit_rep_bytes": (_NUMBER, "the same of a unit"),
    "group": ({"enum": list(GROUPS)}, "the cost group of the stacked figures"),
    "spread": (_NUMBER, "relative half-width of the interval in which the ns are believed to lie"),
    "interval": (_INTERVAL, "lowest and highest ns of a call"),
    "unit_interval": (_INTERVAL, "lowest and highest ns of a unit"),
    "instructions_interval": (_INTERVAL, "lowest and highest instructions of a call"),
    "unit_instructions_interval": (_INTERVAL, "lowest and highest instructions of a unit"),
    "source": (_TEXT, "where the numbers come from"),
    "method": (_TEXT, "how they were made of it"),
}
_CLOCK: dict[str, tuple[Schema, str]] = {
    "ghz": (_NUMBER, "of the clock; with ipc"),
    "ipc": (_NUMBER, "instructions a cycle; with ghz"),
    "ns_per_instruction": (_NUMBER, "in place of ghz and ipc"),
    "ns_per_byte": (_NUMBER, "of what a rep moves or sets"),
    "source": (_TEXT, "where the pace comes from"),
}
_TOP: dict[str, tuple[Schema, str]] = {
    "name": (_TEXT, "what the profile is called"),
    "about": (_TEXT, "which machine, which kernel, how it was measured"),
    "base": (_TEXT, "the profile, by name, from which comes what this one does not say"),
}


def machine_schema() -> Schema:
    """Return the schema of a machine profile; see sim/engine/costs.py."""
    cost = {**_object(_COST, ENTRY_KEYS), "required": ["group", "source"]}
    cost["dependencies"] = {"per_unit": ["unit"], "unit_instructions": ["unit"]}
    free: dict[str, tuple[Schema, str]] = {
        "symbols": ({"type": "array", "items": _TEXT}, "of no cost of their own"),
        "source": (_TEXT, "why"),
    }
    made: dict[str, tuple[Schema, str]] = {
        **_TOP,
        "clock": (
            {**_object(_CLOCK, CLOCK_KEYS), "required": ["source"]},
            "the pace at which ns follow from instructions where only these are said",
        ),
        "cost": (
            {"type": "object", "additionalProperties": cost},
            "kernel symbol -> what a call of it costs",
        ),
        "free": (
            {"type": "object", "additionalProperties": _object(free, tuple(free))},
            "cost group -> symbols whose cost is inside a caller's, and why",
        ),
    }
    return {
        "$schema": DIALECT,
        "title": "readpath machine profile",
        "description": "What a call of each kernel symbol costs, in ns and in instructions, with its source.",
        **_object(made, TOP_KEYS),
    }


def _object(keys: dict[str, tuple[Schema, str]], known: tuple[str, ...]) -> Schema:
    """Return a table with these keys; KeyError for one that is known and not described."""
    properties = {key: {**keys[key][0], "description": keys[key][1]} for key in known}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def device_schema() -> Schema:
    """Return the schema of a device profile; the docstrings of its records say what the constants are."""
    limits = _constants(DeviceLimits)
    either = []
    for kind, model in KINDS.items():
        tables: Schema = {"kind": {"const": kind}, "title": _TEXT, "limits": {"$ref": "#/$defs/limits"}}
        if model is not None:
            tables |= {"model": _constants(model), "write": _constants(WRITE_KINDS[kind])}
        needed = ["kind", "title", "limits", *(["model"] if model is not None else [])]
        either.append(
            {"type": "object", "additionalProperties": False, "properties": tables, "required": needed}
        )
    return {
        "$schema": DIALECT,
        "title": "readpath device profile",
        "description": "What a device is: constants, each with unit and source. Without [write] it can only"
        f" be read; {' and '.join(COPIES)} are memory.",
        "anyOf": either,
        "$defs": {"limits": limits},
    }


def _constants(record: type[Any]) -> Schema:
    """Return the table of a record's constants, of which those without a default must be there."""
    text = record.__doc__ or ""
    names = [field.name for field in fields(record)]
    needed = [field.name for field in fields(record) if field.default is MISSING]
    said = said_of(text, names)
    properties = {}
    for name in names:
        properties[name] = _constant(name) | ({"description": said[name]} if name in said else {})
    return {
        "description": first_paragraph(text, names),
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": needed,
    }


def _constant(name: str) -> Schema:
    """Return the table of a constant: value, unit, source, and how far off it may be."""
    units = ["name"] if name in NAMES else list(UNITS[name])
    value: Schema = {"type": "number", "minimum": 0}
    if name in NAMES:
        value = {"enum": list(NAMES[name])}
    elif units == ["flag"]:
        value = {"type": "boolean"}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["value", "unit", "source"],
        "properties": {
            "value": value,
            "unit": {"enum": units},
            "source": {
                "type": "string",
                "minLength": 1,
                "description": 'a document that can be looked up, or "assumption: " and the reason',
            },
            "spread": {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "description": "relative half-width of the interval in which the value is believed to lie",
            },
        },
    }

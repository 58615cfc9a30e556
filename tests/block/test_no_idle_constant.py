"""A constant that nothing reads is a fault: a user would set it and see nothing change."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import sim
from sim.block.device.constants import HddModel, HddWrite, SsdModel, SsdWrite
from sim.block.device.profile import DeviceLimits
from sim.config.cache_state import Cache
from sim.config.system import Device, Machine
from sim.config.volume import Volume
from sim.engine.costs import load_costs

SOURCES = sorted(Path(sim.__file__).parent.rglob("*.py"))
WHERE_DECLARED = {"constants.py", "profile.py"}


def _read_names() -> set[str]:
    """Return every attribute that code of ours reads, outside where device constants are declared."""
    names: set[str] = set()
    for file in SOURCES:
        if file.name in WHERE_DECLARED and file.parent.name == "device":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
    return names


def test_every_constant_of_a_device_is_read() -> None:
    """Each constant of [limits], [model] and [write] is an attribute that a model reads."""
    read = _read_names()
    records = (DeviceLimits, SsdModel, HddModel, SsdWrite, HddWrite)
    assert [] == [f"{r.__name__}.{f.name}" for r in records for f in fields(r) if f.name not in read]


def test_every_setting_of_machine_and_device_is_read() -> None:
    """Each key of [machine] and [device] is an attribute that code reads."""
    read = _read_names()
    tables = (Machine, Device, Volume, Cache)
    assert [] == [f"{t.__name__}.{name}" for t in tables for name in t.model_fields if name not in read]


def test_every_cost_is_charged_by_some_code() -> None:
    """Each symbol of a machine profile stands in the code as a symbol that is charged."""
    text = "\n".join(file.read_text() for file in SOURCES if file.parent.name != "calibrate")
    for machine in ("linux-6.1-epyc-7001", "linux-6.1-epyc", "linux-3.16-2014"):
        assert [] == [symbol for symbol in load_costs(machine).costs if symbol not in text], machine

"""
Where the numbers come from: which cost constants are fitted, recorded or assumed, and how much of the run's
CPU time is of each; the same of the device's constants.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from importlib import resources
from typing import Any

from sim.block.device.profile import device_profile_names, load_device_profile
from sim.calibrate.profile import METHODS
from sim.documents import parse_toml
from sim.engine.costs import BASES, UNMEASURED, machine_profile_names
from sim.experiment.results import Run
from sim.kernels import KERNELS
from sim.report.html.elements import Html, joined, table, tag
from sim.report.table import Column, Table

FITTED, RECORDED, STATED, ASSUMED, OWN = "fitted", "recorded", "as stated", "assumed", "not known here"
KINDS = {
    FITTED: "instructions recorded on a kernel; ns fitted to recorded times, judged on others",
    RECORDED: "instructions recorded on a kernel; ns from them at the machine's pace, or of the code itself",
    STATED: "what a document, a specification or another profile says",
    ASSUMED: "no recording: set from like code, each with its reason",
    OWN: "of a profile, or code, of the user's own: its sources are there",
}
_OF_METHOD = {
    METHODS["fitted"]: FITTED,
    METHODS["pace"]: RECORDED,
    METHODS["reps"]: RECORDED,
    METHODS["aes"]: RECORDED,
    METHODS["like"]: ASSUMED,
    METHODS["stated"]: STATED,
}
_ASSUMPTION = "assumption"


def provenance(run: Run) -> Html:
    """Return how much of a run's CPU time comes from what, then every constant with its source."""
    constants, spent = _costs(run)
    whole = sum(spent.values()) or 1
    shares: dict[str, int] = defaultdict(int)
    for (profile, symbol), ns in spent.items():
        shares[constants[profile, symbol]["kind"]] += ns
    words = [f"{100 * shares[kind] / whole:.1f} % {kind}" for kind in KINDS if shares[kind]]
    parts = [
        *(
            tag("p", f"Path {name} is a prediction: {why}.")
            for name, why in run.manifest.get("predicted", {}).items()
        ),
        tag("p", f"Of the CPU time of this run: {', '.join(words)}."),
        tag("ul", [tag("li", tag("strong", kind), f": {KINDS[kind]}") for kind in KINDS if shares[kind]]),
    ]
    rows = [
        {"profile": profile, "symbol": symbol, "share": 100 * ns / whole, **constants[profile, symbol]}
        for (profile, symbol), ns in sorted(spent.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns: tuple[Column, ...] = (
        Column("symbol", "symbol"),
        Column("% of CPU", "share", ".2f"),
        Column("ns a call", "self", ",.4g"),
        Column("ns a unit", "per_unit", ",.4g"),
        Column("unit", "unit"),
        Column("± relative", "spread", ".2f"),
        Column("kind", "kind"),
        Column("source", "source"),
    )
    machines = _profiles(run, "machine")
    caption = f"Cost constants of {', '.join(machines)}"
    if len(machines) > 1:
        columns += (Column("machine", "profile"),)
    costs = table(Table(columns, tuple(rows), labels=("symbol",)), caption, ["kind", "profile"])
    parts.append(tag("details", tag("summary", f"{len(rows)} cost constants with their sources"), costs))
    parts += map(_device, _profiles(run, "device"))
    return joined(parts)


def _profiles(run: Run, table: str) -> list[str]:
    """Return the profiles of machines or devices that the cells name, in their order."""
    return list(dict.fromkeys(_called(cell["config"].get(table, {})) for cell in run.manifest["cells"]))


def _called(said: dict[str, Any]) -> str:
    profile = said.get("profile", "")
    return profile if isinstance(profile, str) else str(profile.get("path", profile))


def _costs(run: Run) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[tuple[str, str], int]]:
    """Return, per machine profile and symbol that took time, its constant, and its ns over all cells."""
    machines = {cell["cell"]: cell["config"]["machine"] for cell in run.manifest["cells"]}
    tables = {profile: entries(profile) for profile in _profiles(run, "machine")}
    constants: dict[tuple[str, str], dict[str, Any]] = {}
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for row in run.calls:
        if row["ns"]:
            machine = machines[row["cell"]]
            key = (_called(machine), row["symbol"])
            spent[key] += row["ns"]
            if key not in constants:
                constants[key] = _constant(tables[key[0]], row["symbol"], machine.get("kernel"))
    return constants, dict(spent)


def entries(profile: str) -> dict[str, dict[str, Any]]:
    """
    Return what a shipped machine profile and its bases say of each symbol, as written, `kind` added.

    Empty for a profile that does not come with readpath.
    """
    if profile not in (*machine_profile_names(), *BASES):
        return {}
    file = resources.files("sim") / "profiles" / "machines" / f"{profile}.toml"
    said = parse_toml(file.read_text(encoding="utf-8"), profile, "a machine profile")
    own = {
        symbol: {**entry, "kind": kind_of(entry, profile)} for symbol, entry in said.get("cost", {}).items()
    }
    return (entries(str(said["base"])) if "base" in said else {}) | own


def kind_of(entry: dict[str, Any], profile: str) -> str:
    """Return which of KINDS an entry of a profile is, by its method, its source and the profile it is in."""
    if profile == UNMEASURED or re.search(rf"(?:^|ns: ){_ASSUMPTION}", str(entry.get("source", ""))):
        return ASSUMED
    return _OF_METHOD.get(str(entry.get("method", "")), STATED)


def _constant(table: dict[str, dict[str, Any]], symbol: str, kernel: object) -> dict[str, Any]:
    """Return what a profile says of a symbol, also of one that this kernel calls otherwise."""
    renamed = KERNELS[kernel].renamed if isinstance(kernel, str) and kernel in KERNELS else {}
    named = next((old for old, new in renamed.items() if new == symbol and old in table), symbol)
    keys = ("self", "per_unit", "unit", "spread", "kind", "source")
    entry = table.get(symbol) or table.get(named)
    if entry is None:
        return dict.fromkeys(keys) | {"kind": OWN, "unit": "", "source": ""}
    other = f"the cost of {named}; " if symbol not in table else ""
    source = f"{other}{entry.get('source', '')}"
    return {key: entry.get(key) for key in keys} | {"unit": entry.get("unit", ""), "source": source}


def _device(name: str) -> Html:
    if name not in device_profile_names():
        return tag("p", f"Device {name}: a profile of the user's own; its sources are there.")
    profile = load_device_profile(name)
    rows = [
        {
            "name": key,
            "value": str(constant.value).lower() if isinstance(constant.value, bool) else str(constant.value),
            "unit": constant.unit,
            "kind": ASSUMED if constant.source.startswith(_ASSUMPTION) else STATED,
            "source": constant.source,
        }
        for key, constant in profile.constants
    ]
    assumed = sum(row["kind"] == ASSUMED for row in rows)
    columns = _plain("name", "value", "unit", "kind", "source")
    caption = f"Constants of {name}"
    whole = table(Table(columns, tuple(rows), labels=("name",)), caption, ["kind"])
    words = f"{profile.title} ({name}): {len(rows)} constants, {assumed} of them assumed"
    return tag("details", tag("summary", words), whole)


def _plain(*names: str) -> tuple[Column, ...]:
    columns: Iterable[Column] = (Column(name, name) for name in names)
    return tuple(columns)

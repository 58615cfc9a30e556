"""
What `readpath image attack` does: every attack run on small images of its own, who noticed, what tags cost.

The page docs/integrity.md has these tables as they are printed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sim.errors import ConfigError
from sim.volume.attacks.attacks import ATTACKS
from sim.volume.attacks.lab import BLOCK_BYTES, DEVICE_BLOCKS, FILE_BLOCKS, Said
from sim.volume.attacks.matrix import JUDGES, PLANS, Cost, Outcome, cost, run_plan

NOBODY = "-"


def run_attack(names: Sequence[str], schemes: Sequence[str], as_json: bool = False) -> None:
    """Run attacks on schemes (nothing named: all) and print who noticed; ConfigError for unknown names."""
    unknown = [name for name in names if name not in ATTACKS]
    if unknown:
        raise ConfigError("image attack", repr(unknown[0]), ", ".join(ATTACKS))
    known = sorted({said[1] for said in PLANS})
    wrong = [scheme for scheme in schemes if scheme not in known]
    if wrong:
        raise ConfigError("--scheme", repr(wrong[0]), ", ".join(known))
    plans = [said for said in PLANS if not schemes or said[1] in schemes]
    outcomes = [outcome for said in plans for outcome in run_plan(said, tuple(names) or tuple(ATTACKS))]
    costs = [cost(said) for said in plans]
    if as_json:
        print(json.dumps({"attacks": list(map(_row, outcomes)), "costs": list(map(_cost, costs))}, indent=1))
    else:
        print("\n\n".join([*tables(outcomes), cost_table(costs)]))


def tables(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table in Markdown for each scheme: attacks by layouts, and who noticed."""
    found = []
    for scheme, algorithm in dict.fromkeys(map(_group, outcomes)):
        mine = [outcome for outcome in outcomes if _group(outcome) == (scheme, algorithm)]
        layouts = list(dict.fromkeys(layout_word(outcome.said) for outcome in mine))
        cells = {(o.attack.name, layout_word(o.said)): cell(o) for o in mine}
        names = dict.fromkeys(outcome.attack.name for outcome in mine)
        lines = [f"| {scheme}, {algorithm} | {' | '.join(layouts)} |", "|---" * (len(layouts) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(cells[name, layout] for layout in layouts)} |" for name in names]
        found.append("\n".join(lines))
    return found


def _group(outcome: Outcome) -> tuple[str, str]:
    """Return what a table is of: a tree of SHA-256 that a key seals stands with HMAC-SHA256."""
    layout, scheme, algorithm, _blocks = outcome.said
    return scheme, "hmac-sha256" if (layout, scheme) == ("merkle", "mac") else algorithm


def layout_word(said: Said) -> str:
    """Return a layout's name, with the blocks of an extent where it has some."""
    return f"{said[0]} {said[3] or 'any'}" if said[0].startswith("per_extent") else said[0]


def cell(outcome: Outcome) -> str:
    """Return who noticed: the judge who knows least of those who did, and e2fsck."""
    seen = outcome.noticed
    first = next((judge for judge in ("anyone", "key", "anchor") if seen[judge]), NOBODY)
    return f"{first}, e2fsck" if seen["e2fsck"] else first


def cost_table(costs: Sequence[Cost]) -> str:
    """Return a table in Markdown of what tags cost, in bytes."""
    data = 2 * FILE_BLOCKS * BLOCK_BYTES
    lines = [
        "| scheme, algorithm, layout | stored | of the data | hashed: all | hashed: one block read "
        "| hashed: one block written | written with it |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in costs:
        _layout, scheme, algorithm, _blocks = one.said
        lines.append(
            f"| {scheme}, {algorithm}, {layout_word(one.said)} | {one.stored_bytes} "
            f"| {100 * one.stored_bytes / data:.1f} % | {one.check_bytes} | {one.read_bytes} "
            f"| {one.hashed_bytes} | {one.write_bytes} |"
        )
    note = f"Bytes, on a device of {DEVICE_BLOCKS} blocks of {BLOCK_BYTES} bytes, two files of {FILE_BLOCKS}."
    return "\n".join([*lines, "", note])


def _row(outcome: Outcome) -> dict[str, object]:
    layout, scheme, algorithm, blocks = outcome.said
    return {
        "layout": layout,
        "scheme": scheme,
        "algorithm": algorithm,
        "extent_blocks": blocks,
        "attack": outcome.attack.name,
        "what": outcome.attack.what,
        "harmless": outcome.attack.harmless,
        "tries": outcome.tries,
        "noticed_by": [judge for judge in JUDGES if outcome.noticed[judge]],
        "missed_with_keys": outcome.missed,
    }


def _cost(one: Cost) -> dict[str, object]:
    layout, scheme, algorithm, blocks = one.said
    return {
        "layout": layout,
        "scheme": scheme,
        "algorithm": algorithm,
        "extent_blocks": blocks,
        "stored_bytes": one.stored_bytes,
        "check_bytes": one.check_bytes,
        "read_bytes": one.read_bytes,
        "hashed_bytes": one.hashed_bytes,
        "write_bytes": one.write_bytes,
    }

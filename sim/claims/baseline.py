"""
Baselines: what claims came to at a known configuration and model, and when that is no longer known.

A baseline is a folder, `results/reference/<experiment>/`: the run (manifest.json and tables) and claims.json,
the value of every claim on every cell. Its key is the hash of the configuration and the digest of the model.

- Another key: the recorded values belong to something else. What held is *stale* until recorded again.
- The same key: the values must be the same to the last digit, for a run repeats to the byte; others fail.
- A run made by another model than the one installed is stale too, baseline or not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.claims.intervals import AS_SAID, Verdict
from sim.claims.verdicts import Finding
from sim.documents import read_json, short
from sim.errors import ConfigError
from sim.experiment.results import Run, write_json, written_aside

FORMAT = 1
FILE = "claims.json"
_DIGITS = 8
_TABLES = ("metrics", "calls", "histograms")


@dataclass(frozen=True, slots=True)
class Key:
    """What values depend on. config: hash of the experiment's cells and seeds. model: digest of the code."""

    config: str
    model: str

    def unlike(self, other: Key) -> list[str]:
        """Return, in words, in what two keys differ."""
        pairs = (("configuration", self.config, other.config), ("model", self.model, other.model))
        return [f"{what} {a[:_DIGITS]}, not {b[:_DIGITS]}" for what, a, b in pairs if a != b]


def key_of(run: Run) -> Key:
    """Return the key of a run directory."""
    return Key(run.manifest["config_hash"], run.manifest["versions"]["model"])


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline, read. values: claim -> "label, label" -> value per seed."""

    path: Path
    key: Key
    values: dict[str, dict[str, list[float]]]


def read_baseline(folder: Path) -> Baseline:
    """Return the baseline in `folder`; raise ConfigError if there is none or it is of another format."""
    path = folder / FILE
    allowed = "what --update-baseline wrote"
    try:
        path.stat()
        said = read_json(path, str(path), allowed)
        if said["format"] != FORMAT:
            raise ConfigError(str(path), f"format {short(said['format'])} of another readpath", str(FORMAT))
        key, values = Key(said["config_hash"], said["model"]), said["claims"]
        if not _are_values(values) or not isinstance(key.config, str) or not isinstance(key.model, str):
            raise TypeError
        return Baseline(folder, key, values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = type(error).__name__
        raise ConfigError(str(path), f"is no baseline ({what})", allowed) from None


def _are_values(claims: Any) -> bool:
    """Return whether a document has the form claim -> cell -> numbers, one per seed."""
    return isinstance(claims, dict) and all(
        isinstance(cells, dict)
        and all(
            isinstance(values, list)
            and values
            and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            for values in cells.values()
        )
        for cells in claims.values()
    )


def recorded(findings: Sequence[Finding]) -> dict[str, dict[str, list[float]]]:
    """Return what a baseline keeps of findings: claim -> cell -> value per seed, elsewhere included."""
    return {
        finding.claim.name: {
            ", ".join(point.labels) or "the only cell": list(point.values)
            for part in finding.parts
            for point in part.points
        }
        for finding in findings
    }


def against_model(finding: Finding, run: Key, today: Key) -> Finding:
    """Return the finding, stale if the run is not of today's model, or not of today's configuration."""
    return _stale(finding, [f"the run is of {what}: run it again" for what in run.unlike(today)])


def against_baseline(finding: Finding, run: Key, baseline: Baseline) -> Finding:
    """
    Return the finding, stale if the baseline does not speak of it, failed if it contradicts it.

    A finding that failed or cannot be told stays so.
    """
    old = baseline.values.get(finding.claim.name)
    new = recorded([finding])[finding.claim.name]
    if old is None:
        return _stale(finding, ["the baseline does not have it: --update-baseline"])
    unlike = baseline.key.unlike(run)
    if unlike:
        same = "values are the same" if old == new else "values differ"
        return _stale(finding, [f"the baseline is of {what}; {same}" for what in unlike])
    if set(old) != set(new):
        return _stale(finding, ["the baseline has other cells of it: --update-baseline"])
    changed = [cell for cell in new if old[cell] != new[cell]]
    if not changed:
        return finding
    note = f"same configuration and model, yet {_from_to(old[changed[0]], new[changed[0]])} at {changed[0]}"
    return replace(finding, verdict="failed", notes=(*finding.notes, note))


def _stale(finding: Finding, notes: list[str]) -> Finding:
    if not notes:
        return finding
    verdict: Verdict = "stale" if finding.verdict in AS_SAID else finding.verdict
    return replace(finding, verdict=verdict, notes=(*finding.notes, *notes))


def _from_to(old: list[float], new: list[float]) -> str:
    first = next((pair for pair in zip(old, new, strict=False) if pair[0] != pair[1]), (len(old), len(new)))
    return f"{first[0]:.6g} became {first[1]:.6g}"


def difference(
    old: dict[str, dict[str, list[float]]], new: dict[str, dict[str, list[float]]]
) -> list[dict[str, Any]]:
    """
    Return what an update would change: rows of claim, cell, old, new (means over seeds; None = not there).
    """
    rows = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, {}), new.get(name, {})
        for cell in dict.fromkeys([*before, *after]):
            if before.get(cell) != after.get(cell):
                row = {"claim": name, "cell": cell, "old": _mean(before, cell), "new": _mean(after, cell)}
                rows.append(row)
    return rows


def _mean(values: dict[str, list[float]], cell: str) -> float | None:
    return sum(values[cell]) / len(values[cell]) if values.get(cell) else None


def write_baseline(folder: Path, run: Run, findings: Sequence[Finding]) -> None:
    """
    Put a run and its claims' values where the baseline `folder` is; it changes as a whole or not at all.

    The run's manifest, as one line, and its tables are kept, but for a trace; other files of the folder stay.
    Raises ConfigError if it cannot be written.
    """
    if run.missing:
        problem = f"{run.missing} cells have no result"
        raise ConfigError(str(run.path), problem, "a run all of whose cells could be run")
    key = key_of(run)
    document = {"format": FORMAT, "experiment": run.manifest["experiment"], "config_hash": key.config}
    document |= {"model": key.model, "claims": recorded(findings)}
    with written_aside(folder) as aside:
        for path in sorted(folder.glob("*")):
            if path.is_dir():
                shutil.copytree(path, aside / path.name)
            elif path.suffix not in (".json", ".parquet"):
                shutil.copy(path, aside / path.name)
        for name in _TABLES:
            shutil.copy(run.path / f"{name}.parquet", aside)
        compact = json.dumps(run.manifest, ensure_ascii=False, separators=(",", ":"))
        (aside / "manifest.json").write_text(f"{compact}\n", encoding="utf-8")
        write_json(aside / FILE, document)

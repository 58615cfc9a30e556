"""
readpath compare: what changed from one run to another.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sim.cli.exits import DONE, FOUND
from sim.cli.render import console, print_table
from sim.errors import ConfigError
from sim.experiment.results import Run, load_run
from sim.report.comparison import compare, comparison_table, markdown, verdict_line
from sim.report.tables import PER_4K
from sim.shipped import here_or_shipped


def compare_runs(
    first: Path, second: Path, metric: str, threshold: float, as_json: bool, as_markdown: bool, quiet: bool
) -> int:
    """
    Print how the cells of two runs compare; return the exit code: FOUND if one is worse.

    metric: "" for the cost of the first run's currency. Raises ReadpathError for what cannot be compared.
    """
    if as_json and as_markdown:
        raise ConfigError("--markdown", "with --json", "one of them")
    ours, theirs = (load_run(here_or_shipped(folder)) for folder in (first, second))
    found = compare(ours, theirs, metric or PER_4K[ours.currency], threshold)
    if as_json:
        document = {"a": _said(ours), "b": _said(theirs), "threshold": threshold, **asdict(found)}
        print(json.dumps({**document, "worse": found.worse}, indent=2))
    elif as_markdown:
        print(markdown(found, f"{theirs.manifest['title']}: {_name(theirs)} against {_name(ours)}"))
    elif not quiet:
        out = console()
        for letter, run in (("A", ours), ("B", theirs)):
            out.print(f"{letter}: {run.path} ({_name(run)})", markup=False, highlight=False, soft_wrap=True)
        print_table(comparison_table(found), out, found.metric)
        out.print(verdict_line(found), markup=False, highlight=False, soft_wrap=True)
    return FOUND if found.worse else DONE


def _said(run: Run) -> dict[str, object]:
    return {
        "run": str(run.path),
        "config_hash": run.manifest["config_hash"],
        "versions": run.manifest["versions"],
    }


def _name(run: Run) -> str:
    """Return a run in a few words: experiment, configuration, version."""
    said = run.manifest
    return f"{said['experiment']} {said['config_hash'][:8]}, readpath {said['versions']['readpath']}"

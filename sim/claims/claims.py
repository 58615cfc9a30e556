"""
Claims: sentences with a measure, a margin and a source, as TOML files say them.

A file has `experiment` (the stem of the experiment file it is about) and one [[claim]] table each:

    name      of its own, within all files            kind    at least, at most, equal, equivalent
    sentence  what is claimed; {margin} in it         margin  a number; for equivalent, the distance from 1
    source    who says so                             figure  the figure that shows it, if one does
    measure   what is taken of a cell                 holds   where the claim holds, in words
    of        which cells, by labels: { path = "mpage", layout = ["a", "b"] }; axes not named may be any
    over      labels changed to get the cell to divide by: same seed, same other labels
    by        the measure to divide by, if it is another one
    less      labels changed to get the cell to subtract first, above and below
    seeds     how many seeds it needs at least; a cell with chance in it needs LEAST_SEEDS in any case
    margin_source   where the margin comes from: a recording, a published number, the smallest effect that
              matters. Never from what the model gives: a margin that follows the model cannot fail
    definition      true for what cannot fail, as it follows from the set-up or the workload's arithmetic:
              it is checked, and not counted as a finding
    expect    "held", or "failed" for a claim that was made and turned out wrong; learnt says what that taught
    recorded  the instructions that a kernel spent on the same: see Recorded. They have to keep the margin too

A measure is one of metric = "name", calls = [symbols], ns = [symbols], groups = [cost groups], in ns; `per`
divides it by what the cell read: "page", "4KiB", "block", or "bio". [[claim.elsewhere]] (of, expect, because)
says what becomes of the claim on other cells, and is checked too: `of` there replaces labels of the claim's.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from sim.claims.intervals import Kind
from sim.config.cell_result import GROUPS, METRICS
from sim.config.table import Model, custom
from sim.documents import read_toml
from sim.errors import ConfigError
from sim.experiment.error_lines import from_validation

Per = Literal["run", "page", "4KiB", "block", "bio"]


def _labels(value: object) -> object:
    """One label or a list of them: always a tuple."""
    return tuple(value) if isinstance(value, list) else (value,)


def _groups(groups: tuple[str, ...]) -> tuple[str, ...]:
    for group in groups:
        if group not in GROUPS:
            raise custom(f"cost group {group!r} is unknown", ", ".join(GROUPS))
    return groups


Words = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
Selection = dict[str, Annotated[tuple[str, ...], BeforeValidator(_labels), Field(min_length=1)]]
Partner = dict[str, str]
Margin = Annotated[float, Field(strict=False, allow_inf_nan=False)]


class Measure(Model):
    """What is taken of a cell and seed. Exactly one of metric, calls, ns, groups; see the module."""

    metric: str | None = None
    calls: Words | None = None
    ns: Words | None = None
    groups: Annotated[Words, AfterValidator(_groups)] | None = None
    per: Per = "run"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.metric, self.calls, self.ns, self.groups)) != 1:
            raise custom("one measure is needed", "one of metric, calls, ns, groups")
        if self.metric is not None and self.metric not in METRICS:
            raise custom(f"metric {self.metric!r} is unknown", ", ".join(METRICS))
        return self

    @property
    def counts(self) -> bool:
        """Whether it is a count, the same on every machine and seed: exact equality makes sense."""
        if self.metric is not None:
            return not any(word in METRICS[self.metric][0] for word in ("ns", "MiB/s"))
        return self.calls is not None

    def __str__(self) -> str:
        if self.metric is not None:
            what = self.metric
        elif self.calls is not None:
            what = f"calls of {' + '.join(self.calls)}"
        else:
            what = f"ns of {' + '.join(self.ns or self.groups or ())}"
        return what if self.per == "run" else f"{what} per {self.per}"


class Elsewhere(Model):
    """Cells on which the claim is not made: what a check of it must say there, and why."""

    of: Selection
    expect: Literal["held", "failed"]
    because: str


class Recorded(Model):
    """
    The same ratio, of instructions that a kernel was recorded to spend: those of `case` over those of `over`.

    Both are VERSION/CASE of results/kernel/VERSION/matrix-instructions.jsonl. within: how far the simulated
    ratio may be from it, as a share of it, on any cell; within_source: where that comes from.
    """

    case: str
    over: str
    within: Annotated[float, Field(strict=False, gt=0, lt=1)]
    within_source: str = Field(min_length=1)


class Claim(Model):
    """One claim; see the module for its keys."""

    name: str = Field(min_length=1)
    sentence: str
    source: str
    measure: Measure
    of: Selection = Field(default_factory=dict)
    over: Partner = Field(default_factory=dict)
    by: Measure | None = None
    less: Partner = Field(default_factory=dict)
    kind: Kind
    margin: Margin
    margin_source: str = Field(min_length=1)
    definition: bool = False
    expect: Literal["held", "failed"] = "held"
    learnt: str = ""
    seeds: int = Field(default=1, ge=1)
    holds: str = ""
    figure: str = ""
    elsewhere: tuple[Elsewhere, ...] = Field(default=(), strict=False)
    recorded: Recorded | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.kind == "equal" and not all(part.counts for part in (self.measure, self.by) if part):
            raise custom("equal with a measure of time", "counts only; for times: equivalent, with a margin")
        if self.kind == "equivalent" and not (self.over and 0 < self.margin < 1):
            raise custom("equivalent without over, or its margin", "over, and 0 < margin < 1")
        if self.less and (self.over or self.by is None):
            raise custom("less with over, or without by", "less together with by, without over")
        if (self.expect == "failed") != bool(self.learnt):
            raise custom("a claim that failed without what was learnt, or the other way", "both or neither")
        ratio = bool(self.over) and self.measure.metric == "instructions_per_4k"
        if self.recorded is not None and not (ratio and self.expect == "held"):
            raise custom(
                "recorded with such a claim", "a ratio (over) of instructions_per_4k, expected to hold"
            )
        if self.definition and self.expect == "failed":
            raise custom("a definition that fails", "a claim")
        return self

    @property
    def digest(self) -> str:
        """Return what HISTORY.md names a state by: of all that the verdict hangs on, not of words."""
        words = {"sentence", "source", "margin_source", "learnt", "holds", "figure", "name"}
        without_words: dict[str, Any] = dict.fromkeys(words, True)
        without_words["elsewhere"] = {"__all__": {"because"}}
        without_words["recorded"] = {"within_source": True} if self.recorded is not None else True
        said = self.model_dump(mode="json", exclude=without_words)
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def said(self) -> str:
        """Return the sentence, its margin put in: "{margin}" stands for it."""
        return self.sentence.replace("{margin}", f"{self.margin:g}")

    def describe(self) -> str:
        """Return the measure in one line, labels included."""
        text = str(self.measure)
        if self.less:
            return f"({text}) / ({self.by}), each {_said(self.of)} less {_said(self.less)}"
        if self.by is not None:
            text = f"({text}) / ({self.by})"
        text = f"{text}, {_said(self.of)}" if self.of else text
        return f"{text} over {_said(self.over)}" if self.over else text

    def rule(self) -> str:
        """Return kind and margin in one line."""
        return f"{self.kind} {'1 ± ' if self.kind == 'equivalent' else ''}{self.margin:g}"


def _said(labels: dict[str, Any]) -> str:
    texts = (value if isinstance(value, str) else " or ".join(value) for value in labels.values())
    return ", ".join(texts)


class ClaimsFile(Model):
    experiment: str
    claim: tuple[Claim, ...] = Field(strict=False, min_length=1)


def load_claims(folder: Path) -> dict[str, list[Claim]]:
    """
    Return the claims of all TOML files in `folder` by the stem of their experiment, in order of file names.

    Raises ConfigError with file, key and what is allowed; also for a name used twice or a folder without
    claims.
    """
    found: dict[str, list[Claim]] = {}
    where: dict[str, Path] = {}
    for path in sorted(folder.glob("*.toml")):
        file = _parse(path)
        for claim in file.claim:
            if claim.name in where:
                raise ConfigError(
                    str(path), f"claim {claim.name!r} is also in {where[claim.name]}", "new names"
                )
            where[claim.name] = path
        found.setdefault(file.experiment, []).extend(file.claim)
    if not found:
        raise ConfigError(str(folder), "has no claims", "a folder of *.toml files; see experiments/claims")
    return found


def refuse_unknown_experiments(folder: Path, known: Collection[str]) -> None:
    """
    Raise ConfigError for a file of claims on an experiment that is none: they would never be checked.

    known: those there are in any case. Others lie beside the folder, or the file of claims is called so.
    """
    for path in sorted(folder.glob("*.toml")):
        name = _parse(path).experiment
        beside = folder.parent / f"{name}.toml"
        if name not in (*known, path.stem) and not beside.is_file():
            stems = [*known, *(other.stem for other in folder.parent.glob("*.toml"))]
            hint = "".join(f", did you mean {near!r}?" for near in difflib.get_close_matches(name, stems, 1))
            raise ConfigError(str(path), f"experiment: {name!r} is none{hint}", f"a file {beside}")


def _parse(path: Path) -> ClaimsFile:
    raw = read_toml(path, str(path), "see experiments/claims")
    try:
        return ClaimsFile.model_validate(raw)
    except ValidationError as error:
        raise from_validation(error, ClaimsFile, raw, str(path)) from None

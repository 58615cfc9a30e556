"""
The whole page: head, what is in it, a part for each run, style and script.

Equal runs give equal bytes: nothing of a page tells when or where it was made.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources

import sim
from sim.claims.claims import Claim
from sim.experiment.results import Run
from sim.experiment.trace import has_trace, load_trace
from sim.report.html.answer import answer
from sim.report.html.elements import Html, joined, section, table, tag
from sim.report.html.explorer import explorer
from sim.report.html.pictures import pictures
from sim.report.html.provenance import provenance
from sim.report.html.settings import again, failures, folder_name, settings
from sim.report.job_table import job_results
from sim.report.panels import run_footer
from sim.report.stages import STAGE_WORDS
from sim.report.table import Column, Table
from sim.report.tables import short_axes, summary

MARK = "<!DOCTYPE html>\n<!-- readpath report -->\n"
"""How a page of ours begins."""
SCRIPTS = ("theme.js", "tables.js", "flame.js", "explorer.js")

Part = tuple[str, str, Callable[[], Html]]
"""Anchor, heading, and what makes its contents."""


def report(runs: Sequence[Run], claims: Sequence[Sequence[Claim]]) -> str:
    """
    Return the page of some runs. claims: those on the experiment of each.

    Raises ConfigError for a run whose trace or profiles cannot be read.
    """
    titles = _titles(runs)
    single = len(runs) == 1
    title = titles[0] if single else f"{len(runs)} runs"
    body: list[str] = []
    contents: list[tuple[str, str]] = []
    for number, (run, about) in enumerate(zip(runs, claims, strict=True), start=1):
        prefix = "" if single else f"run{number}-"
        made = [(f"{prefix}{name}", heading, make()) for name, heading, make in _parts(run, about, prefix)]
        sections = [section(2 if single else 3, *part) for part in made]
        question = tag("p", run.manifest.get("question", ""), class_="question")
        foot = tag("p", run_footer(run), class_="foot")
        if single:
            body += [question, *sections, foot]
            contents += [(anchor, heading) for anchor, heading, _ in made]
        else:
            body.append(section(2, f"run{number}", titles[number - 1], question, *sections, foot))
            contents.append((f"run{number}", titles[number - 1]))
    at = next((place for place, part in enumerate(body) if 'id="settings"' in part), len(body))
    body.insert(at, explorer(runs, titles, 2))
    at = next((place for place, (anchor, _) in enumerate(contents) if anchor == "settings"), len(contents))
    contents.insert(at, ("symbols", "Symbols and flame graph"))
    return _page(title, contents, body)


def _titles(runs: Sequence[Run]) -> list[str]:
    """Return a title for each run; of equal ones with the directory's name, and with a number if that is."""
    titles = [str(run.manifest["title"]) for run in runs]
    folders = [folder_name(run) for run in runs]
    times, alike = Counter(titles), Counter(zip(titles, folders, strict=True))
    found = []
    for number, (title, folder) in enumerate(zip(titles, folders, strict=True), start=1):
        more = f" ({folder})" if times[title] > 1 else ""
        found.append(f"{title}{more}" + (f" [{number}]" if alike[title, folder] > 1 else ""))
    return found


def _parts(run: Run, claims: Sequence[Claim], prefix: str) -> list[Part]:
    axes = list(run.axes)
    parts: list[Part] = [("answer", "Answer", lambda: answer(run, claims))]
    if run.failed or run.missing:
        parts.append(("failed", "Cells without a result", lambda: _missing(run)))
    if run.metrics:
        parts.append(
            ("cells", "Cells", lambda: table(summary(run), "Every cell, means over its seeds", axes))
        )
    if run.jobs:
        caption = "fio jobs, means over seeds"
        parts.append(("jobs", "Jobs", lambda: table(job_results(run), caption, axes)))
    if not run.missing:
        parts.append(("figures", "Figures", lambda: joined(pictures(run, prefix))))
    parts.append(("stages", "Stages of an I/O", lambda: _stages(run)))
    parts.append(("settings", "Configuration", lambda: settings(run)))
    parts.append(("again", "Do it again", lambda: again(run)))
    parts.append(("provenance", "Where the numbers come from", lambda: provenance(run)))
    return parts


def _missing(run: Run) -> Html:
    words = tag("p", f"{run.missing} of {len(run.manifest['cells']) * len(run.manifest['seeds'])} have none.")
    return joined(words, failures(run)) if run.failed else words


def _stages(run: Run) -> Html:
    """Return the mean time of an I/O by stage, a row a cell; how to have it, without a trace."""
    if not has_trace(run.path):
        return tag(
            "p", "Not traced: readpath run … --trace keeps every I/O's stages and every read's latency."
        )
    trace = load_trace(run.path)
    rows = []
    for row in {row["cell"]: row for row in run.metrics}.values():
        means = trace.stages_ns({row["cell"]})
        shown: dict[str, object] = {stage: means[stage] / 1000 if means else None for stage in STAGE_WORDS}
        whole = sum(means[stage] for stage in STAGE_WORDS) / 1000 if means else None
        rows.append({**{axis: row[axis] for axis in run.axes}, **shown, "whole": whole})
    names = short_axes(list(run.axes))
    columns = (
        *(Column(names[axis], axis) for axis in run.axes),
        *(Column(f"{word}, µs", stage, ",.2f") for stage, word in STAGE_WORDS.items()),
        Column("whole, µs", "whole", ",.2f"),
    )
    caption = (
        "Mean time of an I/O by stage, from submit_bio() until the reader runs on, over the sectors read"
    )
    return table(Table(columns, tuple(rows)), caption, list(run.axes))


def _page(title: str, contents: Sequence[tuple[str, str]], body: Sequence[str]) -> str:
    style, script = _asset("report.css"), "\n".join(map(_asset, SCRIPTS))
    allowed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"readpath {sim.__version__}"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{title} - readpath"),
        tag("style", Html(style)),
    )
    links = [tag("li", tag("a", heading, href=f"#{anchor}")) for anchor, heading in contents]
    whole = tag(
        "body",
        tag("a", "Skip to the answer", href="#main", class_="skip"),
        tag("header", tag("p", "readpath report", class_="kicker"), tag("h1", title), tag("div", id="theme")),
        tag("nav", tag("ul", links), aria_label="Contents"),
        tag("main", body, id="main", tabindex="-1"),
        tag("script", Html(script)),
    )
    return f"{MARK}{tag('html', head, whole, lang='en')}\n"


def _asset(name: str) -> str:
    file = resources.files("sim") / "report" / "html" / "page" / name
    return file.read_text(encoding="utf-8")

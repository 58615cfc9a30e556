"""The report as a document: what it says, the same every time, nothing from outside, no text that acts."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from traced_kit import READS, traced

from sim.claims.claims import Claim, load_claims
from sim.engine.costs import load_costs, machine_profile_names
from sim.experiment.results import Run, load_run
from sim.experiment.trace import load_trace
from sim.report.figures import FIGURES
from sim.report.html.document import MARK, report
from sim.report.html.elements import Html, tag
from sim.report.html.explorer import MOST_BYTES
from sim.report.html.pictures import SHOWS, inline
from sim.report.html.provenance import ASSUMED, FITTED, KINDS, OWN, entries, kind_of, provenance
from sim.report.tables import symbols

ROOT = Path(__file__).parents[2]
CLAIMS = load_claims(ROOT / "experiments" / "claims")
AXES = '"volume.block_size" = ["1KiB", "4KiB"]\npath = ["buffer_head", "page_io"]\n'
TEXT = f"{READS.replace('3KiB', '8KiB')}{AXES}[run]\nseeds = 2\n"


class Page(HTMLParser):
    """A page taken apart: elements with attributes, in order; texts of tables; what is in the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.open = ""
        self.feed(text)

    def handle_starttag(self, name: str, attributes: Any) -> None:
        """Take an element."""
        self.elements.append((name, dict(attributes)))
        self.open = name
        if name == "tr":
            self.rows.append([])
        elif name in ("td", "th"):
            self.rows[-1].append("")
        elif name == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self.open == "script":
            self.scripts[-1] += data
        elif self.open in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open != "style":
            self.text += data

    def handle_endtag(self, _name: str) -> None:
        """Leave an element."""
        self.open = ""

    @property
    def calls(self) -> dict[str, Any]:
        """What the page's script reads."""
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A traced run of four cells with two seeds."""
    return traced(tmp_path_factory.mktemp("traced"), TEXT)


@pytest.fixture(scope="module")
def text(run) -> str:
    """Its page."""
    return report([run], [[]])


def changed(run: Run, **said: Any) -> Run:
    """Return a run whose manifest says something else."""
    return dataclasses.replace(run, manifest={**run.manifest, **said})


def test_a_page_is_the_same_every_time(run, text, tmp_path):
    """To the byte, wherever the run lies: its own folder is not in it."""
    run.path.rename(tmp_path / "elsewhere")
    try:
        assert text == report([load_run(tmp_path / "elsewhere")], [[]])
    finally:
        (tmp_path / "elsewhere").rename(run.path)
    assert str(run.path.parent) not in text
    assert text.startswith(MARK)


def test_nothing_is_loaded_from_outside(text):
    """No element refers to anything but the page, and its policy allows nothing else."""
    page = Page(text)
    refers = [
        value
        for _name, attributes in page.elements
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "action", "srcset")
    ]
    assert len(refers) > 100
    assert [] == [value for value in refers if not value.startswith("#") and value != "data:,"]
    (policy,) = [said["content"] for name, said in page.elements if name == "meta" and "http-equiv" in said]
    assert policy.startswith("default-src 'none'")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_all_that_refers_finds_one(run):
    """Also where figures of two runs have the same ids."""
    page = Page(report([run, run], [[], []]))
    ids = [said["id"] for _name, said in page.elements if "id" in said]
    assert len(ids) == len(set(ids))
    for key in ("href", "xlink:href", "aria-labelledby", "clip-path"):
        for _name, said in page.elements:
            if key in said and said[key] != "data:,":
                assert re.sub(r"^url\(#(.*)\)$|^#", r"\1", said[key]) in ids, said


def test_a_text_is_only_a_text(run):
    """A title that is HTML, ends a script or holds what no document can, is shown and does nothing."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)></script \x00\ud800 & \u2028"
    text = report([changed(run, title=evil, question=evil), changed(run, title=evil)], [[], []])
    page = Page(text)
    assert 2 == len(page.scripts)
    assert not set("<>&") & set(page.scripts[0])
    assert [] == [name for name, _ in page.elements if name == "img"]
    assert page.calls["runs"][0]["title"].startswith("</script><script>alert(1)</script>")
    assert "<script>alert(1)</script><img" in page.text
    text.encode("utf-8")
    assert '<p a-b="&quot;&lt;" hidden>&lt;&amp;<br></p>' == tag(
        "p", "<&", Html("<br>"), a_b='"<', hidden=True, class_=None
    )


def test_the_answer_is_a_claim_that_holds_with_its_number():
    """Of the main experiment: how many times the CPU; then how many hold, and all of them in a table."""
    run = load_run(ROOT / "results" / "reference" / "per_block_vs_per_extent")
    claims = CLAIMS["per_block_vs_per_extent"]
    page = Page(report([run], [claims]))
    assert "Contiguous, 1 KiB blocks: buffer heads cost at least" in page.text
    shown = [row for row in page.rows if len(row) == 9 and row[6] in {claim.rule() for claim in claims}]
    assert [claim.said for claim in claims] == [row[1] for row in shown]
    assert f"{len(claims)} claims on this experiment: " in page.text


def claim(name: str, margin: float) -> Claim:
    """Return a claim on the pages that a cell reads."""
    return Claim.model_validate(
        {
            "name": name,
            "sentence": f"{name} pages are read",
            "source": "us",
            "measure": {"metric": "pages_read"},
            "kind": "at least",
            "margin": margin,
            "margin_source": "none",
        }
    )


def test_a_claim_that_fails_is_told_and_is_no_answer(run):
    """The answer is one that holds; below it stands what does not, and in the table its verdict."""
    text = report([run], [[claim("many", 1e9), claim("some", 1)]])
    page = Page(text)
    assert 'class="lead">some pages are read: ' in text
    assert "What does not hold:many pages are read: " in page.text
    assert "2 claims on this experiment: 1 failed, 1 held." in page.text
    assert ["failed", "held"] == [
        row[0] for row in page.rows if row[1:2] in (["many pages are read"], ["some pages are read"])
    ]
    assert "stale" not in page.text


def test_a_run_of_another_model_is_stale(run):
    """Its verdicts are those of `readpath check`, with what they would be."""
    old = changed(run, versions={**run.manifest["versions"], "model": "0" * 64})
    page = Page(report([old], [[claim("some", 1)]]))
    assert "All of this is stale: the run is of model 00000000, not " in page.text
    assert ["held (stale)"] == [row[0] for row in page.rows if "some pages are read" in row]


def test_without_claims_the_answer_is_what_the_cells_cost(run, text):
    """The cheapest and the dearest, by name."""
    low, high = (choose(run.metrics, key=lambda row: row["cpu_ns_per_4k"]) for choose in (min, max))
    first, last = (
        f"{row['cpu_ns_per_4k']:,.0f} {words} ({row['volume.block_size']}, {row['path']})"
        for row, words in ((low, "ns of CPU time at least"), (high, "at most"))
    )
    assert f"4 KiB cost {first} and {last}." in Page(text).text


def test_stages_are_those_of_the_trace(run, text):
    """A row a cell, in microseconds; without a trace it says how to have one."""
    trace = load_trace(run.path)
    for row in run.metrics:
        means = trace.stages_ns({row["cell"]})
        told = [row["volume.block_size"], row["path"], *(f"{ns / 1000:,.2f}" for ns in means.values())]
        assert [*told, f"{sum(means.values()) / 1000:,.2f}"] in Page(text).rows
    plain = dataclasses.replace(run, path=run.path.parent / "nosuch")
    assert "Not traced: readpath run" in Page(report([plain], [[]])).text


def test_the_page_has_the_calls_of_each_cell(run, text):
    """What its script divides: the sums of `readpath show`."""
    (said,) = Page(text).calls["runs"]
    rows = {row["cell"]: row for row in run.metrics}
    for cell, row in zip(said["cells"], rows.values(), strict=True):
        labels = {
            axis["key"]: axis["labels"][at] for axis, at in zip(said["axes"], cell["labels"], strict=True)
        }
        assert {axis: row[axis] for axis in run.axes} == labels
        whole: dict[str, int] = {}
        for at in range(0, len(cell["calls"]), 4):
            number, calls = cell["calls"][at : at + 2]
            symbol = said["stacks"][number][1].split(";")[-1]
            whole[symbol] = whole.get(symbol, 0) + calls
        expected: dict[str, int] = {}
        for one in symbols(run, labels).rows:
            expected[one["symbol"]] = expected.get(one["symbol"], 0) + one["calls"]
        assert expected == whole
        both = [one for one in run.metrics if one["cell"] == row["cell"]]
        assert 2 == len(both)
        assert sum(one["pages_read"] for one in both) == cell["pages"]
        assert sum(one["bytes_read"] for one in both) == cell["of4k"] * 4096
    assert [["1KiB", "buffer_head"], ["1KiB", "page_io"]] == [
        [axis["labels"][at] for axis, at in zip(said["axes"], said["cells"][place]["labels"], strict=True)]
        for place in said["first"]
    ]


def test_too_many_calls_are_left_out_aloud(run, monkeypatch):
    """The page says how many cells and how much, and where they are to be had."""
    monkeypatch.setattr("sim.report.html.explorer.MOST_BYTES", 1000)
    page = Page(report([run], [[]]))
    assert 1 == len(page.scripts)
    assert "Left out: the calls of 4 cells" in page.text
    assert MOST_BYTES > 1 << 20


def test_cells_that_failed_are_told_and_no_figure_compares(run):
    """As `readpath run` has it."""
    gone = run.metrics[0]
    told = {"labels": "1KiB buffer_head", "error": "no room", "fault": False}
    failed = [{"cell": gone["cell"], "seed": seed, **told} for seed in (0, 1)]
    rows = [row for row in run.metrics if row["cell"] != gone["cell"]]
    calls = [row for row in run.calls if row["cell"] != gone["cell"]]
    jobs = [row for row in run.jobs if row["cell"] != gone["cell"]]
    short = dataclasses.replace(run, metrics=rows, calls=calls, jobs=jobs, failed=failed)
    page = Page(report([short], [[]]))
    assert [["1KiB buffer_head", seed, "no room"] for seed in "01"] == [
        row for row in page.rows if "no room" in row
    ]
    assert "2 of 8 have none." in page.text
    assert "figure" not in [name for name, _ in page.elements]


def test_every_figure_has_words_for_who_does_not_see_it():
    """One for each of FIGURES, and no other."""
    assert set(FIGURES) == set(SHOWS)
    head = '<?xml?>\n<svg width="1pt" viewBox="0 0 144 72"><metadata>x</metadata>'
    svg = f'{head}<g id="a"/><use href="#a"/></svg>'
    drawn = inline(svg, "p-", 'say "it"')
    assert 'aria-label="say &quot;it&quot;"' in drawn
    assert 'viewBox="0 0 144 72"' in drawn
    assert '<g id="p-a"/><use href="#p-a"/></svg>' in drawn
    assert "metadata" not in drawn


def test_every_cost_of_every_machine_has_a_kind():
    """What is in `unmeasured` is assumed, what was fitted is not; all that costs anything is one of KINDS."""
    for profile in machine_profile_names():
        said = entries(profile)
        paid = {symbol for symbol, cost in load_costs(profile).costs.items() if cost.self_ps or cost.unit_ps}
        assert paid <= set(said), profile
        assert {entry["kind"] for entry in said.values()} <= set(KINDS)
    said = entries("linux-6.1-epyc-7001")
    assert FITTED == said["filemap_read"]["kind"]
    assert ASSUMED == said["mpage_read_folio"]["kind"] == said["folio_put_wait_locked"]["kind"]
    assert ASSUMED == kind_of({"source": "assumption: like another", "method": ""}, "mine")
    assert ASSUMED == said["asm_common_interrupt"]["kind"]  # its instructions are recorded, its ns are not
    assert {} == entries("mine.toml")


def test_the_shares_of_kinds_are_those_of_the_calls(run, text):
    """In per cent of the CPU time of all cells; they add up."""
    said = entries("linux-6.1-epyc-7001")
    spent = dict.fromkeys(KINDS, 0)
    for row in run.calls:
        if row["ns"]:
            spent[said[row["symbol"]]["kind"]] += row["ns"]
    whole = sum(spent.values())
    words = ", ".join(f"{100 * ns / whole:.1f} % {kind}" for kind, ns in spent.items() if ns)
    assert f"Of the CPU time of this run: {words}." in Page(text).text


@pytest.mark.parametrize("name", ["kernels", "large_folios", "device_bound"])
def test_a_symbol_that_another_kernel_calls_otherwise_has_its_source(name):
    """Every cost of the committed runs is known, with the name that the profile has for it."""
    text = provenance(load_run(ROOT / "results" / "reference" / name))
    assert OWN not in text
    assert ("the cost of copy_page_to_iter; " in text) == (name != "device_bound")


def test_a_prediction_is_said_where_the_costs_come_from():
    """The committed run of ext4_iomap says why; a run of recorded paths has nothing of it."""
    reference = ROOT / "results" / "reference"
    said = "Path ext4_iomap is a prediction: no kernel with "
    assert said in provenance(load_run(reference / "ext4_iomap"))
    assert "is a prediction" not in provenance(load_run(reference / "kernels"))

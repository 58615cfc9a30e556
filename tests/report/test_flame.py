"""Flame graphs: boxes as wide as the run's numbers, tooltips that say them, colours of a difference."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.experiment.results import Run, load_run
from sim.report.flame import change_colour, flame, flame_diff
from sim.report.flame_svg import is_dark, mixed
from sim.report.flame_tree import placed, tree_of
from sim.report.style import GROUP_COLOURS, LOSES, WINS

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "per_block_vs_per_extent"
SVG = "{http://www.w3.org/2000/svg}"
ALIKE = {"encryption.scheme": "none", "volume.block_size": "4KiB", "volume.files.layout": "contiguous"}


@pytest.fixture(scope="module")
def run() -> Run:
    """The committed run of the main experiment."""
    return load_run(REFERENCE)


def boxes(text: str) -> list[tuple[str, float, float, float, str]]:
    """Return (tooltip, x, y, width, fill) of each box of a flame graph."""
    found = []
    for group in ET.fromstring(text).iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is not None and rect is not None and title.text:
            x, y, width = (float(rect.get(name, "")) for name in ("x", "y", "width"))
            found.append((title.text, x, y, width, rect.get("fill", "")))
    return found


def test_the_boxes_are_the_run_s_numbers(run):
    """The lowest box is all; a symbol's boxes add up to what `show` says; a box lies over its caller."""
    rows = [row for row in run.metrics if all(row[key] == label for key, label in ALIKE.items())]
    (row,) = [row for row in rows if row["path"] == "buffer_head"]
    drawn = boxes(flame(run, {**ALIKE, "path": "buffer_head"}, "ns"))
    assert drawn[0][0].startswith(f"all: {row['cpu_ns_per_4k']:,.1f} ns per 4 KiB (100.00 %)")
    calls = [call for call in run.calls if (call["cell"], call["seed"]) == (row["cell"], row["seed"])]
    pages = row["bytes_read"] / 4096
    own = sum(call["ns"] for call in calls if call["symbol"] == "bio_alloc_bioset") / pages
    said = [
        re.search(r"of its own ([\d,.]+)", box[0]) for box in drawn if box[0].startswith("bio_alloc_bioset:")
    ]
    assert pytest.approx(own, abs=0.1 * len(said)) == sum(
        float(match[1].replace(",", "")) for match in said if match
    )
    width = drawn[0][3]
    for tooltip, x, y, wide, _ in drawn:
        share = float(re.search(r"\(([\d.]+) %\)", tooltip)[1])
        assert wide == pytest.approx(share / 100 * width, abs=0.5)
        below = [one for one in drawn if one[2] == pytest.approx(y + 17, abs=0.2)]
        assert tooltip.startswith("all:") or any(
            one[1] - 0.2 <= x and x + wide <= one[1] + one[3] + 0.5 for one in below
        )


def test_in_instructions(run):
    """The same graph in instructions has another size of all."""
    drawn = boxes(flame(run, {**ALIKE, "path": "page_io"}, "instructions"))
    assert "instructions per 4 KiB" in drawn[0][0]


def test_unlike_cells_are_not_pooled(run):
    """A graph over all paths would be of nothing; so would a side of a difference."""
    with pytest.raises(ConfigError, match="would pool"):
        flame(run, {"path": "page_io"}, "ns")
    with pytest.raises(ConfigError, match="would pool"):
        flame_diff(run, {}, {"path": "page_io"}, {"path": "mpage"}, "ns")


def test_a_difference_has_both_sides_in_the_same_colours(run):
    """A and B, each as wide as it costs; what only A has is blue, what only B has is vermillion."""
    text = flame_diff(run, ALIKE, {"path": "buffer_head"}, {"path": "page_io"}, "ns")
    drawn = boxes(text)
    tops = [box for box in drawn if box[0].startswith("all:")]
    assert 2 == len(tops)
    assert {tops[0][0]} == {top[0] for top in tops}
    colours = {box[0].partition(":")[0]: box[4] for box in drawn}
    assert WINS.lower() == colours["block_read_full_folio"]
    assert LOSES.lower() == colours["ext4_readahead"]
    assert "#ffffff" == colours["copy_page_to_iter"]
    assert "A: path=buffer_head" in text
    assert "B: path=page_io" in text


def test_the_colour_of_a_change():
    """Nothing, half, all: white, half of the colour, all of it; red where B is dearer, blue where cheaper."""
    assert "#ffffff" == change_colour(5, 5) == change_colour(0, 0)
    assert (mixed(LOSES, 0.5), mixed(WINS, 0.5)) == (change_colour(5, 10), change_colour(10, 5))
    assert (LOSES.lower(), WINS.lower()) == (change_colour(0, 5), change_colour(5, 0))


def test_text_can_be_read_on_every_colour():
    """White on the dark ones, black on the others."""
    assert is_dark(GROUP_COLOURS["block layer"])
    assert is_dark(GROUP_COLOURS["driver"])
    assert not is_dark(GROUP_COLOURS["page cache"])
    assert not is_dark("#ffffff")


def test_it_is_the_same_every_time_and_loads_nothing(run):
    """No date, no script, nothing from elsewhere."""
    text = flame(run, {**ALIKE, "path": "mpage"}, "ns")
    assert text == flame(run, {**ALIKE, "path": "mpage"}, "ns")
    assert "<script" not in text
    assert ["http://www.w3.org/2000/svg"] == re.findall(r"https?://[^\"' ]+", text)


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(0, 9)), max_size=9
    )
)
def test_frames_lie_side_by_side_on_their_callers(stacks):
    """Whatever the stacks: children do not overlap, lie within their caller, and all is the sum."""
    root = tree_of([(stack, "copy", 0, float(cost)) for stack, cost in stacks])
    drawn = list(placed(root, 0))
    assert sum(cost for _, cost in stacks) == (drawn[0].width if drawn else 0)
    for depth in {box.depth for box in drawn}:
        row = sorted((box.start, box.width) for box in drawn if box.depth == depth)
        assert all(first[0] + first[1] <= second[0] + 1e-9 for first, second in pairwise(row))

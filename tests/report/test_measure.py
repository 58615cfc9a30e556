"""What texts measure, where they break, and which ticks an axis has room for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sim.report.legend import Legend
from sim.report.measure import (
    height_of,
    log_marks,
    number,
    plain,
    room_for_numbers,
    tick_marks,
    width_of,
    wrapped,
)
from sim.report.page import Frame, Strip
from sim.report.style import TALLEST_INCHES, TICK_POINTS, WIDTH_INCHES

TEXTS = st.text("abc -_.,/", max_size=60)


def test_a_text_is_as_wide_as_its_longest_line():
    """Widths grow with the font; lines stand under each other."""
    assert width_of("buffer_head") == width_of("a\nbuffer_head\nb") < width_of("buffer_head", 9)
    assert width_of("iomap") < width_of("iomap", weight="bold")
    assert (0, pytest.approx(0.125), pytest.approx(0.25)) == (
        height_of(""),
        height_of("a"),
        height_of("a\nb"),
    )


@given(TEXTS, st.floats(0.3, 3))
def test_no_line_is_too_wide_and_no_letter_is_lost(text, inches):
    """Whatever the text, its lines fit and its letters stay, in order."""
    broken = wrapped(text, inches)
    assert all(width_of(line) <= inches for line in broken.split("\n"))
    assert text.replace(" ", "") == broken.replace("\n", "").replace(" ", "")


def test_a_text_breaks_at_spaces_then_behind_marks():
    """Words stay whole as long as they fit."""
    assert "extents of\n16 blocks" == wrapped("extents of 16 blocks", 0.65)
    assert "linux-6.1-\nepyc-7001" == wrapped("linux-6.1-epyc-7001", 0.65)
    assert "one\ntwo" == wrapped("one\ntwo", 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.00001, "< 0.0001"),
        (0.00123, "0.001"),
        (0.0049, "0.005"),
        (0.005, "0.01"),
        (0.996, "1.00"),
        (13.034, "13.03"),
        (99.994, "99.99"),
        (99.996, "100.0"),
        (155.64, "155.6"),
        (999.96, "1,000"),
        (1_234_567.8, "1,234,568"),
    ],
)
def test_numbers(value, expected):
    """Two decimals, fewer for what is large, more for what would be zeros."""
    assert expected == number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1024, "1,024"), (0.5, "0.5"), (0.00001, "0.00001"), (1048576, "1,048,576"), (0, "0")],
)
def test_plain_numbers(value, expected):
    """A size is written out, never with an exponent."""
    assert expected == plain(value)


@given(st.floats(1e-3, 1e7), st.floats(0.5, 6), st.floats(0, 0.95))
def test_ticks_can_be_read_apart(high, inches, share):
    """None runs into its neighbour or stands out beyond the axis, and steps have one size."""
    low = share * high
    marks = tick_marks(high, inches, low)
    places = [(at - low) / (high - low) * inches for at in marks]
    halves = [width_of(said, TICK_POINTS) / 2 for said in marks.values()]
    assert all(b - a > one + other for (a, one), (b, other) in pairwise(zip(places, halves, strict=True)))
    assert places[-1] + halves[-1] <= inches + 0.05 or len(marks) == 1
    steps = [b - a for a, b in pairwise(marks)]
    assert all(step == pytest.approx(steps[0]) for step in steps)
    assert len(set(marks.values())) == len(marks)


def test_ticks_thin_out_with_their_labels():
    """Six where they fit, two where a million needs the room."""
    assert ["0", "5", "10", "15"] == list(tick_marks(18, 1.1).values())
    assert ["0", "1,000,000"] == list(tick_marks(1_900_000, 1.1).values())
    assert ["0.00", "0.05", "0.10"] == list(tick_marks(0.12, 0.9).values())


@pytest.mark.parametrize(
    ("low", "high", "inches", "expected"),
    [
        (1.8, 75, 7.0, "2 3 4 5 6 7 8 9 10 20 30 40 50 60 70"),
        (1.8, 75, 2.0, "2 5 10 20 50"),
        (0.8, 1200, 1.5, "1 10 100 1,000"),
        (0.8, 12_000_000, 1.5, "1 1,000 1,000,000"),
        (52, 68, 2.0, "55 60 65"),
    ],
)
def test_logarithmic_ticks(low, high, inches, expected):
    """Digits between powers of ten while there is room, then fewer powers; round numbers on a short axis."""
    assert expected == " ".join(log_marks(low, high, inches).values())


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6), st.floats(1, 6))
def test_a_number_fits_behind_each_bar(ends, inches):
    """The axis ends where the last letter of the longest bar's number does."""
    said = [(end, number(end)) for end in ends]
    limit = room_for_numbers(said, inches)
    assert all(end / limit * inches + width_of(text, TICK_POINTS) <= inches + 1e-6 for end, text in said)


def test_a_legend_has_as_many_columns_as_fit():
    """Nine groups on a page, three by three in one column of it; rows are read from the left."""
    patches = [
        Patch(label=name) for name in ("copy", "page cache", "mapping", "buffer heads", "bio", "block layer")
    ]
    assert (6, 3) == (Legend.of(patches, 7).columns, Legend.of(patches, 3.3).columns)
    assert Legend.of(patches, 3.3).height == 2 * Legend.of(patches, 7).height
    assert Legend.of([Line2D([], [], label="x")], 3).handle > Legend.of([Patch(label="x")], 3).handle
    (one,) = Legend.of([Patch(label="a name that is too long for the page")], 1.0).labels
    assert "\n" in one


def test_a_page_is_full_before_the_next_begins():
    """Strips go on a page until it is full; one that is higher than paper has a page of its own."""
    frame = Frame(width=WIDTH_INCHES, lefts=(1.0, 0.2), foot="foot", titles=("a", "b"), name="name")
    assert [range(3), range(3, 4)] == frame.split([Strip(2.5)] * 4)
    assert [range(1), range(1, 2), range(2, 3)] == frame.split([Strip(1), Strip(20), Strip(1)])
    figure, panels = frame.page([Strip(2.5)] * 3)
    assert figure.get_figheight() <= TALLEST_INCHES
    assert [2, 2, 2] == [len(row) for row in panels]
    assert [frame.panel_inches] * 6 == [
        pytest.approx(p.get_window_extent().width / 100) for r in panels for p in r
    ]

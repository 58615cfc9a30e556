"""The eye of the tests of figures: what it finds in a drawn figure, and what it does not."""

from __future__ import annotations

import pytest
from drawn import faults
from matplotlib.figure import Figure


def figure(*texts: tuple[float, float, str], **style: object) -> Figure:
    """Return a page of 3 x 3 inches with texts that begin at places in inches."""
    page = Figure(figsize=(3, 3))
    for x, y, text in texts:
        page.text(x / 3, y / 3, text, **{"fontsize": 8} | style)
    return page


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (figure((1, 1, "inside"), (1, 1.5, "above")), []),
        (figure((2.9, 1, "beyond the edge")), ["cut: 'beyond the edge'"]),
        (figure((1, 2.95, "too high")), ["cut: 'too high'"]),
        (figure((1, 1, "here"), (1.1, 1.02, "there")), ["over each other: 'here', 'there'"]),
        (figure((1, 1, "5"), (1.08, 1, "0")), ["over each other: '5', '0'"]),
        (figure((1, 1, "5"), (1.2, 1, "0")), []),
        (figure((1, 1, "first\nsecond")), []),
        (figure((1, 1, "fine print"), fontsize=5), ["small: 'fine print'"]),
        # their upright boxes overlap, they do not
        (figure((1, 1, "a slanted name"), (1.25, 1, "a slanted name"), rotation=40), []),
    ],
)
def test_texts(drawn, expected):
    """Cut, run into each other, too small: told by the text; else nothing."""
    assert expected == faults(drawn)


def test_a_text_over_a_bar():
    """A filled shape under a text is found, unless the text is meant to lie there; white is none."""
    page = Figure(figsize=(3, 3))
    panel = page.add_axes((0, 0, 1, 1))
    panel.set(xlim=(0, 3), ylim=(0, 3), xticks=[], yticks=[])
    panel.barh(1, 2, 1)
    panel.barh(2, 2, 0.9, color="white")
    panel.text(1, 1, "on it")
    panel.text(1, 2, "on white")
    assert ["over a bar: 'on it'"] == faults(page)
    assert [] == faults(page, on_bars=lambda said: said == "on it")


def test_what_is_not_drawn_is_no_fault():
    """Ticks beyond an axis, hidden labels and invisible panels cannot be seen."""
    page = Figure(figsize=(3, 3))
    panel, unseen = page.add_axes((0.2, 0.2, 0.6, 0.6)), page.add_axes((0.2, 0.2, 0.6, 0.6))
    panel.set(
        xlim=(0, 1), xticks=[0, 1, 50], yticks=[0.5], yticklabels=["a name that is far too long for it"]
    )
    panel.set_xlim(0, 1)
    panel.tick_params(labelleft=False)
    unseen.set_visible(False)
    assert [] == faults(page)

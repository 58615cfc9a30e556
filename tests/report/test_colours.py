"""Colours of what a figure compares stay distinct for the colour-blind."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sim.report.style import GROUP_COLOURS, OKABE_ITO, PATH_COLOURS

# What a colour (linear sRGB) looks like to who lacks one kind of cone: Machado, Oliveira and Fernandes, "A
# physiologically-based model for simulation of color vision deficiency", 2009, at severity 1.
VISIONS = {
    "trichromat": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# sRGB's primaries under D65: IEC 61966-2-1.
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colour: str, vision: str) -> np.ndarray:
    """Return a colour in CIELAB as someone sees it."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(VISIONS[vision] @ linear, 0, 1) / np.sum(TO_XYZ, axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one: str, other: str) -> float:
    """Return the distance (CIE76) at which two colours are told apart by all, the worst-sighted included."""
    return min(float(np.linalg.norm(lab(one, vision) - lab(other, vision))) for vision in VISIONS)


def test_the_scale_is_right():
    """White and black are 100 apart for all, red and green hardly so for who lacks a cone."""
    assert 100 == pytest.approx(apart("white", "black"), abs=0.1)
    seen = [np.linalg.norm(lab("#C00000", v) - lab("#608000", v)) for v in ("trichromat", "deuteranope")]
    assert seen[0] > 2 * seen[1]


CLOSEST = min(apart(*two) for two in combinations(OKABE_ITO.values(), 2))
"""How close two colours of the palette are that was made for the colour-blind."""


@pytest.mark.parametrize("colours", [GROUP_COLOURS, PATH_COLOURS], ids=["groups", "paths"])
def test_no_two_are_closer_than_the_palettes_own(colours):
    """Grey and brown are as far from the others as Okabe and Ito's colours are from each other."""
    close = {
        two: d for two in combinations(colours, 2) if (d := apart(*(colours[one] for one in two))) < CLOSEST
    }
    assert {} == close


def test_neighbours_in_a_bar_are_far_apart():
    """Groups that touch in a stacked bar differ by half as much again."""
    assert all(apart(*two) > 1.5 * CLOSEST for two in pairwise(GROUP_COLOURS.values()))

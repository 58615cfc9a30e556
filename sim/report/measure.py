"""
How large a text is on paper, before anything is drawn; and what follows: where it breaks, which ticks fit.

All lengths are in inches, all fonts in points. Nothing here needs a figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from math import floor, log, log10

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from sim.report.style import FONT, TEXT_POINTS, TICK_POINTS

POINTS_PER_INCH = 72
_LINE = 1.2
"""From one base line to the next, in font sizes."""
APART = 0.07
"""Between two numbers on an axis, for them not to read as one."""
BEHIND = 0.04
"""Between a bar and the number behind it, and behind that."""
_MOST_TICKS = 6
_LEAST_SHOWN = 1e-4

_DIGITS = (range(1, 10), (1, 2, 5), (1,))
"""What a decade of a logarithmic axis is divided into."""

Marks = dict[float, str]
"""Where an axis has its ticks, and what they are called."""


@cache
def width_of(text: str, points: float = TEXT_POINTS, weight: str = "normal") -> float:
    """Return the width of a text, of its longest line, in inches."""
    font = FontProperties(family=FONT, size=points, weight=weight)
    lines = [line for line in text.split("\n") if line]
    sizes = [text_to_path.get_text_width_height_descent(line, font, ismath=False) for line in lines]
    return max((float(width) for width, _, _ in sizes), default=0.0) / POINTS_PER_INCH


def height_of(text: str, points: float = TEXT_POINTS) -> float:
    """Return the height of the lines of a text, in inches; an empty text has none."""
    return (text.count("\n") + 1) * points * _LINE / POINTS_PER_INCH if text else 0.0


def wrapped(text: str, inches: float, points: float = TEXT_POINTS, weight: str = "normal") -> str:
    """
    Return a text broken into lines of at most `inches`.

    It breaks at spaces; a word that is too long by itself behind one of - _ . , / :, or where it must.
    """
    return "\n".join(_broken(line, inches, points, weight) for line in text.split("\n"))


def _broken(text: str, inches: float, points: float, weight: str) -> str:
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined, points, weight) <= inches:
            lines[-1] = joined
            continue
        pieces = _pieces(word, inches, points, weight)
        lines[-1:] = [lines[-1], *pieces] if lines[-1] else pieces
    return "\n".join(line.strip() for line in lines)


def _pieces(word: str, inches: float, points: float, weight: str) -> list[str]:
    """Return a word cut to pieces of at most `inches`, each as long as can be."""
    found = [""]
    for part in re.findall(r"[^-_.,/:]*[-_.,/:]|[^-_.,/:]+", word):
        if width_of(found[-1] + part, points, weight) <= inches:
            found[-1] += part
        elif width_of(part, points, weight) <= inches:
            found.append(part)
        else:
            for letter in part:
                if width_of(found[-1] + letter, points, weight) > inches:
                    found.append("")
                found[-1] += letter
    return [piece for piece in found if piece]


def number(value: float) -> str:
    """
    Return a number, not below 0, as a figure has it.

    With two decimals; fewer where it is large, more where these would be zeros.
    """
    if value == 0:
        return "0"
    if value < _LEAST_SHOWN:
        return f"< {_LEAST_SHOWN}"
    if value < 0.005:
        return f"{value:.{-floor(log10(value))}f}"
    return f"{value:,.{2 if value < 99.995 else 1 if value < 999.95 else 0}f}"


def plain(value: float) -> str:
    """Return a number that stands for itself, such as a size on an axis: 1,024 or 0.5."""
    if value == round(value):
        return f"{value:,.0f}"
    decimals = max(5 - floor(log10(abs(value))), 0)
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".")


def tick_marks(high: float, inches: float, low: float = 0.0, *, upright: bool = False) -> Marks:
    """
    Return round numbers from `low` to `high` on an axis of `inches`: as many as can be read apart.

    None stands out beyond the upper end. upright: a vertical axis, where they need their height.
    """

    def place(at: float) -> float:
        return (at - low) / (high - low) * inches

    def half(said: str) -> float:
        return 0.0 if upright else width_of(said, TICK_POINTS) / 2

    for most in range(_MOST_TICKS, 0, -1):
        values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
        slack = 1e-9 * (high - low)
        inside = [float(value) for value in values if low - slack <= value <= high + slack]
        marks = dict(zip(inside, _plain(inside), strict=True))
        fitting = {at: said for at, said in marks.items() if place(at) + half(said) <= inches + APART / 2}
        if len(fitting) > 1 and fitting == apart(fitting, place, upright=upright):
            return fitting
    return {low: _plain([low])[0]}


def log_marks(
    low: float,
    high: float,
    inches: float,
    *,
    base: int = 10,
    upright: bool = False,
    say: Callable[[float], str] = plain,
) -> Marks:
    """
    Return round numbers on a logarithmic axis of `inches` from `low` to `high`, as many as can be read apart.

    They are powers of `base`, of 10 with digits between. Those of `tick_marks` where the axis spans less than
    two of them.
    """
    powers = range(floor(log(low, base)), floor(log(high, base)) + 1)
    digits_of = _DIGITS if base == 10 else ((1,),)
    for digits, every in (*((some, 1) for some in digits_of), *(((1,), n) for n in range(2, len(powers)))):
        values = [digit * float(base) ** power for power in powers if not power % every for digit in digits]
        marks = {value: say(value) for value in values if low <= value <= high}
        read = apart(marks, lambda at: log10(at / low) / log10(high / low) * inches, upright=upright)
        if len(marks) > 1 and read == marks:
            return marks
    return tick_marks(high, inches, low, upright=upright)


def _plain(values: Sequence[float]) -> list[str]:
    """Return numbers with as many decimals as their step has, and commas between thousands."""
    step = values[1] - values[0] if len(values) > 1 else values[0] or 1.0
    decimals = max(0, -floor(log10(abs(step)) + 1e-9))
    return [f"{value:,.{decimals}f}" for value in values]


def apart(marks: Marks, place: Callable[[float], float], *, upright: bool = False) -> Marks:
    """
    Return those marks of an axis that can be read apart; the first and the last come first.

    place: where a mark is on its axis, in inches.
    """
    order = sorted(marks, key=place)
    kept: list[float] = []
    for at in [*order[:1], *order[:0:-1][:1], *order[1:-1]]:
        if all(abs(place(at) - place(other)) >= _room(marks[at], marks[other], upright) for other in kept):
            kept.append(at)
    return {at: marks[at] for at in order if at in kept}


def _room(one: str, other: str, upright: bool) -> float:
    if upright:
        return height_of(one, TICK_POINTS)
    return (width_of(one, TICK_POINTS) + width_of(other, TICK_POINTS)) / 2 + APART


def room_for_numbers(ends: Sequence[tuple[float, str]], inches: float, points: float = TICK_POINTS) -> float:
    """
    Return where an axis of `inches` that begins at 0 must end for a number to fit behind each bar.

    ends: where each bar ends, and its number.
    """
    limits = [end / (1 - min((width_of(said, points) + 2 * BEHIND) / inches, 0.9)) for end, said in ends]
    return max(limits, default=0.0) or 1.0

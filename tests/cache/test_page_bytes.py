"""One byte a page, both ways it is kept, against a list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cache.make_bytes import page_bytes
from sim.cache.page_bytes import PageBytes
from sim.cache.plain_bytes import PlainBytes
from sim.engine.mode import compiled

VALUES = st.integers(0, 15)
PAGES = st.integers(0, 9)
STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "fill", "turn", "grow", "ask"]), PAGES, PAGES, VALUES), max_size=30
)
TABLE = bytes((value * 7 + 3) % 16 for value in range(256))


def run_of(model: list[int], start: int, end: int, value: int) -> int:
    """Return how many from `start` on have `value`."""
    part = model[start:end]
    return next((at for at, here in enumerate(part) if here != value), len(part))


@pytest.mark.parametrize("kind", [PageBytes, PlainBytes])
@given(size=PAGES, steps=STEPS)
def test_as_a_list(kind: Any, size: int, steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever is done to it; what only looks may look beyond the last page, where none has a value."""
    pages, model = kind(size), [0] * size
    for what, first, second, value in steps:
        start, end = sorted((first, second))
        inside = min(start, len(model)), min(end, len(model))
        if what == "set" and start < len(model):
            pages[start] = value
            model[start] = value
        elif what == "fill":
            pages.fill(*inside, value)
            model[slice(*inside)] = [value] * (inside[1] - inside[0])
        elif what == "turn":
            pages.turn(*inside, TABLE)
            model[slice(*inside)] = [TABLE[here] for here in model[slice(*inside)]]
        elif what == "grow":
            pages.grow(first)
            model += [0] * first
        elif what == "ask":
            part = bytes(model[start:end])
            assert run_of(model, start, end, value) == pages.run(start, end, value)
            assert part.count(value) == pages.count(value, start, end)
            found, last = part.find(value), part.rfind(value)
            assert (start + found if found >= 0 else -1) == pages.find(value, start, end)
            assert (start + last if last >= 0 else -1) == pages.rfind(value, start, end)
            assert part == pages.part(start, end)
        assert model == list(pages) == [pages[page] for page in range(len(pages))]
        assert bytes(model) == bytes(pages)


@pytest.mark.parametrize("kind", [PageBytes, PlainBytes])
def test_there_is_no_page_behind_the_last(kind: Any) -> None:
    """As of a list."""
    pages = kind(3)
    with pytest.raises(IndexError):
        pages[3]
    with pytest.raises(IndexError):
        pages[3] = 1


def test_the_core_has_its_own() -> None:
    """And plain Python a bytearray."""
    assert (PageBytes if compiled() else PlainBytes) is type(page_bytes(1))


@pytest.mark.parametrize("kind", [PageBytes, PlainBytes])
def test_a_range_of_more_than_two_windows(kind: Any) -> None:
    """Longer than what is kept ready for filling."""
    pages = kind(200)
    pages.fill(10, 190, 3)
    assert (0, 180, 190) == (pages.run(0, 10, 3), pages.run(10, 200, 3), pages.rfind(3, 0, 200) + 1)

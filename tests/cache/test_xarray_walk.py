"""
The walk over an XArray's slots: where it goes wrong on large folios, and a tree of nodes that does the
same.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.folios import FolioMapping
from sim.cache.pages import UPTODATE
from sim.cache.xarray_walk import next_miss, prev_miss

PAGES = 64 * 64 * 2
"""More than a node of nodes."""


def mapping(*folios: tuple[int, int], pages: int = 256) -> FolioMapping:
    """Return the mapping of a file with these folios (first page, order) cached."""
    made = FolioMapping(pages, False, slots=True)
    for first, order in folios:
        end = first + (1 << order)
        made.state.fill(first, end, UPTODATE)
        made.orders[first:end] = bytes((order,)) * (end - first)
    return made


class Node:
    """struct xa_node: 64 slots; an entry is a node, a folio, or ("sibling", slot)."""

    def __init__(self, shift: int, parent: Node | None, offset: int) -> None:
        self.shift, self.parent, self.offset = shift, parent, offset
        self.slots: list[Any] = [None] * 64


def tree(folios: list[tuple[int, int]]) -> Node:
    """Store folios one by one (__xa_store of lib/xarray.c, multi-index entries with their siblings)."""
    root = Node(12, None, 0)
    for first, order in folios:
        node = root
        while node.shift > order // 6 * 6:
            at = first >> node.shift & 63
            if node.slots[at] is None:
                node.slots[at] = Node(node.shift - 6, node, at)
            node = node.slots[at]
        at, more = first >> node.shift & 63, 1 << (order - node.shift)
        node.slots[at] = ("folio", first)
        node.slots[at + 1 : at + more] = [("sibling", at)] * (more - 1)
    return root


class Cursor:
    """struct xa_state over such a tree, as xas_load(), xas_next() and xas_prev() move it."""

    def __init__(self, root: Node, index: int) -> None:
        self.node: Node | None = root
        self.index, self.offset = index, 0

    def load(self) -> Any:
        while True:
            node = self.node
            assert node is not None
            self.offset = self.index >> node.shift & 63
            entry = node.slots[self.offset]
            if isinstance(entry, tuple) and entry[0] == "sibling":
                self.offset = entry[1]
                entry = node.slots[self.offset]
            if not isinstance(entry, Node):
                return entry
            self.node = entry

    def move(self, by: int) -> Any:
        node = self.node
        assert node is not None
        self.index += by
        edge = 63 if by > 0 else 0
        if not node.shift and self.offset != edge:
            self.offset += by
            return node.slots[self.offset]
        if self.offset != self.index >> node.shift & 63:
            self.offset += by
        while self.offset in (64, -1):
            self.offset = node.offset + by
            if node.parent is None:
                return None
            node = node.parent
        while isinstance(node.slots[self.offset], Node):
            node = node.slots[self.offset]
            self.offset = self.index >> node.shift & 63
        self.node = node
        return node.slots[self.offset]


def walked(folios: list[tuple[int, int]], index: int, most: int, by: int) -> int:
    """page_cache_next_miss() or _prev_miss() over the tree."""
    cursor = Cursor(tree(folios), index)
    entry = cursor.load()
    for _ in range(most - 1):
        if entry is None:
            return cursor.index
        entry = cursor.move(by)
    return cursor.index if entry is None else cursor.index + by


def test_single_pages_are_walked_as_they_lie() -> None:
    """Pages 0 to 9: the next hole is page 10, the last one before page 9 is -1; four scanned: the fifth."""
    pages = mapping(*[(page, 0) for page in range(10)])
    assert (10, -1) == (pages.next_miss(3, 32), pages.prev_miss(9, 32))
    assert (7, 5) == (pages.next_miss(3, 4), pages.prev_miss(9, 4))


def test_a_walk_within_a_folio_answers_a_page_too_far() -> None:
    """Folio [32, 48), page 48 a hole: from page 33, its second, the cursor stands on the first: 49."""
    assert 49 == mapping((32, 4)).next_miss(33, 32)
    assert 48 == mapping((32, 4)).next_miss(32, 32)


def test_history_before_a_folio_is_not_seen() -> None:
    """
    Folio [48, 64) over page 47, a hole: from page 63 back its slots are left at once, 15 pages too high.
    """
    assert 47 + 15 == mapping((48, 4)).prev_miss(63, 32)
    assert 47 == mapping((48, 4)).prev_miss(48, 32)


def test_a_hole_behind_a_nodes_border_is_not_seen() -> None:
    """Folio [48, 64), page 64 a hole, 65 to 69 cached: from page 49 the way down goes by the index, to 65."""
    pages = mapping((48, 4), *[(page, 0) for page in range(65, 70)])
    assert 70 == pages.next_miss(49, 32)
    assert 64 == pages.next_miss(48, 32)


def test_a_kernel_without_it_sees_every_hole() -> None:
    """6.1 is modelled by its pages."""
    pages = mapping((32, 4))
    plain = FolioMapping(pages.pages, False)
    plain.state, plain.orders[:] = pages.state, pages.orders
    assert 48 == plain.next_miss(33, 32)


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Folios in order, none over another, some holes between them."""
    folios, at = [], draw(st.integers(0, 70))
    for order in draw(st.lists(st.integers(0, 9), max_size=40)):
        at = -(-at >> order) << order
        if at + (1 << order) > PAGES:
            break
        folios.append((at, order))
        at += (1 << order) + draw(st.sampled_from([0, 0, 0, 1, 3, 60]))
    return folios


@settings(max_examples=300, deadline=None)
@given(layouts(), st.integers(0, PAGES - 1), st.integers(1, 700))
def test_the_walk_is_that_of_a_tree_of_nodes(folios: list[tuple[int, int]], index: int, most: int) -> None:
    """Any folios, any start, both ways: what the nodes and siblings of an XArray answer."""
    made = mapping(*folios, pages=PAGES)
    assert walked(folios, index, most, 1) == next_miss(made.state, made.orders, index, most)
    assert walked(folios, index, most, -1) == prev_miss(made.state, made.orders, index, most)

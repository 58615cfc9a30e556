"""The status tree of a file that is written, against a plain dictionary of blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.fs.es_tree import ES_DELAYED, ES_HOLE, ES_UNWRITTEN, ES_WRITTEN, EsTree

BLOCKS = 40
KINDS = (ES_WRITTEN, ES_UNWRITTEN, ES_HOLE, ES_DELAYED)
Known = dict[int, tuple[int, int]]
"""Block -> (status, place; 0 where it has none)."""

RANGES = st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 9))
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("insert", "cache", "remove")),
        RANGES,
        st.sampled_from(KINDS),
        st.sampled_from((100, 100, 500)),  # places that make neighbours, and others
    ),
    max_size=25,
)


def joins(known: Known, block: int) -> bool:
    """Tell whether `block` and the one before it are of one entry."""
    if block not in known or block - 1 not in known:
        return False
    (status, place), (before, place_before) = known[block], known[block - 1]
    return status == before and (status >= ES_HOLE or place == place_before + 1)


def act(tree: EsTree, known: Known, action: tuple[str, tuple[int, int], int, int]) -> None:
    """Do the same to the tree and to the dictionary, and compare what is said of it."""
    what, (start, length), status, far = action
    place = far + start if status < ES_HOLE else 0
    blocks = range(start, start + length)
    parted = not joins_nothing(known, start, length)
    if what == "remove":
        assert tree.remove(start, length) == parted
        for block in blocks:
            known.pop(block, None)
        return
    if what == "cache":
        free = not any(block in known for block in blocks)
        assert tree.cache(start, length, status, place) == free
        if not free:
            return
    else:
        assert tree.insert(start, length, status, place) == parted
    for block in blocks:
        known[block] = (status, place + block - start if status < ES_HOLE else 0)


def joins_nothing(known: Known, start: int, length: int) -> bool:
    """Tell whether no single entry reaches over both ends of [start, start + length)."""
    return not all(joins(known, block) for block in range(start, start + length + 1))


@given(actions=ACTIONS, chunk=st.sampled_from((2, 3, 512)))
def test_agrees_with_a_dictionary(actions: list[tuple[str, tuple[int, int], int, int]], chunk: int) -> None:
    """After anything, each block has its status and place; entries are as long as they can be."""
    tree, known = EsTree(chunk), Known()
    for action in actions:
        act(tree, known, action)
    entries = 0
    for block in range(BLOCKS + 12):
        entry = tree.lookup(block)
        if block not in known:
            assert entry is None
            continue
        assert entry is not None
        assert entry.status == known[block][0]
        assert entry.status >= ES_HOLE or entry.physical + block - entry.start == known[block][1]
        start, end = block, block + 1
        while joins(known, start):
            start -= 1
        while joins(known, end):
            end += 1
        assert (entry.start, entry.length) == (start, end - start)
        entries += not joins(known, block)
    assert len(tree) == entries == len(tree.entries())
    assert tree.levels == entries.bit_length()


@given(actions=ACTIONS, asked=RANGES, chunk=st.sampled_from((2, 3, 512)))
def test_questions_agree_with_a_dictionary(
    actions: list[tuple[str, tuple[int, int], int, int]], asked: tuple[int, int], chunk: int
) -> None:
    """Whether anything is known of a range, and where the first delayed block in it is."""
    tree, known = EsTree(chunk), Known()
    for action in actions:
        act(tree, known, action)
    start, length = asked
    blocks = range(start, start + length)
    assert tree.knows_any(start, length) == any(block in known for block in blocks)
    delayed = [block for block in blocks if known.get(block, (-1, 0))[0] == ES_DELAYED]
    entry = tree.delayed_from(start, start + length)
    if entry is None:
        assert not delayed
    else:
        assert entry.status == ES_DELAYED
        assert max(entry.start, start) == delayed[0]


def test_all_is_forgotten() -> None:
    """clear() leaves nothing."""
    tree = EsTree()
    tree.insert(3, 4, ES_WRITTEN, 100)
    tree.clear()
    assert (len(tree), tree.lookup(3), tree.levels) == (0, None, 0)

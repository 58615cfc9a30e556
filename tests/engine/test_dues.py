"""Places in a core's work against a naive model: numbers, each of which is pushed back by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.engine.dues import Due, Dues

NS = st.integers(0, 40)
STEP = st.tuples(st.sampled_from(["add", "push"]), NS, NS)


@given(st.lists(STEP, max_size=60))
def test_places_are_pushed_back_as_if_each_were_by_itself(steps: list[tuple[str, int, int]]) -> None:
    """Places come in any order; what a push does not reach stays where it is, for all later pushes too."""
    dues, made = Dues(), []
    naive: list[list[int]] = []  # [place, whether it may still be pushed back]
    for what, now, ns in steps:
        if what == "add":
            made.append(Due(now + ns))
            dues.add(made[-1])
            naive.append([now + ns, 1])
        else:
            dues.push_back(now, ns)
            for entry in naive:
                if entry[1] and entry[0] > now:
                    entry[0] += ns
                else:
                    entry[1] = 0
        assert [place for place, _ in naive] == [due.at for due in made]
    dues.reach(10**6)
    assert [place for place, _ in naive] == [due.at for due in made]


def test_what_is_reached_is_not_kept() -> None:
    """A thousand places, one each 10 ns, of which those up to now are let go before the next comes."""
    dues = Dues()
    most = 0
    for now in range(0, 10_000, 10):
        dues.reach(now - 1)
        dues.add(Due(now + 5))
        most = max(most, len(dues))
    assert 1 == most

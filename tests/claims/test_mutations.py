"""The shipped claims on the real core: all hold, and a path broken on purpose fails the right ones only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from claims_kit import CLAIMS, not_held, run_main

from sim.block.queue import BlockQueue
from sim.engine.costs import CostTable, load_costs
from sim.paths.mpage import MpagePath


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Where the images of all runs of this module are."""
    return tmp_path_factory.mktemp("images")


def test_every_claim_holds_on_a_small_file_too(tmp_path, images):
    """On 1 MiB instead of 16 all claims hold: their margins are not fitted to one size."""
    assert set() == not_held(run_main(tmp_path / "run", images))
    assert len(CLAIMS) >= 15


def _one_bio_per_page(patch: pytest.MonkeyPatch) -> None:
    """A bio has room for one page, and there is no step that takes a window at once."""
    patch.setattr("sim.paths.page_bio.MAX_VECTORS", 1)
    patch.setattr("sim.paths.one_run.MAX_VECTORS", 0)


def _map_every_block(patch: pytest.MonkeyPatch) -> None:
    """mpage and page_io are made as the counterfactual is: one call a block."""
    init = MpagePath.__init__
    patch.setattr(MpagePath, "__init__", lambda self, *parts: init(self, *parts[:7], True))


def _lose_merges(patch: pytest.MonkeyPatch) -> None:
    """No bio merges with the request before it, except within a row of blocks."""
    patch.setattr(BlockQueue, "_try_merge", lambda _self, *_bio: False)


def _double(group: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Every symbol of a cost group costs twice as much."""

    @cache
    def doubled(profile: str) -> CostTable:
        table = load_costs(profile)
        costs = {
            symbol: replace(cost, self_ps=2 * cost.self_ps, unit_ps=2 * cost.unit_ps)
            for symbol, cost in table.costs.items()
            if cost.group == group
        }
        assert costs
        return CostTable(table.name, table.costs | costs)

    return lambda patch: patch.setattr("sim.experiment.system.load_costs", doubled)


MUTATIONS = [
    (
        _one_bio_per_page,
        {
            "extent-paths-submit-a-bio-a-window",
            "cpu-saved-1k-contiguous",
            "cpu-saved-4k-contiguous",
            "cpu-saved-16k-extents",
            "nothing-gained-on-one-block-extents",  # it says that something is gained elsewhere
            "encryption-does-not-hide-the-path",
            "decryption-is-the-largest-cost",  # a work item per page costs as much as its cipher
            "mapping-is-not-the-difference",
        },
    ),
    (
        _map_every_block,
        {
            "extent-paths-map-contiguous-data-once-a-window",
            "get_block-for-every-block",  # it says that mpage does not
            "map_blocks-for-every-block",
            "mapping-every-block-would-cost-little",  # it says that it does with small blocks
            "cpu-saved-1k-contiguous",  # what page_io saves on mapping is a sixth of it
            "cpu-saved-4k-contiguous",
            "cpu-saved-16k-extents",
        },
    ),
    (_lose_merges, {"the-device-sees-the-same-requests"}),
    (_double("mapping"), {"mapping-is-not-the-difference", "mapping-every-block-would-cost-little"}),
    (
        _double("decrypt"),
        {
            "decryption-is-the-largest-cost",  # then it is so of buffer heads, too
            "encryption-does-not-hide-the-path",
        },
    ),
]


@pytest.mark.parametrize(("mutate", "failing"), MUTATIONS)
def test_a_broken_path_fails_the_right_claims(tmp_path, images, monkeypatch, mutate, failing):
    """Each mutation fails the claims about what it broke, and leaves all others as they are."""
    mutate(monkeypatch)
    assert failing == not_held(run_main(tmp_path / "run", images))

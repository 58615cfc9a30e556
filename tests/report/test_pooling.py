"""What a table would add up that is not alike, and a difference that refuses it."""

from __future__ import annotations

import pytest
from claims_kit import made

from sim.errors import ConfigError
from sim.report.pooling import difference_of_alike, pooled, refuse_unlike

B1, P1, B4, P4 = ("1KiB", "buffer_head"), ("1KiB", "page_io"), ("4KiB", "buffer_head"), ("4KiB", "page_io")
RUN = made({B1: [400], P1: [100], B4: [200], P4: [100]})


def test_unlike_cells_are_named_and_refused():
    """A side with two block sizes is an error that names them and a way out; seeds are alike."""
    assert {"block_size": ["1KiB", "4KiB"], "path": ["buffer_head", "page_io"]} == pooled(RUN, RUN.metrics)
    with pytest.raises(ConfigError, match=r"page_io would pool block_size = 1KiB, 4KiB.*--where") as error:
        refuse_unlike(RUN, {"path": "page_io"})
    assert '--where "block_size=1KiB"' in str(error.value)
    refuse_unlike(made({B1: [1, 2], P1: [1, 2]}), {"path": "page_io", "block_size": "1KiB"})


def test_a_difference_refuses_either_side() -> None:
    """The first side of two block sizes, and the second."""
    mixed, one = {"path": "page_io"}, {"path": "buffer_head", "block_size": "1KiB"}
    for first, second in ((mixed, one), (one, mixed)):
        with pytest.raises(ConfigError, match="path=page_io would pool block_size"):
            difference_of_alike(RUN, {}, first, second)

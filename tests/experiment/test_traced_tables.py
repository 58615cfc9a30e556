"""The long tables of a traced run, read in pieces."""

from __future__ import annotations

import pytest
from traced_kit import READS, traced

from sim.experiment import traced_tables
from sim.experiment.traced_tables import pieces


@pytest.mark.parametrize("name", ["reads", "block"])
def test_a_piece_is_small_however_a_table_was_written(tmp_path, monkeypatch, name):
    """With five rows a piece, all rows come in their order: reads.parquet is written as one row group."""
    run = traced(tmp_path / "run", READS)
    (whole,) = pieces(run.path, name, 0, 0)
    assert len(whole["cpu" if name == "block" else "offset"]) > 10
    monkeypatch.setattr(traced_tables, "PIECE_ROWS", 5)
    several = list(pieces(run.path, name, 0, 0))
    assert max(len(column) for piece in several for column in piece.values()) == 5
    assert whole == {key: [value for piece in several for value in piece[key]] for key in whole}

"""Values to Arrow's arrays: the same as pyarrow's own way; what is not of its kind is told."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.experiment.arrow_arrays import arrow_array

OF = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(),
}


@given(st.data(), st.sampled_from(list(OF)))
def test_it_is_what_pyarrow_makes(data: st.DataObject, kind: pa.DataType) -> None:
    """Any values, with nulls among them: equal, valid, and the same bytes in a file."""
    values = data.draw(st.lists(st.none() | OF[kind], max_size=20))
    ours, theirs = arrow_array(values, kind), pa.array(values, kind)
    ours.validate(full=True)
    assert theirs.equals(ours)
    files = [io.BytesIO(), io.BytesIO()]
    for file, array in zip(files, (ours, theirs), strict=True):
        pq.write_table(pa.Table.from_arrays([array], ["x"]), file, compression="zstd")
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.parametrize(
    ("value", "kind"), [(1.5, pa.int64()), (2**31, pa.int32()), (2**63, pa.int64()), ("1", pa.float64())]
)
def test_what_is_not_of_its_kind_is_told(value: object, kind: pa.DataType) -> None:
    """Nothing is rounded, nothing wraps."""
    with pytest.raises((TypeError, OverflowError)):
        arrow_array([value], kind)


def test_a_run_without_figures_waits_for_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    """Neither pandas, which pyarrow would import, nor matplotlib."""
    (tmp_path / "e.toml").write_text(
        'title = "t"\ndata = "off"\npath = "page_io"\n[device]\nprofile = "nvme"\n'
        '[volume]\ncontents = "none"\nfiles = [{ name = "data", size = "64KiB" }]\n'
        '[workload]\njob = { rw = "read", bs = "4k" }\n'
    )
    code = (
        "import sys; from sim.cli.main import app\n"
        "try: app(['run', 'e.toml', '-o', 'out', '--no-figures', '--quiet'], prog_name='readpath')\n"
        "finally: print(sorted({'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ("[]\n", "") == (said.stdout, said.stderr)
    assert (tmp_path / "out" / "metrics.parquet").is_file()

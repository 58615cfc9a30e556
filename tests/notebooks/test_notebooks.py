"""The notebooks run from top to bottom, with what they say checked by their own asserts; offline."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def _run(notebook: nbformat.NotebookNode) -> list[str]:
    """Run a notebook in its folder; return the kinds of output of its cells."""
    resources = {"metadata": {"path": str(NOTEBOOKS[0].parent)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)
    client.execute()
    return [kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in _kinds(output)]


def _kinds(output: nbformat.NotebookNode) -> list[str]:
    return list(output.get("data", {})) or [output.output_type]


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_three():
    """A newcomer is led from one read to whole files, and to the choice of an encryption."""
    expected = ["01_one_read_on_each_path", "02_per_block_vs_per_extent", "03_which_encryption"]
    assert expected == [path.stem for path in NOTEBOOKS]


@pytest.mark.filterwarnings("default")  # of the kernel's sockets, not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    """Every cell runs, every assert in it holds, and figures come out as figures."""
    kinds = _run(_read(path))
    assert kinds.count("text/html") >= 2
    assert "error" not in kinds


@pytest.mark.filterwarnings("default")
def test_a_wrong_sentence_would_be_seen():
    """A notebook whose assert does not hold fails: the test above can fail."""
    notebook = _read(NOTEBOOKS[0])
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    notebook.cells.append(nbformat.v4.new_code_cell('assert timeline("iomap").count("Q") == 2'))
    with pytest.raises(CellExecutionError, match="AssertionError"):
        _run(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path):
    """No outputs, no counts, ids in order: a change of the text is a change of the text."""
    notebook = _read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [] == [output for cell in code for output in cell.outputs]
    assert {None} == {cell.execution_count for cell in code}
    assert [f"cell-{number:02d}" for number in range(len(notebook.cells))] == [c.id for c in notebook.cells]
    assert all(len(cell.source.splitlines()) <= 14 for cell in code)

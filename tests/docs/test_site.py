"""The site: each document has a place in it; the tutorial's commands work in their order."""

from __future__ import annotations

from pathlib import Path

import yaml
from documents import commands
from site_hooks import on_page_markdown
from typer.testing import CliRunner

from sim.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
QUICK = ["--set", "volume.files.size=256KiB", "--set", "data=off", "--jobs", "1", "--no-figures"]


def pages(nav: list | dict | str) -> list[str]:
    """Return the files of a navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages(part)]


def test_every_document_has_its_place_once():
    """In one of four kinds."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert ["Start", "Tutorial", "How to", "Reference", "Background"] == [next(iter(part)) for part in nav]
    found = pages(nav)
    assert len(set(found)) == len(found)
    assert {path.name for path in DOCS.glob("*.md")} == set(found)


def test_links_out_of_the_documents_are_names():
    """The site has no file of the project besides; a link within it stays."""
    text = "See [the rig](../experiments/kernel/README.md) and ![a](../x.png), or [costs](costs.md)."
    assert (
        on_page_markdown(text)
        == "See the rig (`experiments/kernel/README.md`) and a (`x.png`), or [costs](costs.md)."
    )


def test_the_tutorial(tmp_path, monkeypatch):
    """Every command, one after another, in an empty folder; runs on small files."""
    monkeypatch.chdir(tmp_path)
    done = commands((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert ["run", "show", "show", "check", "init", "run", "run"] == [words[1] for words in done]
    for words in done:
        more = QUICK if words[1] == "run" else []
        told = CliRunner().invoke(app, [*words[1:], *more])
        assert told.exit_code in ((0, 2) if words[1] == "check" else (0,)), (words, told.output, told.stderr)
    assert "ext4_map_blocks" in CliRunner().invoke(app, done[2][1:]).stdout

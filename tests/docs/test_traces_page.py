"""docs/traces.md: its experiment runs, on a trace as its command makes one."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from typer.testing import CliRunner

from sim.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "traces.md").read_text(encoding="utf-8")
STRACE = """\
10 1700000000.000001 openat(AT_FDCWD, "/src/main.c", O_RDONLY) = 3 <0.000010>
10 1700000000.000100 fstat(3, {st_mode=S_IFREG|0644, st_size=70000, ...}) = 0 <0.000001>
10 1700000000.000200 read(3, "#include"..., 65536) = 65536 <0.000050>
10 1700000000.000900 read(3, "}"..., 65536) = 4464 <0.000010>
10 1700000000.001000 close(3) = 0 <0.000001>
"""


def test_the_example(tmp_path, monkeypatch):
    """It tells what is in the trace and plays it by both paths."""
    monkeypatch.chdir(tmp_path)
    Path("build.strace").write_text(STRACE)
    block = re.search(r"((?:    .*\n)+)\n((?:    .*\n)+)", PAGE)
    assert block is not None
    assert "    readpath trace build.strace\n" in block[1]
    told = CliRunner().invoke(app, ["trace", "build.strace"])
    assert "5: 5 read, 0 skipped" in " ".join(told.stdout.split())
    Path("build.toml").write_text(textwrap.dedent(block[2]))
    done = CliRunner().invoke(app, ["run", "build.toml", "--no-figures", "-o", "run"])
    assert 0 == done.exit_code, done.output
    assert "page_io" in done.stdout
    assert "buffer_head" in done.stdout

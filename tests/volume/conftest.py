"""
Fixtures of the volume tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mallory_kit import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of plain files, a key file for all users and one for each."""
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


@pytest.fixture
def image(base: Path, tmp_path: Path) -> Path:
    """A copy of that image."""
    path = tmp_path / "a.img"
    path.write_bytes((base / "plain.img").read_bytes())
    return path

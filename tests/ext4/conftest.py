"""
Settings and fixtures of the ext4 tests.
"""

from __future__ import annotations

import pytest
from ext4_samples import small_image


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The bytes of the small image at each block size."""
    folder = tmp_path_factory.mktemp("small")
    return {block_size: small_image(folder, block_size) for block_size in (1024, 2048, 4096)}

"""Traced runs that several tests of exports read."""

from __future__ import annotations

import pytest
from traced_kit import READS, WRITES, traced

from sim.experiment.results import Run

DEVICES = '"device.profile" = ["nvme", "sata-ssd", "ramdisk"]\npath = ["buffer_head", "page_io"]\n'


@pytest.fixture(scope="session")
def reads(tmp_path_factory) -> Run:
    """Two readers on three devices: requests at once, requests through an elevator, bios alone."""
    return traced(tmp_path_factory.mktemp("reads"), READS + DEVICES)


@pytest.fixture(scope="session")
def writes(tmp_path_factory) -> Run:
    """One job that reads, writes and syncs."""
    return traced(tmp_path_factory.mktemp("writes"), WRITES)


@pytest.fixture(scope="session")
def ciphers(tmp_path_factory) -> Run:
    """Two readers of encrypted files: workers decrypt."""
    return traced(tmp_path_factory.mktemp("ciphers"), READS + '"encryption.scheme" = ["fscrypt-v2"]\n')

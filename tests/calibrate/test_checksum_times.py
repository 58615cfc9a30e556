"""What a byte of a checksum costs, against the record that it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.calibrate.checksums import CHECKSUMS, checksum_times
from sim.documents import read_toml
from sim.engine.costs import load_costs
from sim.errors import ConfigError
from sim.integrity.algorithms import ALGORITHMS
from sim.paths.checksums.symbols import ALGORITHM_SYMBOLS, GCM

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "kernel" / "linux-6.1.192"
PROFILE = ROOT / "sim" / "profiles" / "machines" / "unmeasured.toml"


def test_every_algorithm_costs_what_was_recorded() -> None:
    """Each has its own symbol, whose ns a byte are the record's slope, give or take half."""
    times = checksum_times(RECORD)
    costs = read_toml(PROFILE, str(PROFILE), "a profile")["cost"]
    ciphers = {"aes-256-gcm-aead": GCM, "aes-256-xts": ""}  # XTS is a kernel's, recorded elsewhere
    assert [*ALGORITHMS, *ciphers] == [*ALGORITHM_SYMBOLS, *ciphers] == list(times)
    for name, symbol in [*ALGORITHM_SYMBOLS.items(), ("aes-256-gcm-aead", GCM)]:
        slope = times[name].byte_ns
        assert float(f"{slope:.3g}") == costs[symbol]["per_unit"], name
        assert [float(f"{slope * at:.3g}") for at in (0.5, 1.5)] == costs[symbol]["unit_interval"], name
        assert CHECKSUMS in costs[symbol]["source"]


def test_the_slope_is_a_straight_line() -> None:
    """Sizes on a line: the line is found, to the ns."""
    times = checksum_times(RECORD)
    assert times["sha256"].byte_ns == pytest.approx((9394 - 2659) / (16384 - 4096), rel=0.1)


def test_crc32c_is_to_copying_as_measured_elsewhere() -> None:
    """D. Sterba, 26 May 2023: 466 cycles for 4 KiB with carry-less multiplication, where a copy takes 228."""
    costs = load_costs("linux-6.1-epyc-7001")
    crc = costs["crc32c_pcl_intel_digest"].unit_ps * 4096 / 1000
    copy_ns_per_byte = 0.05725  # the profile's [clock]: a byte of memcpy in a hot loop
    assert crc / (copy_ns_per_byte * 4096) == pytest.approx(466 / 228, rel=0.25)


@pytest.mark.parametrize("record", ["[]", '{"rows": [{"algorithm": "crc32c"}]}', '{"rows": [1]}'])
def test_a_record_that_is_none_is_told(tmp_path: Path, record: str) -> None:
    """No rows, rows without sizes: one line."""
    (tmp_path / CHECKSUMS).write_text(record)
    with pytest.raises(ConfigError, match="is no record"):
        checksum_times(tmp_path)

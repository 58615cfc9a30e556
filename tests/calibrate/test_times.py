"""Records of times: they follow their schema, are read to the digit, and what is none is named."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

import sim
from sim.calibrate.loops import byte_loops
from sim.calibrate.times import MACHINES, load_times
from sim.cli import calibrate as verb
from sim.errors import ConfigError

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
DATA = KERNEL / "linux-6.1.192"
NATIVE = DATA / "native-ns.jsonl"
PROFILES = Path(sim.__file__).parent / "profiles" / "machines"


def lines() -> list[dict[str, object]]:
    """The committed times of `make truth-ns`."""
    return [json.loads(line) for line in NATIVE.read_text().splitlines()]


def test_every_time_follows_the_schema() -> None:
    """A record has what the schema asks for and no more; no case is there twice on a device."""
    schema = json.loads((KERNEL / "times-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    found = lines()
    assert [] == [error.message for line in found for error in validator.iter_errors(line)]
    cases = [(line["case"], line["device"]) for line in found if "case" in line]
    assert (1620, 1620) == (len(cases), len(set(cases)))


def test_the_schema_refuses_what_is_no_time() -> None:
    """A case without its device, a cipher without a key, a field nobody explains."""
    schema = json.loads((KERNEL / "times-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    case = next(line for line in lines() if "case" in line)
    cipher = next(line for line in lines() if "symbol" in line)
    for good, wrong in ((case, "device"), (cipher, "key_bits")):
        assert validator.is_valid(good)
        assert not validator.is_valid({key: value for key, value in good.items() if key != wrong})
        assert not validator.is_valid(good | {"colour": "blue"})


CIPHERS = [line for line in lines() if "symbol" in line]


def write(tmp_path: Path, *records: dict[str, object]) -> Path:
    """Write records as a file of times."""
    path = tmp_path / "some-ns.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in (*records, *CIPHERS)))
    return path


def test_a_case_is_the_mean_of_its_boots_medians(tmp_path: Path) -> None:
    """Two boots with 1,000 and 1,100 ns in the median: 1,050, whatever the least was."""
    case = next(line for line in lines() if "case" in line)
    more = {"ns_per_unit_median_of_boots": [1000.0, 1100.0], "ns_per_unit_min": 10.0}
    found = load_times(write(tmp_path, case | more), DATA)
    assert [1050.0] == [one.value for one in found.cases]
    assert (True, "some-ns.jsonl", case["cpu"]) == (found.cases[0].in_kernel, found.name, found.cpu)


def test_a_cipher_is_a_straight_line_through_its_sizes(tmp_path: Path) -> None:
    """20 ns a call and half a nanosecond a byte, found to the digit."""
    cipher = next(line for line in lines() if "symbol" in line)
    sizes = [
        cipher | {"arg": size, "ns_per_unit_median": 20 + size / 2, "symbol": "cbc_decrypt"}
        for size in (512, 1024, 4096)
    ]
    path = write(tmp_path)
    others = [line for line in CIPHERS if line["symbol"] != "cbc_decrypt"]
    path.write_text("".join(json.dumps(record) + "\n" for record in (*sizes, *others)))
    took = load_times(path, DATA).ciphers
    assert ["cbc_decrypt", "cbc_decrypt_128", "xts_decrypt"] == sorted(took)
    assert (20.0, 0.5) == (round(took["cbc_decrypt"].call_ns, 9), round(took["cbc_decrypt"].byte_ns, 9))


def test_loops_know_their_files_extents(tmp_path: Path) -> None:
    """8 MiB of 1-block extents are 8,192; where every other 4 KiB is a hole, these are known too."""
    loops = [line for line in lines() if line.get("what") == "map_blocks" and line["block_size"] == 1024]
    found = {one.layout: (one.extents, one.known) for one in load_times(write(tmp_path, *loops), DATA).loops}
    assert (8192, 8192) == found["frag1"]
    assert (1024, 2047) == found["sparse"]


def test_what_is_no_time_is_named(tmp_path: Path) -> None:
    """The file and line stand in the error; a file without memcpy cannot be fitted to."""
    case = next(line for line in lines() if "case" in line)
    with pytest.raises(ConfigError, match=r"some-ns.jsonl:2: is no time \(KeyError\('device'\)\)"):
        load_times(write(tmp_path, case, {k: v for k, v in case.items() if k != "device"}), DATA)
    with pytest.raises(ConfigError, match=r"have no loop 'memcpy'"):
        byte_loops(load_times(write(tmp_path, case), DATA).loops)


def test_a_recording_is_judged_on_the_machine_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the CPU it names, whatever its file is called; of a CPU without a profile it is refused."""
    ran: list[str] = []
    monkeypatch.setattr(verb, "run_cases", lambda *words: ran.append(words[3]) or [])
    copy = tmp_path / "mine.jsonl"
    copy.write_bytes(NATIVE.read_bytes())
    for times in (None, NATIVE, copy, DATA / "uml-ns.jsonl"):
        verb.judge_runs(DATA, times, as_json=True)
    machines = ["linux-6.1-epyc-7001"] * 3 + ["linux-6.1-epyc"]
    assert [machine for machine in machines for _ in range(2)] == ran
    copy.write_text(NATIVE.read_text().replace("family 23 model 1", "family 99"))
    with pytest.raises(
        ConfigError, match=r"mine\.jsonl: was recorded on 'AMD EPYC, family 99', which no shipped"
    ):
        verb.judge_runs(DATA, copy, as_json=True)


def test_a_profile_says_which_cpu_its_times_are_of() -> None:
    """The table of CPUs names the profiles whose own words name them."""
    for cpu, machine in MACHINES.items():
        assert tomllib.loads((PROFILES / f"{machine}.toml").read_text())["about"].startswith(f"{cpu}, ")


def test_another_cpus_cipher_is_not_taken(tmp_path: Path) -> None:
    """A recording without times of the ciphers is refused: those of the earlier one are another CPU's."""
    path = write(tmp_path)
    path.write_text(json.dumps(next(line for line in lines() if "case" in line)) + "\n")
    with pytest.raises(ConfigError, match=r"has no times of xts_decrypt, cbc_decrypt, cbc_decrypt_128"):
        load_times(path, DATA)

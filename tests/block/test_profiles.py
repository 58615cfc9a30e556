"""Device profiles: those shipped, what is refused, and devices without time."""

from __future__ import annotations

import re
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path

import pytest

import sim
from sim.block.device.constants import HddModel, SsdModel
from sim.block.device.make import make_device
from sim.block.device.profile import device_profile_names, load_device_profile, parse_device_profile
from sim.engine.mode import make_clock
from sim.errors import ConfigError

NVME = (Path(sim.__file__).parent / "profiles" / "devices" / "nvme.toml").read_text()


def test_shipped_profiles() -> None:
    """Memory, disks and flash are there, each with the model it needs."""
    models = {name: type(load_device_profile(name).model) for name in device_profile_names()}
    assert {
        "emmc": SsdModel,
        "hdd": HddModel,
        "hdd-2020": HddModel,
        "null_blk": type(None),
        "nvme": SsdModel,
        "nvme-gen3": SsdModel,
        "nvme-gen4": SsdModel,
        "nvme-gen5": SsdModel,
        "ramdisk": type(None),
        "sata-ssd": SsdModel,
        "sata-ssd-2021": SsdModel,
        "ufs": SsdModel,
    } == models


@pytest.mark.parametrize("name", device_profile_names())
def test_every_constant_has_a_source(name: str) -> None:
    """Each constant of a shipped profile names a document or a configuration, or is called an assumption."""
    words = (
        r"assumption: .{20,}|https?://|Linux 6\.1, \w+|specification|configuration of the recorded|measured: "
    )
    words += r"|ATA IDENTIFY|IDEMA|not used with|a bio-based device"
    profile = load_device_profile(name)
    groups = [group for group in (profile.limits, profile.model, profile.write) if group is not None]
    constants = profile.constants
    needed = [field.name for group in groups for field in fields(group) if field.default is MISSING]
    assert needed == [key.partition(".")[2] for key, _ in constants]  # none of ours says what may be left out
    assert not [key for key, constant in constants if not re.search(words, constant.source)]


def test_limits_in_their_units() -> None:
    """Values come out in the unit of the field: 10.2 us as ns, MB/s as B/s, KiB as bytes."""
    ssd = load_device_profile("sata-ssd")
    assert isinstance(ssd.model, SsdModel)
    expected = (10_200, 550_000_000, 16_384, 131_072)
    model, limits = ssd.model, ssd.limits
    assert expected == (model.command_ns, model.bandwidth, model.page_bytes, limits.read_ahead_bytes)
    with pytest.raises(FrozenInstanceError):
        ssd.limits.queue_depth = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            (r"^max_segments", "max_segmnets"),
            "limits: constant 'max_segmnets' is not known; allowed: max_segments",
        ),
        ((r"^units.*\n", ""), "model: constant 'units' is missing; allowed: a table with units, page_bytes"),
        ((r"(?<=^units = \{ value = 64), unit = \"count\"", ""), "model.units: entry 'unit' is missing"),
        (
            (r"(?<=^units = \{ value = 64, unit = \"count\"), source = .*\}", "}"),
            "model.units: entry 'source' is missing",
        ),
        (
            (r"(?<=^units = \{ value = 64, unit = \"count\", source = ).*\}", "' '}"),
            "model.units: unit 'count', source ' '",
        ),
        (
            (r"^units = .*", "units = 64"),
            "model.units: 64 is not a table; allowed: a table with value, unit, source",
        ),
        ((r"(?<=^units = \{ value = )64", "0"), "model.units: is 0; allowed: more than 0"),
        ((r"(?<=^units = \{ value = )64", "-1"), "model.units: -1 is out of range"),
        ((r"(?<=^units = \{ value = )64", "1.5"), "model.units: 1.5 count is not a whole number"),
        (
            (r"(?<=^units = \{ value = )64", "nan"),
            "model.units.value: nan is no number",
        ),
        ((r"(?<=^units = \{ value = )64", "true"), "model.units: True is out of range"),
        (
            (r"(?<=^units = \{ value = 64, unit = )\"count\"", '"ns"'),
            "model.units: unit 'ns'; allowed: count",
        ),
        (
            (r"(?<=^command_ns = \{ value = 1, unit = )\"us\"", '"s"'),
            "command_ns: unit 's'; allowed: ns, us, ms",
        ),
        (
            (r"(?<=^placement = \{ value = )\"striped\"", '"random"'),
            "placement: 'random' is not known; allowed: striped",
        ),
        ((r"(?<=^bio_based = \{ value = )false", "0"), "bio_based: 0 is not a flag; allowed: true, false"),
        ((r"(?<=^stripe_bytes = \{ value = )16", "24"), "stripe_bytes: 24576 B; allowed: whole pages"),
        ((r"(?<=^page_bytes = \{ value = )16", "0.25"), "page_bytes: 256 B; allowed: whole 512-byte sectors"),
        ((r'^kind = "ssd"', 'kind = "sdd"'), "kind: 'sdd' is not known; allowed: ssd"),
        ((r"^kind = .*\n", ""), "entry 'kind' is missing"),
        ((r"^title = .*", "title = 3"), "title: 3 is not a text"),
        ((r"^\[model\]", "[modle]"), "entry 'modle' is not known; allowed: model"),
        ((r"^title", "= x"), "is not TOML"),
    ],
)
def test_refused_profiles(change: tuple[str, str], message: str) -> None:
    """Each mistake is told with file, key and what is allowed."""
    text, changes = re.subn(change[0], change[1], NVME, flags=re.MULTILINE)
    assert changes == 1
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse_device_profile("my.toml", "my", text)
    assert str(caught.value).startswith("my.toml: ")


def test_a_disk_reads_on_as_far_as_it_must() -> None:
    """A least read-ahead beyond the whole one is told with both."""
    text = (Path(sim.__file__).parent / "profiles" / "devices" / "hdd-2020.toml").read_text()
    text = text.replace("least_read_ahead_bytes = { value = 512,", "least_read_ahead_bytes = { value = 5000,")
    message = r"least_read_ahead_bytes: 5120000 B; allowed: at most drive_read_ahead_bytes, 4194304 B"
    with pytest.raises(ConfigError, match=message):
        parse_device_profile("my.toml", "my", text)


def test_unknown_names_and_files(tmp_path: Path) -> None:
    """An unknown name is answered with the nearest; a file with why it cannot be read."""
    with pytest.raises(ConfigError, match=r"device\.profile: 'nvne' is not known; allowed: nvme"):
        load_device_profile("nvne")
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read \(No such file"):
        load_device_profile(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bad\.toml: is not TOML \(not UTF-8"):
        load_device_profile(str(tmp_path / "bad.toml"))


def test_profile_from_a_file(tmp_path: Path) -> None:
    """A profile in a file of the user's is read as a shipped one, under the name of the file."""
    (tmp_path / "mine.toml").write_text(NVME)
    mine, shipped = load_device_profile(tmp_path / "mine.toml"), load_device_profile("nvme")
    assert ("mine", shipped.limits, shipped.model) == (mine.name, mine.limits, mine.model)


def test_ramdisk_completes_inside_submit() -> None:
    """A bio-based RAM device is done before submit returns, and schedules nothing."""
    clock, log, expected = make_clock(), [], ["a"]
    make_device(clock, load_device_profile("ramdisk")).submit(0, 8, "a", log.append)
    assert expected == log
    assert clock.idle


def test_null_blk_completes_in_an_event_of_the_same_instant() -> None:
    """null_blk is done at the same time, but after its submitter: completions keep the order of issue."""
    clock, log = make_clock(), []
    device = make_device(clock, load_device_profile("null_blk"))
    for token in ("a", "b"):
        device.submit(0, 8, token, lambda token: log.append((clock.now, token)))
    assert not log
    clock.run()
    expected = [(0, "a"), (0, "b")]
    assert expected == log

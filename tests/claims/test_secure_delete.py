"""Secure deletion on real images: its claims hold on small files, and broken deletions fail them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from claims_kit import CLAIMS, EXPERIMENTS

from sim.claims.verdicts import Cells, evaluate
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.jbd2.erase import LogErase
from sim.machine.delete_run import DeleteRun
from sim.machine.run_cell import run_cell
from sim.machine.writer import Ext4Writer
from sim.report.figures import FIGURES
from sim.report.tables import summary
from sim.volume.images import ensure_image

NAME = "secure_delete"
SMALL = ["device.profile=nvme", 'volume.files.size=["4KiB", "64KiB"]']
CONTIGUOUS = 'volume.files.layout=[{ label = "contiguous", kind = "contiguous" }]'
OF_SIZE = {"overwriting-grows-with-the-file", "clobbering-is-faster-than-overwriting"}
"""Claims on files of 16 MiB and more."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images of all runs of this module are."""
    return tmp_path_factory.mktemp("images")


def run(folder: Path, images: Path, *sets: str) -> Run:
    """Run the experiment on small files of one drive, with their bytes."""
    small = load_experiment(EXPERIMENTS / f"{NAME}.toml", [*SMALL, *sets])
    return execute(
        small, folder, run_cell, partial(ensure_image, root=images), draw=lambda *_run, **_each: None
    )


def failed(found: Run) -> set[str]:
    """Return the claims that a small run contradicts."""
    cells = Cells(found)
    return {
        claim.name
        for claim in CLAIMS[NAME]
        if claim.name not in OF_SIZE and evaluate(claim, cells).verdict == "failed"
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Run:
    """The experiment as it is."""
    return run(tmp_path_factory.mktemp("sound") / "run", images)


def test_claims_hold_on_small_files(sound: Run) -> None:
    """Nothing contradicts them, and those that all cells are here for hold."""
    assert set() == failed(sound)
    cells = Cells(sound)
    verdicts = {claim.name: evaluate(claim, cells).verdict for claim in CLAIMS[NAME]}
    held = {name for name, verdict in verdicts.items() if verdict == "held"}
    assert {
        "overwriting-writes-the-whole-file",
        "unlinking-deletes-nothing",
        "nothing-opens-a-clobbered-file",
        "no-wrapped-key-is-left",
        "clobbering-leaves-the-ciphertext",
    } <= held


def test_counts_of_each_method(sound: Run) -> None:
    """
    Exact: unlinking writes the journal's superblock, and a transaction of descriptor, revocation, directory,
    inode, superblock, two bitmaps, their descriptor and record. Clobbering writes the superblock, a
    transaction of xattr block and inode, both in place, the superblock twice more, and the one copy in the
    log; zeroing writes the 1,023 blocks of the log instead of that.
    """
    counts = {
        row["workload.secure_delete"]: (row["bytes_written"] // 4096, row["write_bios"], row["flushes"])
        for row in sound.metrics
        if row["volume.files.size"] == "64KiB" and row["volume.files.layout"] == "16 KiB extents"
    }
    assert {
        "unlink": (10, 10, 1),
        "clobber": (10, 10, 3),
        "clobber, zero log": (9 + 1023, 13, 3),
        "overwrite": (16, 4, 1),
        "overwrite 3 times": (48, 12, 3),
    } == counts


def _forget_the_journal(patch: pytest.MonkeyPatch) -> None:
    """Clobbering leaves the log as it is."""

    def nothing(*_: Any) -> Any:
        yield from ()

    patch.setattr(DeleteRun, "_copies_in_log", lambda _self, _raw: [])
    patch.setattr(LogErase, "zero", nothing)


def _skip_the_tail(patch: pytest.MonkeyPatch) -> None:
    """The last page of the file is not written."""
    whole = Ext4Writer.write

    def shorter(self: Any, task: Any, inode: Any, offset: int, length: int, data: bytes) -> Any:
        end = min(offset + length, inode.size - 4096)
        if end > offset:
            yield from whole(self, task, inode, offset, end - offset, data[: end - offset])

    patch.setattr(Ext4Writer, "write", shorter)


def _do_not_write_in_place(patch: pytest.MonkeyPatch) -> None:
    """What was committed is not brought in place."""

    def nothing(*_: Any) -> Any:
        yield from ()

    patch.setattr(Jbd2Journal, "flush", nothing)


MUTATIONS: list[tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = [
    (
        _forget_the_journal,
        {"no-wrapped-key-is-left", "nothing-opens-a-clobbered-file", "unlinking-deletes-nothing"},
    ),
    (
        _skip_the_tail,
        {
            "overwriting-writes-the-whole-file",
            "clobbering-leaves-the-ciphertext",  # it says that overwriting leaves none
        },
    ),
    (_do_not_write_in_place, {"no-wrapped-key-is-left", "nothing-opens-a-clobbered-file"}),
]


@pytest.mark.parametrize(("mutate", "failing"), MUTATIONS)
def test_a_broken_deletion_fails_the_right_claims(
    tmp_path: Path,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutate: Callable[[pytest.MonkeyPatch], None],
    failing: set[str],
) -> None:
    """Each mutation fails the claims about what it broke."""
    mutate(monkeypatch)
    found = failed(run(tmp_path / "run", images, "volume.files.layout=contiguous"))
    assert failing <= found
    assert "overwriting-writes-the-whole-file" in failing or "overwriting-writes-the-whole-file" not in found


def test_data_off_changes_no_count_and_no_time(tmp_path: Path, images: Path, sound: Run) -> None:
    """Without moving bytes all is the same but what is found on the image, which is not looked at."""
    off = run(tmp_path / "run", images, "data=off")
    searched = {"keys_left", "blocks_left", "bytes_recovered", "config_hash"}
    for row, other in zip(sound.metrics, off.metrics, strict=True):
        assert {k: v for k, v in row.items() if k not in searched} == {
            k: v for k, v in other.items() if k not in searched
        }
    assert {-1} == {row["bytes_recovered"] for row in off.metrics}
    assert sound.calls == off.calls


@pytest.mark.parametrize("users", [2, 40])
def test_keys_are_found_wherever_their_set_lies(tmp_path: Path, images: Path, users: int) -> None:
    """A set for 40 users does not fit the xattr block: after unlink its inode tells, after clobbering not."""
    found = run(
        tmp_path / "run",
        images,
        "volume.files.size=64KiB",
        CONTIGUOUS,
        f"encryption.users={users}",
        'workload.secure_delete=["unlink", "clobber"]',
    )
    recovered = {row["workload.secure_delete"]: row["bytes_recovered"] for row in found.metrics}
    assert {"unlink": 65536, "clobber": 0} == recovered


@pytest.mark.parametrize("block_size", ["1KiB", "2KiB"])
def test_every_block_size_can_be_deleted_on(tmp_path: Path, images: Path, block_size: str) -> None:
    """With blocks smaller than a page an editor's changes begin at block 0, which no file has."""
    found = run(
        tmp_path / "run",
        images,
        f"volume.block_size={block_size}",
        "volume.files.size=64KiB",
        CONTIGUOUS,
    )
    left = {row["workload.secure_delete"]: row["bytes_recovered"] for row in found.metrics}
    assert (65536, 0, 0) == (left["unlink"], left["clobber"], left["overwrite"])


def test_a_plain_file_is_found_after_unlink(tmp_path: Path, images: Path) -> None:
    """Without encryption there is no key to clobber, and what was unlinked is read as it lies."""
    plain = [
        'encryption={ scheme = "none" }',
        "volume.files.layout=contiguous",
        'workload.secure_delete=["unlink", "overwrite"]',
    ]
    found = run(tmp_path / "run", images, *plain)
    assert [4096, 0, 65536, 0] == [row["bytes_recovered"] for row in found.metrics]


def test_table_and_figures(sound: Run) -> None:
    """The table has a row per cell with what is left; the figure three pages; others none of it."""
    table = summary(sound)
    assert len(sound.metrics) == len(table.rows)
    assert ["bytes recovered", "-"] == [
        table.columns[-1].heading,
        table.text({**table.rows[0], "bytes_recovered": None})[-1],
    ]
    pages = {name: len(figure(sound)) for name, figure in FIGURES.items() if figure(sound)}
    assert {"secure_delete": 3} == pages


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (['workload.secure_delete={ method = "shred" }'], "method: 'shred'"),
        (
            ['workload.secure_delete={ method = "unlink", passes = 2 }'],
            "passes with method 'unlink'; allowed: method overwrite",
        ),
        (["volume.journal=1MiB"], "journal 1MiB; allowed: whole blocks, 4MiB to 40000MiB"),
        (["volume.files.layout.kind=sparse"], "the matrix replaces it"),
        (
            ['volume.files.layout=[{ label = "s", kind = "sparse" }]'],
            "with layout 'sparse'; allowed: contiguous",
        ),
        (
            ['encryption={ scheme = "fscrypt-v2" }'],
            "encryption.scheme 'fscrypt-v2'; allowed: none or file-keys",
        ),
        (
            ['encryption={ scheme = "none" }'],
            "method 'clobber' with encryption.scheme 'none'; allowed: file-keys",
        ),
        (["machine.kernel=7.3"], "kernel"),
        (
            ["machine.memory=64MiB", "volume.files.size=16MiB"],
            "a file of 16MiB; allowed: a tenth of machine.memory",
        ),
    ],
)
def test_what_cannot_be_run_is_told(sets: list[str], message: str) -> None:
    """One line with place, value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        load_experiment(EXPERIMENTS / f"{NAME}.toml", sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

"""
What is fuzzed: a verb of readpath per kind of document, on a mutated one. All of it in this process.

Whatever the document says, a verb ends with exit code 0, 1 or 2, within 20 s and 2 GiB. An experiment that
would take longer than a few seconds must be refused by its estimate, which is set low here.
"""

from __future__ import annotations

import functools
import gzip
import io
import random
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import mutate
import mutate_image
import pyarrow as pa
import pyarrow.parquet as pq
from typer.main import get_command

from sim.claims import answers
from sim.cli.main import app
from sim.experiment import estimate, versions
from sim.volume import images

CORPUS = Path(__file__).parent / "corpus"
Mutator = Callable[[random.Random, bytes], bytes]
_TOML = mutate.in_toml(tomllib.loads)
_SMALL = (CORPUS / "experiment" / "small.toml").read_text(encoding="utf-8")
_LAYOUTS = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192" / "layouts"
FAULT, LOW_MEMORY = 3, "not enough memory"


class BrokenVerbError(AssertionError):
    """A verb ended as none may."""


@functools.cache
def _command() -> Any:
    """Return the command line. Built once: that takes 15 ms, longer than most verbs on a small document."""
    return get_command(app)


@functools.cache
def _read_once() -> dict[str, Callable[..., Any]]:
    """Return what reads only files of ours, by place, made to read them once: it took half of the time."""
    return {
        "sim.experiment.versions.code_digest": functools.cache(versions.code_digest),
        "sim.experiment.versions.metadata.version": functools.cache(versions.metadata.version),
        "sim.volume.images.code_digest": functools.cache(images.code_digest),
        "sim.claims.answers.load_claims": functools.cache(answers.load_claims),
    }


@contextmanager
def _constant_files() -> Iterator[None]:
    with ExitStack() as stack:
        for place, function in _read_once().items():
            stack.enter_context(mock.patch(place, function))
        yield


def verb(*words: object) -> int:
    """Run a verb; return its exit code. Raises BrokenVerbError for a fault, and for memory that ran out."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    code: object = None
    streams = redirect_stdout(printed), redirect_stderr(printed), mock.patch("sys.stdin", io.StringIO())
    with streams[0], streams[1], streams[2], _constant_files():
        try:
            _command().main([str(word) for word in words], prog_name="readpath")
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            raise BrokenVerbError(f"{words}: {error!r}") from error
    buffer = printed.buffer
    assert isinstance(buffer, io.BytesIO)
    said = buffer.getvalue().decode("utf-8", "backslashreplace")
    if code not in (0, 1, 2):
        raise BrokenVerbError(f"{words}: exit {code}: {said[-600:]}")
    assert isinstance(code, int)
    if LOW_MEMORY in said:
        raise BrokenVerbError(f"{words}: {said[-300:]}")
    if code == 2 and "Traceback" in said:
        raise BrokenVerbError(said[-600:])
    return code


@contextmanager
def _small_only() -> Iterator[None]:
    """Refuse what is estimated to take more than 3 s or 256 MiB."""
    with mock.patch.multiple(estimate, MOST_S=3, MOST_MEMORY_BYTES=256 << 20):
        yield


def _run(folder: Path, *words: object) -> int:
    with _small_only():
        common = ("-o", folder / "out", "-j1", "--images", folder / "images", "--json", "--no-figures")
        return verb("run", *words, *common)


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _experiment(folder: Path, content: bytes, _rng: random.Random) -> None:
    _run(folder, _write(folder, "e.toml", content))


def _job(folder: Path, content: bytes, rng: random.Random) -> None:
    _write(folder, "more.inc", mutate.lines(rng, content))
    _run(folder, _write(folder, "j.fio", content))


def _command_line(folder: Path, content: bytes, _rng: random.Random) -> None:
    _run(folder, "--fio", content.decode("utf-8", errors="surrogateescape").replace("\0", ""))


_ONE_CELL = ("--set", "path=['page_io']", "--set", "volume.block_size=['4KiB']", "--set", "run.seeds=1")


def _with(folder: Path, key: str, file: Path) -> None:
    _write(folder, "e.toml", _SMALL.encode())
    _run(folder, folder / "e.toml", "--set", f"{key}='{file.name}'", *_ONE_CELL)


def _device(folder: Path, content: bytes, _rng: random.Random) -> None:
    _with(folder, "device.profile", _write(folder, "p.toml", content))


def _machine(folder: Path, content: bytes, _rng: random.Random) -> None:
    _with(folder, "machine.profile", _write(folder, "m.toml", content))


def _layout(kind: str) -> Callable[[Path, bytes, random.Random], None]:
    def target(folder: Path, content: bytes, _rng: random.Random) -> None:
        _write(folder, "layout", content)
        _write(folder, "e.toml", _SMALL.encode())
        table = f"[{{name='data', size='{'70000' if kind == 'filefrag' else '40KiB'}', "
        table += f"layout={{kind='{kind}', path='layout'}}}}]"
        _run(folder, folder / "e.toml", "--set", f"volume.files={table}", *_ONE_CELL)

    return target


def _spec(folder: Path, content: bytes, _rng: random.Random) -> None:
    spec = _write(folder, "s.toml", content)
    verb("image", "make", spec, folder / "i.img")


def _claims(folder: Path, content: bytes, _rng: random.Random) -> None:
    (folder / "claims").mkdir()
    _write(folder, "claims/c.toml", content)
    verb("check", CORPUS / "run" / "small", "--claims", folder / "claims", "--junit", folder / "j.xml")


def _baseline(folder: Path, content: bytes, _rng: random.Random) -> None:
    (folder / "b").mkdir()
    _write(folder, "b/claims.json", content)
    verb(
        "check", CORPUS / "run" / "small", "--claims", CORPUS / "claims", "--baseline", folder / "b", "--json"
    )


def _record(folder: Path, content: bytes, _rng: random.Random) -> None:
    verb("validate", _write(folder, "mine.jsonl", content), "--layouts", _LAYOUTS, "--json")


def _keys(folder: Path, content: bytes, _rng: random.Random) -> None:
    keys = _write(folder, "k.toml", content)
    keys.chmod(0o600)
    image = folder.parent / "plain.img"
    if not image.exists():
        verb("image", "make", image, "--file", "a:4KiB")
    verb("image", "cat", image, "/a", "--keys", keys, "--json")
    verb("image", "pubkey", keys, "alice", "--json")


_PATHS = ("/", "/a", "/frag", "/many", "/d/x", "/slow", "/fast", "/secret", "/pipe", "/neighbours")


def _users(folder: Path) -> Path:
    keys = _write(folder, "k.toml", (CORPUS / "keys" / "users.toml").read_bytes())
    keys.chmod(0o600)
    return keys


def _image(folder: Path, content: bytes, rng: random.Random) -> None:
    """Read a damaged image with every verb; what reads must leave it as it is."""
    data = gzip.decompress(content)
    image, path = _write(folder, "i.img", data), rng.choice(_PATHS)
    verb("image", "check", image, "--json")
    verb("image", "ls", image, "-R")
    for word in ("ls", "extents"):
        verb("image", word, image, path)
    for file in ("/a", path):
        verb("image", "cat", image, file, "--json")
    verb("image", "inspect", image)
    verb("image", "cat", image, "/secret", "--keys", _users(folder), "--as", "alice", "--json")
    if image.read_bytes() != data:
        raise BrokenVerbError("an image was changed by what only reads")


def _image_change(folder: Path, content: bytes, rng: random.Random) -> None:
    """Change a damaged image: done, or refused and then as it was."""
    data = gzip.decompress(content)
    image, users, path = _write(folder, "i.img", data), _users(folder), rng.choice(_PATHS)
    own = ("--keys", users, "--as", "alice")
    words: tuple[object, ...] = rng.choice(
        (
            ("encrypt", image, path, "--keys", users, "--user", "alice", "--seed", 1),
            ("encrypt", image, "/a", "--keys", users, "--user", "alice", "--mode", "gcm", "--scrub"),
            ("share", image, "/secret", "bob", *own, "--seed", 1),
            ("adduser", image, "bob", *own, "--seed", 1),
            ("unshare", image, "/secret", "alice"),
            ("rekey", image, "/secret", *own, "--seed", 1),
            ("shred", image, "/secret"),
            ("rm", image, path),
            ("scrub", image),
        )
    )
    if verb("image", *words) != 0 and image.read_bytes() != data:
        raise BrokenVerbError(f"{words[0]} was refused, and the image is another")


def _run_folder(folder: Path, content: bytes, rng: random.Random) -> None:
    """`content` is the manifest; of the tables one may be bent too."""
    run = folder / "run"
    shutil.copytree(CORPUS / "run" / "small", run)
    _write(run, "manifest.json", content)
    if rng.random() < 0.6:
        _bend_table(run / f"{rng.choice(('metrics', 'calls', 'histograms', 'jobs'))}.parquet", rng)
    verb("show", run, "--where", "path=page_io", "--json")
    verb("show", run, "--diff", "path=buffer_head", "path=page_io", "--stacks")
    verb("check", run, "--claims", CORPUS / "claims", "--junit", folder / "j.xml")
    if rng.random() < 0.3:
        verb("list", "--experiments", CORPUS / "experiment", "--runs", folder)
    if rng.random() < 0.03:
        verb("plot", run, "--format", "svg")


def _bend_table(path: Path, rng: random.Random) -> None:
    """Change a table's bytes, its values, its rows or its columns."""
    match rng.randrange(6):
        case 0:
            path.write_bytes(mutate.raw(rng, path.read_bytes()))
            return
        case 1:
            path.unlink()
            return
    table = pq.read_table(path)
    match rng.randrange(5):
        case 0:
            table = table.slice(0, rng.randrange(table.num_rows + 1))
        case 1:
            table = table.drop_columns([rng.choice(table.column_names)])
        case 2:
            table = pa.concat_tables([table, table])
        case _:
            at = rng.randrange(table.num_columns)
            values = table.column(at).to_pylist()
            values[rng.randrange(len(values))] = rng.choice(mutate.STRANGE)
            for kinds in (table.schema.field(at).type, None, pa.string()):
                try:
                    column = pa.array(list(map(str, values)) if kinds == pa.string() else values, kinds)
                    table = table.set_column(at, table.schema.field(at).name, column)
                    break
                except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
                    continue
    pq.write_table(table, path)


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of document. seeds: those that are mutated, by `mutators`. run: what is done with one."""

    seeds: Sequence[Path]
    mutators: Sequence[Mutator]
    run: Callable[[Path, bytes, random.Random], None]

    def once(self, rng: random.Random) -> bytes:
        """Return a mutated document."""
        return rng.choice(self.mutators)(rng, rng.choice(self.seeds).read_bytes())


def _files(pattern: str) -> list[Path]:
    return sorted(CORPUS.glob(pattern))


_OF_TOML = (_TOML, _TOML, mutate.lines, mutate.raw)
_OF_JSON = (mutate.in_json, mutate.in_json, mutate.raw)


def _trace(folder: Path, content: bytes, _rng: random.Random) -> None:
    verb("trace", _write(folder, "trace.csv" if b"offset,length" in content[:100] else "trace", content))


TARGETS = {
    "experiment": Target(_files("experiment/*"), _OF_TOML, _experiment),
    "job": Target(_files("job/*"), (mutate.lines, mutate.lines, mutate.raw), _job),
    "command": Target(_files("command/*"), (mutate.raw,), _command_line),
    "claims": Target(_files("claims/*"), _OF_TOML, _claims),
    "baseline": Target(_files("baseline/*"), _OF_JSON, _baseline),
    "device": Target(_files("device/*"), _OF_TOML, _device),
    "machine": Target(_files("machine/*"), _OF_TOML, _machine),
    "fiemap": Target(_files("fiemap/*"), _OF_JSON, _layout("fiemap")),
    "filefrag": Target(_files("filefrag/*"), (mutate.lines, mutate.raw), _layout("filefrag")),
    "spec": Target(_files("spec/*"), _OF_TOML, _spec),
    "run": Target(_files("run/*/manifest.json"), _OF_JSON, _run_folder),
    "record": Target(_files("record/*"), _OF_JSON, _record),
    "keys": Target(_files("keys/*"), _OF_TOML, _keys),
    "trace": Target(_files("trace/*"), (mutate.lines, mutate.raw), _trace),
    "image": Target(_files("image/*"), (mutate_image.image,), _image),
    "image-change": Target(_files("image/*"), (mutate_image.image,), _image_change),
}

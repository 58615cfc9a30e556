"""The table of options has every option of fio, as fio has it, with a verdict."""

from __future__ import annotations

import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from fio_log import fio_takes, needs_fio

from sim.workload.fio.parsers import PARSERS
from sim.workload.fio.table import (
    Option,
    command_words,
    engine_options,
    engines,
    find,
    nearest,
    option_names,
    options,
)
from sim.workload.fio.values import OptionValueError, checked

GONE = {"verifysort", "verifysort_nr"}
"""Options that fio still takes, and no longer lists."""
KINDS = {
    "boolean value (opt=1)": {"bool"},
    "empty or boolean value ([0|1])": {"flag"},
    "integer value (opt=100)": {"int", "us"},
    "list of floating point values separated by ':' (opt=5.9:7.8)": {"floats"},
    "one to three ranges (opt=1k-4k[,4k-8k[,1k-8k]])": {"range"},
    "string (opt=bla)": {"text", "any", "word", "int", "pattern"},
    "string with possible k/m/g postfix (opt=4k)": {"words"},
    "string with time postfix (opt=10s)": {"time"},
    "(null)": {"bytes"},
}


def _asked(*words: str) -> str:
    return subprocess.run(["fio", *words], capture_output=True, text=True, check=False).stdout


@cache
def _listed() -> list[str]:
    return [line.split(":")[0].strip() for line in _asked("--cmdhelp=all").splitlines() if ":" in line]


@needs_fio
def test_every_option_of_fio_is_in_the_table():
    """What fio lists is in the table; an option of another fio is named here when it is not."""
    assert set() == set(_listed()) - set(options())
    if _asked("--version").strip() == "fio-3.33":
        assert GONE == set(options()) - set(_listed())


@needs_fio
def test_options_are_as_fio_has_them():
    """Alias, kind, range and words of every option are those that fio tells of it."""
    with ThreadPoolExecutor(4) as pool:
        told = pool.map(lambda name: _asked(f"--cmdhelp={name}"), _listed())
    for name, said in zip(_listed(), told, strict=True):
        option = options()[name]
        alias = re.search(r"^ *alias: (.*)$", said, re.MULTILINE)
        assert option.alias == (alias[1] if alias else ""), name
        kind = re.search(r"^ *type: (.*)$", said, re.MULTILINE)
        assert kind, name
        assert option.takes in KINDS[kind[1]], name
        if option.takes == "word":
            words = re.findall(
                r"(?:valid values|^ *): (\S+)", said[said.index("valid values") :], re.MULTILINE
            )
            assert set(words) <= set(option.words), name
        span = re.search(r"^ *range: min=(-?[0-9]+)(?:, max=(-?[0-9]+))?$", said, re.MULTILINE)
        if span is not None and option.takes in ("int", "us", "range", "bytes"):
            most = int(span[2]) if span[2] and span[2] != "-1" else None
            least = 1 if name == "replay_align" else int(span[1])  # fio refuses 0 all the same
            assert (least, most) == (option.least, option.most), name


@needs_fio
def test_times_are_fios(tmp_path):
    """An option that takes a time in us takes "2ms" as 2000, as fio does; any other number as 2 MiB."""
    taken = "2ms"
    numbers = [
        o for o in options().values() if o.takes in ("us", "int") and (o.most is None or o.most > 1 << 21)
    ]
    file = tmp_path / "x.fio"
    file.write_text("".join(f"[{option.name}]\n{option.name}={taken}\n" for option in numbers))
    said = _asked("--debug=parse", "--parse-only", str(file))
    read = dict(re.findall(r"__handle_option=(\S+), type=\S+, ptr=2ms\n.*?out=([0-9]+)", said))
    assert {option.name: str(2000 if option.takes == "us" else 2 << 20) for option in numbers} == read


@needs_fio
def test_options_without_a_value_are_fios(tmp_path):
    """What may be said alone here fio takes alone; of the others it asks for a value."""
    bare = [option.name for option in options().values() if option.bare and option.name not in GONE]
    assert fio_takes(tmp_path, "[a]\n" + "\n".join(bare) + "\n")
    others = [option.name for option in options().values() if not option.bare]
    for name in random.Random(1).sample(others, 20):
        assert not fio_takes(tmp_path, f"[a]\n{name}\n"), name


@needs_fio
@pytest.mark.parametrize("engine", ["libaio", "pvsync2"])
def test_options_of_engines_are_fios(engine):
    """The options of an engine that can be used are those that fio lists for it."""
    listed = [line.split(":")[0].strip() for line in _asked(f"--enghelp={engine}").splitlines()]
    assert set(listed) == set(engine_options(engine))


@needs_fio
def test_engines_without_options_have_none():
    """The other engines that can be used have no options."""
    for engine, (here, _) in engines().items():
        if here != "refused" and not engine_options(engine):
            assert "has no options" in _asked(f"--enghelp={engine}"), engine


@needs_fio
def test_words_of_the_command_line_are_fios():
    """Every word that fio's --help lists is in the table, with a value where fio has one."""
    helped = dict(re.findall(r"^ *--([a-z-]+)(=?)", _asked("--help"), re.MULTILINE))
    assert set() == set(helped) - set(command_words())
    for name, equals in helped.items():
        if equals:
            assert command_words()[name].value in ("must", "may"), name


def _every() -> list[Option]:
    return [*options().values(), *(of for name in engines() for of in engine_options(name).values())]


def test_every_verdict_has_a_reason():
    """Whatever the verdict, the table says why; what is modelled, and only that, has a parser."""
    for option in _every():
        assert option.why, option.name
    assert set(PARSERS) == {name for name, option in options().items() if option.here == "modelled"}
    for here, why in engines().values():
        assert here in ("modelled", "nothing", "refused")
        assert why
    for word in command_words().values():
        assert word.why


def test_values_in_the_table_are_values_of_their_options():
    """Words that are refused, and values that change nothing, are values that the option takes."""
    for option in _every():
        for value in option.unless:
            assert value == checked(option, value), option.name
        for value in option.refused:
            assert value in (option.words or ("0", "1")), option.name
        if option.takes == "word":
            with pytest.raises(OptionValueError):
                checked(option, "nosuch")


def test_names_are_found_by_alias_and_engine():
    """An option is found by its name and its alias, one of an engine only with that engine."""
    assert find("readwrite", "psync") is options()["rw"]
    assert find("blocksize", "psync") is options()["bs"]
    assert find("nosuch", "psync") is None
    assert find("userspace_reap", "psync") is None
    assert find("userspace_reap", "libaio") is engine_options("libaio")["userspace_reap"]
    assert set(options()) < set(option_names())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("runti", "runtime"),
        ("num_jobs", "numjobs"),
        ("blocksiz", "blocksize"),
        ("ioengin", "ioengine"),
        ("group_report", "group_reporting"),
        ("qqq", ""),
    ],
)
def test_the_nearest_option_is_named(written, meant):
    """A misspelt option is told with the one it is most like; something is named always."""
    assert nearest(written, option_names()).split(", ")[0].startswith(meant)
    assert nearest(written, option_names())

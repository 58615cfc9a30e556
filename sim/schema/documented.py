"""
What docstrings say of keys, and schemas made of it.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
"""Of what Taplo reads."""


def said_of(text: str, keys: Collection[str]) -> dict[str, str]:
    """
    Return what a docstring says of keys: what is behind "key: " or "key, other: ", up to the next of them.
    """
    flat = re.sub(r"\s+", " ", inspect.cleandoc(text))
    marks = _marks(flat, keys)
    word = _any_of(keys)
    found: dict[str, str] = {}
    ends = [mark.start() for mark in marks[1:]] + [len(flat)]
    for mark, end in zip(marks, ends if marks else [], strict=True):
        said = flat[mark.end() : end].strip()
        for key in re.findall(rf"\b(?:{word})\b", mark[1]):
            found.setdefault(key, said)
    return found


def _marks(flat: str, keys: Collection[str]) -> list[re.Match[str]]:
    """Return where a text begins to speak of keys."""
    word = _any_of(keys)
    return list(re.finditer(rf"(?<![\w.\"`])((?:{word})(?:,? (?:and )?(?:{word}))*): ", flat)) if keys else []


def _any_of(keys: Collection[str]) -> str:
    return "|".join(sorted(map(re.escape, keys), key=len, reverse=True))


def first_paragraph(text: str, keys: Collection[str] = ()) -> str:
    """Return what a docstring begins with, in one line, up to what it says of keys."""
    flat = re.sub(r"\s+", " ", inspect.cleandoc(text).split("\n\n")[0]).strip()
    marks = _marks(flat, keys)
    return flat[: marks[0].start()].strip() if marks and marks[0].start() else flat


def columns_of(text: str, keys: Collection[str]) -> dict[str, str]:
    """Return what a table in a docstring says of keys: "key   what it is", several in a line, lines go on."""
    word = _any_of(keys)
    entry = re.compile(
        rf"(?:^ {{4}}|(?<=\S) {{2,}})({word}) {{2,}}(.*?)(?=(?<=\S) {{2,}}(?:{word}) {{2,}}|$)"
    )
    found: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        entries = list(entry.finditer(line))
        for one in entries:
            last = one[1]
            found[last] = one[2].strip()
        if not entries:
            if last and re.match(r" {10,}\S", line):
                found[last] += f" {line.strip()}"
            else:
                last = ""
    return found


def in_words(schema: Any, references: Mapping[str, Schema]) -> Any:
    """
    Return a schema in the words of a file: no null, which TOML has not.

    references: what stands in the place of a definition, by how it is referred to.
    """
    if isinstance(schema, list):
        return [in_words(one, references) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$ref") in references:
        return copy.deepcopy(references[schema["$ref"]])
    plain = {
        key: in_words(value, references)
        for key, value in schema.items()
        if key not in ("ge", "discriminator")
    }
    if plain.get("default", 0) is None:
        del plain["default"]
    if "oneOf" in plain:  # where the kind of one is in the matrix, all may fit
        plain["anyOf"] = plain.pop("oneOf")
    if isinstance(plain.get("anyOf"), list):
        several = [one for one in plain.pop("anyOf") if one != {"type": "null"}]
        plain = {**several[0], **plain} if len(several) == 1 else {"anyOf": several, **plain}
    if isinstance(plain.get("title"), str) and "properties" not in plain:
        del plain["title"]  # the key again, in other letters
    return plain

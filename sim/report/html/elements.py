"""
Elements of HTML: text is escaped unless it is HTML already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from sim.report.table import Column, Table

_VOID = ("meta", "link", "input", "br")


class Html(str):
    """Text that is HTML: it is put in as it is."""

    __slots__ = ()


Content = str | Iterable[str]


def tag(name: str, /, *content: Content, **attributes: str | bool | int | None) -> Html:
    """
    Return an element. content: texts, and lists of texts.

    attributes: `class_` for class, `aria_label` for aria-label; True: without a value; None, False: left out.
    """
    said = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escape(_printable(str(value)))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Html:
    """Return contents one behind the other."""
    parts: list[str] = []
    for part in content:
        parts += [_text(part)] if isinstance(part, str) else map(_text, part)
    return Html("".join(parts))


def _text(part: str) -> str:
    return part if isinstance(part, Html) else escape(_printable(part), quote=False)


def _printable(text: str) -> str:
    """Return a text without what HTML cannot hold: control characters, and halves of surrogate pairs."""
    return re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text
    )


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def section(level: int, anchor: str, heading: str, *content: Content) -> Html:
    """Return a section with its heading (h2, h3), which names it."""
    head = tag(f"h{level}", heading, id=anchor)
    return tag("section", head, *content, aria_labelledby=anchor)


def scrolled(label: str, *content: Content, class_: str = "scroll") -> Html:
    """Return contents that may be wider than the page: they can be scrolled with the keyboard too."""
    return tag("div", *content, class_=class_, role="region", aria_label=label, tabindex="0")


def table(said: Table, caption: str, picks: Iterable[str] = ()) -> Html:
    """
    Return a table that the page can sort and filter.

    picks: keys of columns that are filtered by choosing one of their values.
    """
    chosen = set(picks)
    head = [
        tag("th", column.heading, scope="col", class_=_kind(column), data_pick=column.key in chosen)
        for column in said.columns
    ]
    labels = set(said.labelling())
    rows = []
    for row in said.rows:
        cells = [
            _cell(column, row[column.key], text, column in labels)
            for column, text in zip(said.columns, said.text(row), strict=True)
        ]
        rows.append(tag("tr", cells))
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", rows))
    return scrolled(caption, whole, class_="scroll data")


def _cell(column: Column, value: Any, text: str, is_label: bool) -> Html:
    known = isinstance(value, int | float) and column.form
    data = repr(value) if known else None
    if is_label:
        return tag("th", text, scope="row", class_=_kind(column), data_v=data)
    return tag("td", text, class_=_kind(column), data_v=data)


def _kind(column: Column) -> str | None:
    return "number" if column.form else None


def pairs(rows: Iterable[tuple[str, Content]]) -> Html:
    """Return names with what is said of each."""
    return tag("dl", [joined(tag("dt", name), tag("dd", said)) for name, said in rows])


def commands(*lines: str) -> Html:
    """Return command lines, to be copied."""
    return scrolled("commands", tag("pre", tag("code", "\n".join(lines))))

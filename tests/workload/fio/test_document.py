"""docs/fio-jobs.md lists every option as the table has it. As a script: write it."""

from __future__ import annotations

from pathlib import Path

from sim.workload.fio.table import Option, engine_options, engines, options

DOCUMENT = Path(__file__).parents[3] / "docs" / "fio-jobs.md"
HEADING = "## Every option\n"


def _but(option: Option) -> str:
    """What of an option is not as its verdict says."""
    reasons: dict[str, list[str]] = {}
    for word, why in option.refused.items():
        reasons.setdefault(why, []).append(f"`{word}`")
    said = [f"{', '.join(words)} refused: {why}" for why, words in reasons.items()]
    harmless = [f"`{value}`" for value in option.unless]
    if harmless:
        said.append(f"{', '.join(harmless)} changes nothing")
    if option.unless_has:
        said.append(f"with `{option.unless_has}` in it, it changes nothing: {option.harmless}")
    return "; ".join(said)


def _name(option: Option) -> str:
    return f"`{option.name}`" + (f", `{option.alias}`" if option.alias else "")


def written() -> str:
    """Return the tables of the document."""
    text = "\nModelled: it does here what it does in fio.\n\n| option | what it says | but |\n|---|---|---|\n"
    by_reason: dict[tuple[str, str], list[Option]] = {}
    for option in options().values():
        if option.here == "modelled":
            text += f"| {_name(option)} | {option.why} | {_but(option)} |\n"
        else:
            by_reason.setdefault((option.here, option.why), []).append(option)
    for here, title in (
        ("nothing", "Changes nothing here, and is named in the note."),
        ("refused", "Refused."),
    ):
        text += f"\n{title}\n\n| why | options |\n|---|---|\n"
        for (verdict, why), found in by_reason.items():
            if verdict == here:
                names = [_name(option) + (f" ({_but(option)})" if _but(option) else "") for option in found]
                text += f"| {why} | {', '.join(names)} |\n"
    text += "\nEngines; any other is refused.\n\n| ioengine | here | why |\n|---|---|---|\n"
    for engine, (verdict, why) in engines().items():
        text += f"| `{engine}` | {verdict} | {why} |\n"
    text += "\nOptions of these engines alone.\n\n| ioengine | option | here | why |\n|---|---|---|---|\n"
    for engine in engines():
        for option in engine_options(engine).values():
            text += f"| `{engine}` | {_name(option)} | {option.here} | {option.why} |\n"
    return text


def test_the_document_has_every_option():
    """No option is missing, and verdicts and reasons are the table's."""
    assert DOCUMENT.read_text().partition(HEADING)[2] == written()


if __name__ == "__main__":
    head, heading, _ = DOCUMENT.read_text().partition(HEADING)
    DOCUMENT.write_text(head + heading + written())

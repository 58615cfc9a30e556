"""
Groups of verbs, and mistakes in how a verb is called: one line with place, value and what is allowed.

typer's own errors have four lines, and do not say which value was wrong, nor what verbs and options there
are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperGroup

from sim.errors import ConfigError


class Verbs(TyperGroup):
    """A group of verbs. Raises ConfigError for a call that none of them takes."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **options: Any) -> Any:
        """Read the words up to the verb."""
        words = list(args)
        try:
            return super().make_context(info_name, args, *more, **options)
        except Exception as error:
            raise _told(error, self, "", words) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb that the first word names."""
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-") and not ctx.resilient_parsing:
            verbs = self.list_commands(ctx)
            raise _mistake(f"{_path(ctx)} {word!r}", f"is no verb{_hint(word, verbs)}", ", ".join(verbs))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, with the words behind it."""
        verb, *words = [*ctx._protected_args, *ctx.args] or [""]
        command = self.get_command(ctx, verb)
        try:
            return super().invoke(ctx)
        except Exception as error:
            raise _told(error, command, f"{_path(ctx)} {verb}".strip(), words) from None


def _told(error: Exception, command: Any, place: str, words: Sequence[str]) -> Exception:
    """Return what is raised in place of an error: typer's about a call as ours, any other as it is."""
    if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
        return error
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        command, place = ctx.command, _path(ctx)
    option, param = getattr(error, "option_name", None), getattr(error, "param", None)
    if hasattr(error, "possibilities"):
        known = [name for one in command.get_params(ctx) for name in one.opts if name.startswith("-")]
        return _mistake(f"{place} {option}", f"is no option{_hint(str(option), known)}", ", ".join(known))
    if option is not None:
        problem = error.format_message().replace(f"Option {option!r}", "").strip(" .")
        return _mistake(f"{place} {option}", problem, _as_called(command, str(option)))
    if hasattr(error, "param_type") and param is not None:
        return _mistake(place, f"{_word(param)} is missing", _usage(command, ctx))
    if param is not None:
        allowed = re.sub(r"^Input should be |, unable to .*", "", str(getattr(error, "message", error)))
        given = command.make_parser(ctx).parse_args(args=list(words))[0].get(param.name)
        return _mistake(f"{place} {_word(param)}", _shown(given), allowed)
    said = str(getattr(error, "message", error)).strip(" .")
    extra = re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", said)
    return _mistake(place, f"{extra[1]}: more words than it takes" if extra else said, _usage(command, ctx))


def _mistake(place: str, problem: str, allowed: str) -> ConfigError:
    return ConfigError(place.strip() or "readpath", problem, allowed)


def _hint(word: str, known: Iterable[str]) -> str:
    return "".join(f", did you mean {near!r}?" for near in difflib.get_close_matches(word, list(known), 1))


def _path(ctx: Any) -> str:
    """Return the verbs that lead to a context, without `readpath` itself."""
    words = []
    while ctx.parent is not None:
        words.append(str(ctx.info_name))
        ctx = ctx.parent
    return " ".join(reversed(words))


def _word(param: Any) -> str:
    """Return how a parameter is written: an option's long form, an argument's name."""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper())


def _as_called(command: Any, option: str) -> str:
    for param in command.params:
        if option in param.opts:
            return f"{option} {param.metavar or ''}".strip() if not param.is_flag else option
    return ""


def _usage(command: Any, ctx: Any) -> str:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    needed = [_as_called(command, _word(one)) for one in command.params if one.required]
    options = " ".join(option for option in needed if option)
    return " ".join(f"readpath {_path(ctx)} {options} {re.sub('[{}]', '', pieces)}".split())


def _shown(given: Any) -> str:
    return ", ".join(map(repr, given)) if isinstance(given, list | tuple) else repr(given)

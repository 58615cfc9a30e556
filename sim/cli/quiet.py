"""
--quiet on every verb: nothing on standard output. With --json, the document is still printed.

A verb that does more when quiet (no progress) has a parameter of that name itself.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def with_quiet(app: typer.Typer) -> None:
    """Give --quiet to all verbs of `app` that do not have it."""
    for verb in app.registered_commands:
        if verb.callback is not None:
            verb.callback = _quietable(verb.callback)


def _quietable(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function, eval_str=True)
    if "quiet" in signature.parameters:
        return function

    @functools.wraps(function)
    def run(*, quiet: bool, **words: Any) -> Any:
        if not quiet or words.get("as_json"):
            return function(**words)
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
            return function(**words)

    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    parameters = [*signature.parameters.values(), option]
    del run.__wrapped__  # whose signature lacks the option
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in run.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return run

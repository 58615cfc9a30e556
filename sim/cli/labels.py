"""
Words that choose cells: "axis=label,axis=label".
"""

from __future__ import annotations

from sim.errors import ConfigError


def labels_of(option: str, words: list[str]) -> dict[str, str]:
    """Return axis -> label of "axis=label,axis=label" words."""
    chosen = {}
    for word in (part for joined in words for part in joined.split(",")):
        axis, equals, label = word.partition("=")
        if not equals:
            raise ConfigError(f"{option} {word}", "is not understood", f"{option} AXIS=LABEL")
        chosen[axis] = label
    return chosen

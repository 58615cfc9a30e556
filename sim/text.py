"""
Text for a terminal: names and ids come from images and files of others, and may hold anything.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """
    Return a text with every character that is not printable as an escape: controls, bytes that are no UTF-8.

    A terminal's commands, new lines and marks that turn the direction of writing are shown and not obeyed.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def reason(error: Exception) -> str:
    """Return why a file could not be read: the system's words, without number and name, or the error's."""
    return getattr(error, "strerror", None) or str(error)

"""
The site has the documents of this folder: a link to another file of the project is its name there.
"""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"!?\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_page_markdown(markdown: str, **_rest: Any) -> str:
    """Return a page's text without links to what is not on the site (an event of mkdocs)."""
    return _OUTSIDE.sub(lambda link: f"{link[1]} (`{link[2]}`)", markdown)

"""
readpath: a discrete-event simulator of the Linux file read path.

The packages stand in layers and import downwards only; `pyproject.toml` holds the contracts and
CONTRIBUTING.md says why the walls stand where they do.
"""

__version__ = "0.1.0"

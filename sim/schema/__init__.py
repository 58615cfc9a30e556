"""
JSON Schemas of the documents that people write: experiments, claims, profiles of machines and devices.

For editors, which complete and explain with them. They say what a key is called and what form its value has;
what hangs on other keys is checked when a document is read.
"""

"""
The readpath command: one verb per file over a plain function.
"""

"""
Tables and figures from a run directory.
"""

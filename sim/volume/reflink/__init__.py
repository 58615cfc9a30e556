"""
Reflink, tags and encryption together: what a clone can share, run.
"""

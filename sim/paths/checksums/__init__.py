"""
Checksums of file data on the read path: which blocks of them are read when, who verifies what.
"""

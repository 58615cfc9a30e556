"""
Keys of files: how they are wrapped, for whom, in which packets, and from which key files.
"""

"""
What a file system brings to a read: inodes, mapping, status cache, buffer cache, journal.
"""

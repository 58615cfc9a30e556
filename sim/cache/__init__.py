"""
The page cache, readahead, and the buffered read loop (mm/filemap.c). Knows no bio.
"""

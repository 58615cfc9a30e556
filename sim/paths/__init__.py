"""
Block mapping and one file per read path: buffer heads, mpage, ext4 readpages, iomap.
"""

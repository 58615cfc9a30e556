"""
Checksums and authentication of file data: algorithms, layouts of tags on an image, attacks on them.
"""

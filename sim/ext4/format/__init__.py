"""
The format on disk: codecs that read and write, and no more.
"""

"""
What is wrong with an image: every structure of ext2, ext3 and ext4 that says something about another is held
against it. Tolerant where the reader refuses: a damaged place is told and the rest is looked at.
"""

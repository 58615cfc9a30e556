"""
Attacks on images with tags, run: what each does to the bytes, and who notices.
"""

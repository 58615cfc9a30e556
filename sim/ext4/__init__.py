"""
What lies on the disk: codecs, image writer and image reader. Pure: no clock, no cipher.
"""

"""
Changing an image that is there: overlay, allocation, scrubbing.
"""

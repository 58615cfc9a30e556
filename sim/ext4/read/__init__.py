"""
Reading an image, and checking it.
"""

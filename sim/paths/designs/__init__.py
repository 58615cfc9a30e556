"""
One read path a file: its names in the kernel, how it is built, its colour. See sim/paths/registry.py.
"""

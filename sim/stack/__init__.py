"""
What is stacked: a block device over a block device, a file system over a file system.
"""

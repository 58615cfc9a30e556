"""
What targets of device mapper ask of the disk below, by their rules alone: no clock (drivers/md, Linux 6.1).
"""

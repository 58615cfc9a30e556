"""
Models of devices: memory, solid-state drives, disks, and their profiles. They move time, not bytes.
"""

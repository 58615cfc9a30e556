"""
What drivers of block devices call, and where it is charged: a file a family, by the kernel module's name.
"""

"""
The multiblock allocator of ext4 (fs/ext4/mballoc.c, Linux 6.1.192), on the real block bitmaps of an image.

Pure: no clock, no device. Which bitmap blocks have to be read first, an answer says; who waits for them is
the caller's matter. Units are file-system blocks; a group's blocks are counted from the group's first.

    buddy      one group: its bitmap, and which powers of two of it are free
    groups     all groups: loaded or not, read ahead, the lists by largest free order and mean fragment
    normalize  how much is looked for in place of what was asked
    prealloc   what was taken and not asked for yet, for an inode or for a locality group
    search     the goal, then criteria 0 to 3
    allocator  ext4_mb_new_blocks, ext4_free_blocks, the discards
    goal       where a file's next block should lie (ext4_ext_find_goal, ext4_inode_to_goal_block)
    image      the geometry and bitmaps of an image

Left out: bigalloc (a cluster is a block), s_stripe and ext4_mb_scan_aligned, quota, discard and fstrim, fast
commit's replay, files without extents above block 2^32, corrupt groups (an error here), other tasks between
two steps (no lost chunk, no busy preallocation), reclaim of the buddy cache, the error of per-CPU counters.
"""

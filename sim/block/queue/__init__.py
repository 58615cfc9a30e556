"""
From submit_bio() to the driver and back: plug, merging, schedulers, dispatch, flushes (block/blk-*.c).
"""

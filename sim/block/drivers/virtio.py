"""
Virtio over PCI: the ring that all its drivers share, and virtio_blk.
"""

from __future__ import annotations

from typing import Final

from sim.block.drivers.calls import END, HANDLE, Calls, Driver, interrupt, tree_words

KICK: Final = """
virtqueue_kick_prepare
virtqueue_notify
    vp_notify
        writel
"""
ADD: Final = """
virtqueue_add_sgs
virtqueue_add_sgs:run
"""
TABLE: Final = """
sg_alloc_table_chained
    sg_init_table:segment
__blk_rq_map_sg
__blk_rq_map_sg:segment
    __blk_bios_map_sg
"""
SEGMENT: Final = """
(sg_alloc_table_chained)
    sg_init_table:segment
__blk_rq_map_sg:segment
"""
POOL_ENTRY: Final = """
(sg_alloc_table_chained)
    sg_pool_alloc:entry
"""
POOL: Final = """
(sg_alloc_table_chained)
    sg_pool_alloc
"""

_VIRTIO_END = f"{HANDLE};vring_interrupt;virtblk_done;virtblk_request_done"
VIRTIO_BLK: Final = Driver(
    "virtio_queue_rq",
    "virtio_queue_rqs",
    Calls(
        once=f"virtio_queue_rqs {tree_words(KICK, 'virtio_queue_rqs')}",
        request=" ".join(
            (
                "virtio_queue_rqs:request virtio_queue_rqs;blk_mq_start_request",
                tree_words(TABLE, "virtio_queue_rqs"),
                "virtio_queue_rqs;virtblk_add_req",
                tree_words(ADD, "virtio_queue_rqs;virtblk_add_req"),
            )
        ),
        bio="virtio_queue_rqs;__blk_rq_map_sg;__blk_bios_map_sg",
        segment=tree_words(SEGMENT, "virtio_queue_rqs"),
        run="virtio_queue_rqs;virtblk_add_req;virtqueue_add_sgs:run",
        table=tree_words(POOL, "virtio_queue_rqs"),
        entry=tree_words(POOL_ENTRY, "virtio_queue_rqs"),
    ),
    Calls(
        once=interrupt("vring_interrupt\n    virtblk_done"),
        request=" ".join(
            (
                tree_words(
                    """
(vring_interrupt)
    virtblk_done:request
        blk_mq_complete_request
        virtblk_request_done
            sg_free_table_chained
            blk_mq_end_request
""",
                    HANDLE,
                ),
                tree_words(END, f"{_VIRTIO_END};blk_mq_end_request"),
            )
        ),
        bio=f"{_VIRTIO_END};blk_mq_end_request;blk_update_request:bio",
        table=tree_words("sg_pool_free", f"{_VIRTIO_END};sg_free_table_chained"),
    ),
    end=f"{_VIRTIO_END};blk_mq_end_request",
    hard_irq=True,
    queue_per_cpu=True,
    max_segment_sectors=0,
)

"""
NVMe over PCI: requests of one segment without a table, of more with a scatter list and a PRP list.

Left out: SGLs, which a controller that has them is given from 32 KiB a segment on; the larger of the two
pools of PRP lists.
"""

from __future__ import annotations

from typing import Final

from sim.block.drivers.calls import HANDLE, Calls, Driver, interrupt, tree_words

_NVME_BATCH = f"{HANDLE};nvme_irq;nvme_pci_complete_batch"
NVME: Final = Driver(
    "nvme_queue_rq",
    "nvme_queue_rqs",
    Calls(
        once=tree_words("""
nvme_queue_rqs
    writel
"""),
        request=tree_words("""
nvme_queue_rqs:request
    nvme_setup_cmd
    blk_mq_start_request
"""),
        one=tree_words("""
(nvme_queue_rqs)
    dma_map_page_attrs
"""),
        several=tree_words("""
(nvme_queue_rqs)
    nvme_map_data
    nvme_map_data:segment
        nvme_pci_setup_prps:run
        __blk_rq_map_sg
        __blk_rq_map_sg:segment
            __blk_bios_map_sg
"""),
        bio="nvme_queue_rqs;nvme_map_data;__blk_rq_map_sg;__blk_bios_map_sg",
        segment=tree_words("""
(nvme_queue_rqs)
    nvme_map_data:segment
        __blk_rq_map_sg:segment
"""),
        run=tree_words("""
(nvme_queue_rqs)
    (nvme_map_data)
        nvme_pci_setup_prps:run
"""),
        list=tree_words("""
(nvme_queue_rqs)
    (nvme_map_data)
        dma_pool_alloc
"""),
    ),
    Calls(
        once=interrupt("""
nvme_irq
    nvme_poll_cq
        writel
    nvme_pci_complete_batch
        blk_mq_end_request_batch
"""),
        request=tree_words(
            """
(nvme_irq)
    nvme_poll_cq:request
        blk_mq_complete_request_remote
    nvme_pci_complete_batch:request
        nvme_complete_batch_req
        nvme_unmap_data
        (blk_mq_end_request_batch)
            blk_complete_request
            blk_complete_request:bio
""",
            HANDLE,
        ),
        one=tree_words("dma_unmap_page_attrs", f"{_NVME_BATCH};nvme_unmap_data"),
        several=tree_words(
            """
dma_unmap_sg_attrs
dma_unmap_sg_attrs:run
nvme_free_prps
""",
            f"{_NVME_BATCH};nvme_unmap_data",
        ),
        bio=tree_words("blk_complete_request:bio", f"{_NVME_BATCH};blk_mq_end_request_batch"),
        run=tree_words("dma_unmap_sg_attrs:run", f"{_NVME_BATCH};nvme_unmap_data"),
        list=tree_words("dma_pool_free", f"{_NVME_BATCH};nvme_unmap_data;nvme_free_prps"),
    ),
    end=f"{_NVME_BATCH};blk_mq_end_request_batch",
    hard_irq=True,
    queue_per_cpu=True,
    virt_boundary=True,
    max_segment_sectors=0,
)

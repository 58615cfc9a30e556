"""
SCSI disks (sd), and two hosts below: virtio_scsi, and libata with AHCI.
"""

from __future__ import annotations

from typing import Final

from sim.block.drivers.calls import END, HANDLE, Calls, Driver, interrupt, tree_words
from sim.block.drivers.virtio import ADD, KICK, POOL, POOL_ENTRY, SEGMENT, TABLE

_TABLES = "scsi_queue_rq;sd_init_command;scsi_alloc_sgtables"
_SCSI_REQUEST = " ".join(
    (
        tree_words("""
scsi_mq_get_budget
scsi_queue_rq
    blk_mq_start_request
    sd_init_command
        scsi_alloc_sgtables
"""),
        tree_words(TABLE, _TABLES),
    )
)
_SCSI_FINISH = "scsi_complete;scsi_finish_command"
_SCSI_END = f"{_SCSI_FINISH};scsi_io_completion;scsi_end_request"
_SCSI_DONE = " ".join(
    (
        tree_words("""
scsi_done
    blk_mq_complete_request
scsi_complete
    scsi_finish_command
        sd_done
        scsi_io_completion
            scsi_end_request
                sg_free_table_chained
"""),
        tree_words(END, _SCSI_END),
    )
)
_SCSI_BIO = f"{_SCSI_END};blk_update_request:bio"
_SCSI_FREE = tree_words("sg_pool_free", f"{_SCSI_END};sg_free_table_chained")
_SCSI_POOL = tree_words(POOL, _TABLES)
_SCSI_SEGMENT = tree_words(SEGMENT, _TABLES)
_SCSI_MAP_BIO = f"{_TABLES};__blk_rq_map_sg;__blk_bios_map_sg"
_SCSI_ENTRY = tree_words(POOL_ENTRY, _TABLES)

VIRTIO_SCSI: Final = Driver(
    "scsi_queue_rq",
    issue=Calls(
        once=tree_words(KICK, "scsi_queue_rq;virtscsi_queuecommand"),
        request=" ".join(
            (
                _SCSI_REQUEST,
                "scsi_queue_rq;scsi_cmd_priv scsi_queue_rq;virtscsi_queuecommand",
                tree_words(ADD, "scsi_queue_rq;virtscsi_queuecommand"),
            )
        ),
        bio=_SCSI_MAP_BIO,
        segment=_SCSI_SEGMENT,
        run="scsi_queue_rq;virtscsi_queuecommand;virtqueue_add_sgs:run",
        table=_SCSI_POOL,
        entry=_SCSI_ENTRY,
    ),
    complete=Calls(
        once=interrupt("vring_interrupt\n    virtscsi_req_done"),
        request=" ".join(
            (
                tree_words(
                    """
(vring_interrupt)
    virtscsi_req_done:request
        virtscsi_complete_cmd
""",
                    HANDLE,
                ),
                _SCSI_DONE,
            )
        ),
        bio=_SCSI_BIO,
        table=_SCSI_FREE,
    ),
    end=_SCSI_END,
)

_ATA = "scsi_queue_rq;ata_scsi_queuecmd;ata_qc_issue"
_AHCI = f"{HANDLE};ahci_single_level_irq_intr;ahci_handle_port_interrupt"
AHCI: Final = Driver(
    "scsi_queue_rq",
    issue=Calls(
        request=" ".join(
            (
                _SCSI_REQUEST,
                tree_words(
                    """
ata_scsi_queuecmd
    ata_qc_issue
        dma_map_sg_attrs
        dma_map_sg_attrs:run
        ahci_qc_prep
        ahci_qc_prep:run
        ahci_qc_issue
            writel
""",
                    "scsi_queue_rq",
                ),
            )
        ),
        bio=_SCSI_MAP_BIO,
        segment=_SCSI_SEGMENT,
        run=f"{_ATA};dma_map_sg_attrs:run {_ATA};ahci_qc_prep:run",
        table=_SCSI_POOL,
        entry=_SCSI_ENTRY,
    ),
    complete=Calls(
        once=interrupt("""
ahci_single_level_irq_intr
    ahci_handle_port_interrupt
        ata_qc_complete_multiple
"""),
        request=" ".join(
            (
                tree_words(
                    """
ata_qc_complete_multiple:request
(ata_qc_complete_multiple)
    ata_qc_complete
        dma_unmap_sg_attrs
        dma_unmap_sg_attrs:run
""",
                    _AHCI,
                ),
                _SCSI_DONE,
            )
        ),
        run=f"{_AHCI};ata_qc_complete_multiple;ata_qc_complete;dma_unmap_sg_attrs:run",
        bio=_SCSI_BIO,
        table=_SCSI_FREE,
    ),
    end=_SCSI_END,
)

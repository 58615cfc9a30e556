// SPDX-License-Identifier: GPL-2.0
/*
 * Bio-based RAM disks that complete inline. The file that includes this sets their size, ram_mb, and whether
 * reads and writes of data copy: without, the reader's pages keep what was in them, and so does the disk.
 */
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/version.h>
#include <linux/xarray.h>

static bool ram_copies = true, ram_stores = true;

static void copy_piece(struct xarray *ram, struct bio *bio, struct bio_vec *vec, unsigned int at, sector_t sector, unsigned int bytes)
{
	unsigned long index = sector >> (PAGE_SHIFT - SECTOR_SHIFT);
	unsigned int offset = (sector << SECTOR_SHIFT) & (PAGE_SIZE - 1);
	struct page *page = xa_load(ram, index);

	if (op_is_write(bio_op(bio))) {
		if (!page) {
			page = alloc_page(GFP_NOIO | __GFP_ZERO);
			if (!page || xa_is_err(xa_store(ram, index, page, GFP_NOIO))) {
				bio->bi_status = BLK_STS_RESOURCE;
				return;
			}
		}
		memcpy_page(page, offset, vec->bv_page, at, bytes);
	} else if (page) {
		memcpy_page(vec->bv_page, at, page, offset, bytes);
	} else {
		memzero_page(vec->bv_page, at, bytes);
	}
}

static void rtram_submit(struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec vec;
	sector_t sector = bio->bi_iter.bi_sector;

	if (op_is_write(bio_op(bio)) ? ram_stores || bio->bi_opf & REQ_META
				     : bio_op(bio) == REQ_OP_READ && (ram_copies || bio->bi_opf & REQ_META)) {
		bio_for_each_segment(vec, bio, iter) {
			unsigned int at = vec.bv_offset, left = vec.bv_len;

			while (left) {
				unsigned int room = PAGE_SIZE - ((sector << SECTOR_SHIFT) & (PAGE_SIZE - 1));
				unsigned int bytes = min(left, room);

				copy_piece(bio->bi_bdev->bd_disk->private_data, bio, &vec, at, sector, bytes);
				sector += bytes >> SECTOR_SHIFT;
				at += bytes;
				left -= bytes;
			}
		}
	}
	bio_endio(bio);
}

static const struct block_device_operations rtram_operations = {
	.owner = THIS_MODULE,
	.submit_bio = rtram_submit,
};

static struct gendisk *new_ram_disk(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	struct queue_limits limits = { .physical_block_size = PAGE_SIZE };

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
#else
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (disk) {
		blk_queue_physical_block_size(disk->queue, PAGE_SIZE);
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	}
	return disk;
#endif
}

/* Add a disk of that name whose pages lie in `ram`; NULL if there is no memory. */
static struct gendisk *add_ram_disk(const char *name, struct xarray *ram)
{
	struct gendisk *disk = new_ram_disk();
	int major = register_blkdev(0, name);

	if (IS_ERR_OR_NULL(disk) || major < 0)
		return NULL;
	disk->major = major;
	disk->minors = 1;
	disk->private_data = ram;
	disk->fops = &rtram_operations;
	strscpy(disk->disk_name, name, DISK_NAME_LEN);
	set_capacity(disk, (sector_t)ram_mb << (20 - SECTOR_SHIFT));
	return add_disk(disk) ? NULL : disk;
}

// SPDX-License-Identifier: GPL-2.0
/* Loads a file of the host's into /dev/rtram, and from there into /dev/nullb0 if it is asked to. */
#include <os.h>

static int __init fill_null_blk(void)
{
	struct block_device *to = blkdev_get_by_dev(blk_lookup_devt("nullb0", 0), FMODE_READ | FMODE_WRITE, NULL);
	unsigned long index;
	struct page *page;
	int ret = 0;

	if (IS_ERR(to))
		return PTR_ERR(to);
	xa_for_each(&ram, index, page) {
		struct bio *bio = bio_alloc(to, 1, REQ_OP_WRITE, GFP_KERNEL);

		bio->bi_iter.bi_sector = (sector_t)index << (PAGE_SHIFT - SECTOR_SHIFT);
		__bio_add_page(bio, page, PAGE_SIZE, 0);
		ret = submit_bio_wait(bio);
		bio_put(bio);
		if (ret)
			break;
	}
	blkdev_put(to, FMODE_READ | FMODE_WRITE);
	return ret;
}

static int __init load_image(void)
{
	struct openflags flags = of_read(OPENFLAGS());
	unsigned long index;
	void *page_bytes;
	int fd, ret;

	if (!image_name[0])
		return 0;
	ret = add_ram_disk();
	if (ret)
		return ret;
	fd = os_open_file(image_name, flags, 0);
	if (fd < 0)
		panic("readpath: cannot open the image: %d", fd);
	page_bytes = (void *)__get_free_page(GFP_KERNEL);
	for (index = 0; os_read_file(fd, page_bytes, PAGE_SIZE) == PAGE_SIZE; index++) {
		struct page *page;

		if (!memchr_inv(page_bytes, 0, PAGE_SIZE))
			continue;
		page = alloc_page(GFP_KERNEL);
		if (!page || xa_is_err(xa_store(&ram, index, page, GFP_KERNEL)))
			panic("readpath: no memory for the image");
		memcpy(page_address(page), page_bytes, PAGE_SIZE);
	}
	os_close_file(fd);
	free_page((unsigned long)page_bytes);
	ret = on_null_blk ? fill_null_blk() : 0;
	if (ret)
		panic("readpath: null_blk cannot be filled: %d", ret);
	return 0;
}
late_initcall_sync(load_image);

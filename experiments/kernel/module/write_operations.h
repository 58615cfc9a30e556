// SPDX-License-Identifier: GPL-2.0
/*
 * The write-back designs that are held against each other, as address-space operations; the file that includes
 * this has get_block, which is ext4_get_block.
 *
 *   bwfp    ->writepages: generic_writepages with ->writepage = block_write_full_page(ext4_get_block)
 *   mpage   ->writepages: mpage_writepages(ext4_get_block)
 *   bwfp2, mpage2  the same, and ->write_begin = block_write_begin(ext4_get_block), ->write_end =
 *           generic_write_end: the whole buffer-head write path of ext2's kind, without a journal handle. Only
 *           for blocks that are allocated and written already.
 */
#include <linux/buffer_head.h>
#include <linux/mpage.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

static struct address_space_operations write_ops[4];
static const char *write_op_names[4] = { "bwfp", "mpage", "bwfp2", "mpage2" };

static int bh_writepage(struct page *page, struct writeback_control *wbc)
{
	return block_write_full_page(page, get_block, wbc);
}

static int bh_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	return generic_writepages(mapping, wbc);
}

static int mp_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	return mpage_writepages(mapping, wbc, get_block);
}

static int bh_write_begin(struct file *file, struct address_space *mapping, loff_t pos, unsigned len,
			  struct page **pagep, void **fsdata)
{
	return block_write_begin(mapping, pos, len, pagep, get_block);
}

/* Fill the four from a file system's own operations. */
static void make_write_operations(const struct address_space_operations *own)
{
	int i;

	for (i = 0; i < 4; i++) {
		write_ops[i] = *own;
		write_ops[i].writepage = bh_writepage;
		write_ops[i].writepages = i & 1 ? mp_writepages : bh_writepages;
		if (i >= 2) {
			write_ops[i].write_begin = bh_write_begin;
			write_ops[i].write_end = generic_write_end;
			write_ops[i].dirty_folio = block_dirty_folio;
			write_ops[i].invalidate_folio = block_invalidate_folio;
		}
	}
}

/* Return the operations of that name, NULL if there is none. */
static const struct address_space_operations *write_operations(const char *which)
{
	int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(which, write_op_names[i]))
			return &write_ops[i];
	return NULL;
}

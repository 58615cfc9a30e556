// SPDX-License-Identifier: GPL-2.0
/*
 * readpath_truth: what the recordings of the buffered read path need inside a kernel (6.1, 6.12, 7.3).
 *
 *   /sys/kernel/debug/readpath_truth/ctl   write one command at a time
 *       swap <fd> buffer|mpage|own|nop|small replace the address-space operations of the file behind <fd>:
 *                                          buffer  block_read_full_folio + ext4_get_block, no ->readahead
 *                                          mpage   mpage_readahead + ext4_get_block
 *                                          small   the file system's own, on pages only: no large folios
 *                                          buffer-small, mpage-small  the two on pages only
 *                                          own     put all back
 *                                          nop     no I/O at all: pages become up to date as they are
 *       scatter <mb>                      take so many MiB of memory and give every other page back: the page cache,
 *                                          which takes single free pages first, gets none beside each other
 *       log on|stop|off                    record block events, with log_folios= also folios and windows of readahead;
 *                                          stop keeps them, off forgets the probes
 *   /sys/kernel/debug/readpath_truth/log   the events, 8 bytes each (struct event)
 *   /dev/rtram                             a bio-based RAM disk (ram_mb=) that copies and completes inline
 *
 * The operations are swapped for the time of a measurement; swap them back before the last close.
 */
#include <linux/blk-mq.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#ifndef fd_file
#define fd_file(f) ((f).file)
#endif

static int ram_mb = 256;
module_param(ram_mb, int, 0444);
static bool log_folios;
module_param(log_folios, bool, 0444);

static DEFINE_XARRAY(ram);
static get_block_t *get_block; /* ext4_get_block, which ext4 does not export */

#include "operations.h"
#include "orders.h"
#include "ram_disk.h"

/* -------- swapping a file's operations -------- */

#define MOST_SWAPPED 16
static struct {
	struct inode *inode;
	const struct address_space_operations *own;
	unsigned long orders; /* what the mapping may have, of orders.h */
} swapped[MOST_SWAPPED];

static int swap_operations(int fd, const char *which)
{
	struct fd f = fdget(fd);
	struct inode *inode;
	int i, free = -1, ret = 0;
	char base[32];
	char *small;

	if (!fd_file(f))
		return -EBADF;
	inode = file_inode(fd_file(f));
	strscpy(base, which, sizeof(base));
	small = strstr(base, "-small");
	if (small)
		*small = 0;
	for (i = 0; i < MOST_SWAPPED && swapped[i].inode != inode; i++)
		if (!swapped[i].inode && free < 0)
			free = i;
	if (!strcmp(which, "own")) {
		if (i < MOST_SWAPPED) {
			inode->i_mapping->a_ops = swapped[i].own;
			set_orders(inode->i_mapping, swapped[i].orders);
			swapped[i].inode = NULL;
		}
		goto out;
	}
	if (i == MOST_SWAPPED) {
		if (free < 0) {
			ret = -ENOSPC;
			goto out;
		}
		i = free;
		swapped[i].inode = inode;
		swapped[i].own = inode->i_mapping->a_ops;
		swapped[i].orders = inode->i_mapping->flags & ORDERS;
	}
	if (small || !strcmp(which, "small"))
		set_orders(inode->i_mapping, smallest(swapped[i].orders));
	if (!strcmp(which, "small"))
		goto out;
	/* All files of a recording are of one kind, so one copy of the file system's operations will do. */
	make_operations(swapped[i].own);
	if (operations(base))
		inode->i_mapping->a_ops = operations(base);
	else
		ret = -EINVAL;
out:
	fdput(f);
	return ret;
}

/* -------- block events -------- */

struct event {
	u32 sector;
	u16 sectors;
	u8 kind;
	u8 flags; /* 1 REQ_META, 2 REQ_RAHEAD, 4 a write */
};
enum { BIO_QUEUE = 1, BIO_BACKMERGE, BIO_FRONTMERGE, GETRQ, RQ_ISSUE, RQ_INSERT, RQ_MERGE, RQ_COMPLETE,
	BIO_COMPLETE, PLUG, UNPLUG, SPLIT, FOLIO, WINDOW, WINDOW_ASYNC, UNBOUNDED, UNBOUNDED_LOOKAHEAD };
#define MOST_EVENTS (1 << 20)
static struct event *events;
static atomic_t event_count = ATOMIC_INIT(0);
static bool recording, registered;

static void add_event(u8 kind, u32 sector, u32 sectors, blk_opf_t opf)
{
	int i;

	if (!READ_ONCE(recording))
		return;
	i = atomic_fetch_inc(&event_count);
	if (i >= MOST_EVENTS)
		return;
	events[i].sector = sector;
	events[i].sectors = min_t(u32, sectors, U16_MAX);
	events[i].kind = kind;
	events[i].flags = (opf & REQ_META ? 1 : 0) | (opf & REQ_RAHEAD ? 2 : 0) | (op_is_write(opf) ? 4 : 0);
}

static void add_bio(u8 kind, struct bio *bio)
{
	add_event(kind, bio->bi_iter.bi_sector, bio_sectors(bio), bio->bi_opf);
}

static void add_request(u8 kind, struct request *rq)
{
	add_event(kind, blk_rq_pos(rq), blk_rq_sectors(rq), rq->cmd_flags);
}

static void on_bio_queue(void *data, struct bio *bio) { add_bio(BIO_QUEUE, bio); }
static void on_backmerge(void *data, struct bio *bio) { add_bio(BIO_BACKMERGE, bio); }
static void on_frontmerge(void *data, struct bio *bio) { add_bio(BIO_FRONTMERGE, bio); }
static void on_getrq(void *data, struct bio *bio) { add_bio(GETRQ, bio); }
static void on_issue(void *data, struct request *rq) { add_request(RQ_ISSUE, rq); }
static void on_insert(void *data, struct request *rq) { add_request(RQ_INSERT, rq); }
static void on_merge(void *data, struct request *rq) { add_request(RQ_MERGE, rq); }
static void on_complete(void *data, struct request *rq, blk_status_t status, unsigned int bytes)
{
	add_event(RQ_COMPLETE, blk_rq_pos(rq), bytes >> 9, rq->cmd_flags);
}
static void on_bio_complete(void *data, struct request_queue *q, struct bio *bio)
{
	add_bio(BIO_COMPLETE, bio);
}
static void on_plug(void *data, struct request_queue *q) { add_event(PLUG, 0, 0, 0); }
static void on_unplug(void *data, struct request_queue *q, unsigned int depth, bool explicit)
{
	add_event(UNPLUG, explicit, depth, 0);
}
static void on_split(void *data, struct bio *bio, unsigned int new_sector)
{
	add_event(SPLIT, new_sector, bio_sectors(bio), bio->bi_opf);
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} tracepoints[] = {
	{ "block_bio_queue", on_bio_queue }, { "block_bio_backmerge", on_backmerge },
	{ "block_bio_frontmerge", on_frontmerge }, { "block_getrq", on_getrq },
	{ "block_rq_issue", on_issue }, { "block_rq_insert", on_insert },
	{ "block_rq_merge", on_merge }, { "block_rq_complete", on_complete },
	{ "block_bio_complete", on_bio_complete }, { "block_plug", on_plug },
	{ "block_unplug", on_unplug }, { "block_split", on_split },
};

/* -------- what readahead adds to the page cache: folios with their orders, windows -------- */

static int on_add_folio(struct kprobe *probe, struct pt_regs *regs)
{
	struct folio *folio = (struct folio *)regs->si; /* filemap_add_folio(mapping, folio, index, gfp) */

	if (READ_ONCE(recording))
		add_event(FOLIO, regs->dx, folio_order(folio), 0);
	return 0;
}

static int on_ra_order(struct kprobe *probe, struct pt_regs *regs)
{
	struct readahead_control *control = (void *)regs->di; /* page_cache_ra_order(ractl, ra[, order]) */
	struct file_ra_state *ra = (void *)regs->si;

	if (READ_ONCE(recording)) {
		add_event(WINDOW, control->_index, ra->size, 0);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
		add_event(WINDOW_ASYNC, ra->async_size, ra->order, 0);
#else
		add_event(WINDOW_ASYNC, ra->async_size, regs->dx, 0);
#endif
	}
	return 0;
}

static int on_ra_unbounded(struct kprobe *probe, struct pt_regs *regs)
{
	struct readahead_control *control = (void *)regs->di; /* page_cache_ra_unbounded(ractl, pages, lookahead) */

	if (READ_ONCE(recording)) {
		add_event(UNBOUNDED, control->_index, regs->si, 0);
		add_event(UNBOUNDED_LOOKAHEAD, regs->dx, 0, 0);
	}
	return 0;
}

static struct kprobe folio_probes[] = {
	{ .symbol_name = "filemap_add_folio", .pre_handler = on_add_folio },
	{ .symbol_name = "page_cache_ra_order", .pre_handler = on_ra_order },
	{ .symbol_name = "page_cache_ra_unbounded", .pre_handler = on_ra_unbounded },
};

static void find_tracepoint(struct tracepoint *tracepoint, void *data)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(tracepoints); i++)
		if (!strcmp(tracepoint->name, tracepoints[i].name))
			tracepoints[i].tracepoint = tracepoint;
}

static void register_probes(bool on)
{
	int i;

	if (on == registered)
		return;
	for (i = 0; i < ARRAY_SIZE(tracepoints); i++) {
		if (!tracepoints[i].tracepoint)
			continue;
		if (on)
			tracepoint_probe_register(tracepoints[i].tracepoint, tracepoints[i].probe, NULL);
		else
			tracepoint_probe_unregister(tracepoints[i].tracepoint, tracepoints[i].probe, NULL);
	}
	for (i = 0; log_folios && i < ARRAY_SIZE(folio_probes); i++) {
		if (!on) {
			unregister_kprobe(&folio_probes[i]);
			continue;
		}
		folio_probes[i].addr = NULL;
		folio_probes[i].flags = 0;
		if (register_kprobe(&folio_probes[i]))
			pr_warn("readpath_truth: no probe at %s\n", folio_probes[i].symbol_name);
	}
	if (!on)
		tracepoint_synchronize_unregister();
	registered = on;
}

static int set_log(const char *word)
{
	if (!strcmp(word, "on")) {
		register_probes(true);
		atomic_set(&event_count, 0);
		WRITE_ONCE(recording, true);
	} else if (!strcmp(word, "stop")) {
		WRITE_ONCE(recording, false);
	} else if (!strcmp(word, "off")) {
		WRITE_ONCE(recording, false);
		register_probes(false);
	} else {
		return -EINVAL;
	}
	return 0;
}

static ssize_t log_read(struct file *file, char __user *to, size_t bytes, loff_t *pos)
{
	size_t have = min_t(size_t, atomic_read(&event_count), MOST_EVENTS) * sizeof(struct event);

	return simple_read_from_buffer(to, bytes, pos, events, have);
}

/* -------- memory -------- */

static void (*drain_pages)(struct zone *zone); /* drain_all_pages, which the kernel does not export */
static LIST_HEAD(held);

static int scatter(int mb)
{
	struct page *page, *next;
	int i;

	if (!drain_pages)
		return -ENOENT;
	drain_pages(NULL);
	for (i = 0; i < mb << (20 - PAGE_SHIFT); i++) {
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (!page)
			return -ENOMEM;
		list_add(&page->lru, &held);
	}
	list_for_each_entry_safe(page, next, &held, lru)
		if (!(page_to_pfn(page) & 1)) {
			list_del(&page->lru);
			__free_page(page);
		}
	drain_pages(NULL);
	return 0;
}

/* -------- control -------- */

static ssize_t ctl_write(struct file *file, const char __user *from, size_t bytes, loff_t *pos)
{
	char command[128], word[32];
	int fd, mb, ret = -EINVAL;

	if (bytes >= sizeof(command))
		return -EINVAL;
	if (copy_from_user(command, from, bytes))
		return -EFAULT;
	command[bytes] = 0;
	if (sscanf(command, "swap %d %31s", &fd, word) == 2)
		ret = swap_operations(fd, word);
	else if (sscanf(command, "scatter %d", &mb) == 1)
		ret = scatter(mb);
	else if (sscanf(command, "log %31s", word) == 1)
		ret = set_log(word);
	return ret ? ret : bytes;
}

static const struct file_operations ctl_operations = { .owner = THIS_MODULE, .write = ctl_write };
static const struct file_operations log_operations = {
	.owner = THIS_MODULE, .read = log_read, .llseek = default_llseek,
};

static int __init truth_init(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *);
	struct dentry *dir;
	int ret = register_kprobe(&probe);

	if (ret)
		return ret;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	get_block = (void *)lookup("ext4_get_block");
	if (!get_block)
		return -ENOENT;
	drain_pages = (void *)lookup("drain_all_pages");
	for_each_kernel_tracepoint(find_tracepoint, NULL);
	events = vmalloc(MOST_EVENTS * sizeof(*events));
	if (!events)
		return -ENOMEM;
	if (!add_ram_disk("rtram", &ram))
		return -ENOMEM;
	dir = debugfs_create_dir("readpath_truth", NULL);
	debugfs_create_file("ctl", 0600, dir, NULL, &ctl_operations);
	debugfs_create_file("log", 0400, dir, NULL, &log_operations);
	return 0;
}

/* No exit: the machine is switched off after the recording. */
module_init(truth_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Recordings of the buffered read path for readpath");

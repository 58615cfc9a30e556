// SPDX-License-Identifier: GPL-2.0
/*
 * readpath_native: times reads inside user-mode Linux 6.1, which runs at the speed of the host's CPU.
 *
 * Built into ext4 and called once the root file system is mounted, in place of the first process. It takes its
 * orders from a file of the host's, named on the command line, and switches off when it is done:
 *
 *   readpath_image=FILE   what to load into /dev/rtram
 *   readpath_null         and from there into /dev/nullb0
 *   readpath_plan=FILE    lines, in this order:
 *       copies 0|1                        whether the RAM disk copies what is read
 *       rounds N
 *       pattern NAME COUNT [random]       followed by COUNT lines "offset length descriptor": the reads to make;
 *                                         random: as after POSIX_FADV_RANDOM
 *       case N FILE OPS PATTERN warm|cold time one pass of reads, the page cache empty, extents in the status
 *                                         cache (warm) or only in cached tree blocks (cold)
 *       loop N FILE WHAT ARG warm|cold    time a primitive, see run_loop()
 *
 * In each round everything runs once, in an order drawn anew, so that whatever the machine does falls on all
 * alike. A line "readpath {...}" per case or loop, N among it, goes to the console.
 */
#include <crypto/skcipher.h>
#include <linux/bio.h>
#include <linux/namei.h>
#include <linux/reboot.h>
#include <linux/scatterlist.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <os.h>
#include "ext4.h"
#include "ext4_extents.h"

static int ram_mb = 512;
static get_block_t *get_block = ext4_get_block;

#include "operations.h"
#include "ram_disk.h"

#define MOST_PATTERNS 24
#define MOST_JOBS 1024
#define MOST_FILES 32
#define DESCRIPTORS 2
#define MOST_ROUNDS 2000
#define TURNS 4096
#define BUFFER_BYTES (1 << 20)

struct one_read {
	loff_t offset;
	unsigned int length, descriptor;
};
static struct pattern {
	char name[24];
	unsigned int count;
	bool random;
	struct one_read *reads;
} patterns[MOST_PATTERNS];
static struct target {
	char name[32];
	struct file *files[DESCRIPTORS];
	const struct address_space_operations *own;
	bool warm;
} targets[MOST_FILES];
static struct job {
	int number;
	struct target *target;
	struct pattern *pattern; /* NULL: a loop */
	char what[16];
	long arg;
	bool cold;
	u64 units;
	u64 *ns;
} jobs[MOST_JOBS];
static unsigned int pattern_count, target_count, job_count, rounds;
static char *bytes;
static volatile u64 sink;

static char image_name[200], plan_name[200];
static bool on_null_blk;

static int __init set_image(char *s) { strscpy(image_name, s, sizeof(image_name)); return 1; }
static int __init set_plan(char *s) { strscpy(plan_name, s, sizeof(plan_name)); return 1; }
static int __init set_null(char *s) { on_null_blk = true; return 1; }
__setup("readpath_image=", set_image);
__setup("readpath_plan=", set_plan);
__setup("readpath_null", set_null);

/* -------- the image -------- */

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

/* -------- states -------- */

static struct inode *inode_of(const struct target *target)
{
	return file_inode(target->files[0]);
}

/* Bring all extents and holes of a file into the status cache. */
static void warm_up(struct target *target)
{
	struct inode *inode = inode_of(target);
	ext4_lblk_t block = 0, end = i_size_read(inode) >> inode->i_blkbits;

	while (block < end) {
		struct ext4_map_blocks map = { .m_lblk = block, .m_len = end - block };
		int ret = ext4_map_blocks(NULL, inode, &map, 0);

		block += ret > 0 ? ret : max(map.m_len, 1u);
	}
	target->warm = true;
}

static void drop_pages(struct target *target)
{
	invalidate_mapping_pages(inode_of(target)->i_mapping, 0, -1);
}

static void prepare(struct job *job)
{
	struct target *target = job->target;
	int i;

	drop_pages(target);
	if (job->cold) {
		ext4_clear_inode_es(inode_of(target));
		target->warm = false;
	} else if (!target->warm) {
		warm_up(target);
	}
	for (i = 0; i < DESCRIPTORS; i++) {
		struct file *file = target->files[i];

		file->f_ra.start = file->f_ra.size = file->f_ra.async_size = 0;
		file->f_ra.prev_pos = -1;
		if (job->pattern && job->pattern->random)
			file->f_mode |= FMODE_RANDOM;
		else
			file->f_mode &= ~FMODE_RANDOM;
	}
}

/* -------- what is timed -------- */

static void read_all(struct target *target, size_t length)
{
	loff_t pos = 0;

	while (pos < i_size_read(inode_of(target)))
		if (kernel_read(target->files[0], bytes, length, &pos) <= 0)
			panic("readpath: cannot read %s", target->name);
}

static u64 time_reads(struct job *job)
{
	const struct pattern *pattern = job->pattern;
	u64 start = os_nsecs();
	unsigned int i;

	for (i = 0; i < pattern->count; i++) {
		const struct one_read *read = &pattern->reads[i];
		loff_t pos = read->offset;

		if (kernel_read(job->target->files[read->descriptor], bytes, read->length, &pos) <= 0)
			panic("readpath: cannot read %s", job->target->name);
	}
	return os_nsecs() - start;
}

static void one_bio(struct block_device *device, unsigned int pages)
{
	struct bio *bio = bio_alloc(device, pages, REQ_OP_READ, GFP_KERNEL);
	unsigned int i;

	bio->bi_iter.bi_sector = 2048;
	for (i = 0; i < pages; i++)
		__bio_add_page(bio, virt_to_page(bytes + i * PAGE_SIZE), PAGE_SIZE, 0);
	bio->bi_end_io = bio_put;
	submit_bio(bio);
}

static void one_page_of_heads(unsigned int block_size)
{
	struct buffer_head *head = alloc_page_buffers(virt_to_page(bytes), block_size, false), *next;

	for (; head; head = next) {
		next = head->b_this_page;
		free_buffer_head(head);
	}
}

static u64 look_up(struct inode *inode, const char *what, ext4_lblk_t block)
{
	struct ext4_map_blocks map = { .m_lblk = block, .m_len = 1 };
	struct buffer_head head = { .b_size = i_blocksize(inode) };
	struct ext4_ext_path *path;

	switch (what[0]) {
	case 'm':
		ext4_map_blocks(NULL, inode, &map, 0);
		return map.m_pblk;
	case 'g':
		ext4_get_block(inode, block, &head, 0);
		return head.b_blocknr;
	default:
		path = ext4_find_extent(inode, block, NULL, 0);
		if (IS_ERR(path))
			return 0;
		ext4_free_ext_path(path);
		return 1;
	}
}

static struct skcipher_request *xts_request(void)
{
	static struct skcipher_request *request;
	struct crypto_skcipher *cipher;
	u8 key[64];
	int i;

	if (request)
		return request;
	cipher = crypto_alloc_skcipher("xts(aes)", 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(cipher))
		panic("readpath: no xts(aes)");
	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	if (crypto_skcipher_setkey(cipher, key, sizeof(key)))
		panic("readpath: no key");
	pr_err("readpath {\"cipher\":\"%s\"}\n", crypto_skcipher_driver_name(cipher));
	request = skcipher_request_alloc(cipher, GFP_KERNEL);
	return request;
}

static void decrypt(unsigned int length)
{
	struct skcipher_request *request = xts_request();
	struct scatterlist from, to;
	u8 iv[16] = { 1 };

	sg_init_one(&from, bytes, length);
	sg_init_one(&to, bytes + PAGE_SIZE, length);
	skcipher_request_set_crypt(request, &from, &to, length, iv);
	crypto_skcipher_decrypt(request);
}

/*
 * map_blocks, get_block, find_extent: one call per block of the file. hit: read all of it, cached, ARG bytes
 * a call. inval: drop it, per page, as OPS left it (ARG 0: mpage, 1: buffer). The rest TURNS times: bhalloc, the
 * buffer heads of a page, allocated and freed; bio, ARG pages; memcpy, memset, pgalloc, a page; xts, ARG bytes
 * decrypted by the kernel's generic C; clock.
 */
static u64 time_loop(struct job *job)
{
	struct target *target = job->target;
	struct inode *inode = inode_of(target);
	struct block_device *device = inode->i_sb->s_bdev;
	unsigned long i, blocks = i_size_read(inode) >> inode->i_blkbits, turns = TURNS;
	const char *what = job->what;
	u64 start, sum = 0;

	job->units = TURNS;
	if (!strcmp(what, "hit") || !strcmp(what, "inval")) {
		bool hit = !strcmp(what, "hit");

		inode->i_mapping->a_ops = hit ? target->own : job->arg ? &ops_buffer : &ops_mpage;
		read_all(target, hit ? job->arg : BUFFER_BYTES / 8);
		start = os_nsecs();
		if (hit)
			read_all(target, job->arg);
		else
			drop_pages(target);
		job->units = i_size_read(inode) >> PAGE_SHIFT;
		start = os_nsecs() - start;
		inode->i_mapping->a_ops = target->own;
		return start;
	}
	if (!strcmp(what, "xts")) {
		decrypt(job->arg);
		turns = job->units = 256;
	}
	start = os_nsecs();
	if (!strcmp(what, "map_blocks") || !strcmp(what, "get_block") || !strcmp(what, "find_extent")) {
		for (i = 0; i < blocks; i++)
			sum += look_up(inode, what, i);
		job->units = blocks;
	} else if (!strcmp(what, "bhalloc")) {
		for (i = 0; i < turns; i++)
			one_page_of_heads(i_blocksize(inode));
		job->units = turns * (PAGE_SIZE >> inode->i_blkbits);
	} else if (!strcmp(what, "bio")) {
		for (i = 0; i < turns; i++)
			one_bio(device, job->arg);
	} else if (!strcmp(what, "memcpy")) {
		for (i = 0; i < turns; i++)
			memcpy(bytes + (i % 16) * PAGE_SIZE, bytes + (16 + i % 16) * PAGE_SIZE, PAGE_SIZE);
	} else if (!strcmp(what, "memset")) {
		for (i = 0; i < turns; i++)
			memset(bytes + (i % 16) * PAGE_SIZE, 0, PAGE_SIZE);
	} else if (!strcmp(what, "pgalloc")) {
		for (i = 0; i < turns; i++)
			__free_page(alloc_page(GFP_HIGHUSER_MOVABLE));
	} else if (!strcmp(what, "xts")) {
		for (i = 0; i < turns; i++)
			decrypt(job->arg);
	} else if (!strcmp(what, "clock")) {
		for (i = 0; i < turns; i++)
			sum += os_nsecs();
	} else {
		panic("readpath: no loop %s", what);
	}
	start = os_nsecs() - start;
	sink = sum;
	return start;
}

static u64 run_job(struct job *job)
{
	struct address_space *mapping = inode_of(job->target)->i_mapping;
	u64 ns;

	prepare(job);
	if (!job->pattern)
		return time_loop(job);
	if (operations(job->what))
		mapping->a_ops = operations(job->what);
	ns = time_reads(job);
	drop_pages(job->target);
	mapping->a_ops = job->target->own;
	return ns;
}

/* -------- the plan -------- */

static char *read_plan(void)
{
	struct openflags flags = of_read(OPENFLAGS());
	size_t room = 4 << 20, length = 0;
	char *text = vmalloc(room), *page = (char *)__get_free_page(GFP_KERNEL);
	int fd = os_open_file(plan_name, flags, 0), got;

	if (fd < 0 || !text || !page)
		panic("readpath: cannot read the plan");
	while ((got = os_read_file(fd, page, PAGE_SIZE)) > 0) {
		if (length + got >= room)
			panic("readpath: the plan is too long");
		memcpy(text + length, page, got);
		length += got;
	}
	text[length] = 0;
	os_close_file(fd);
	return text;
}

static struct target *target_of(const char *name)
{
	struct target *target;
	char path[40];
	int i;

	for (i = 0; i < target_count; i++)
		if (!strcmp(targets[i].name, name))
			return &targets[i];
	if (target_count == MOST_FILES)
		panic("readpath: too many files");
	target = &targets[target_count++];
	strscpy(target->name, name, sizeof(target->name));
	snprintf(path, sizeof(path), "/%s", name);
	for (i = 0; i < DESCRIPTORS; i++) {
		target->files[i] = filp_open(path, O_RDONLY | O_NOATIME, 0);
		if (IS_ERR(target->files[i]))
			panic("readpath: cannot open %s: %ld", path, PTR_ERR(target->files[i]));
	}
	target->own = inode_of(target)->i_mapping->a_ops;
	make_operations(target->own);
	read_all(target, BUFFER_BYTES / 8); /* tree blocks come into the device's cache */
	return target;
}

static struct pattern *pattern_of(const char *name)
{
	int i;

	for (i = 0; i < pattern_count; i++)
		if (!strcmp(patterns[i].name, name))
			return &patterns[i];
	panic("readpath: no pattern %s", name);
}

static char *next_line(char **text)
{
	char *line = strsep(text, "\n");

	return line && *line ? line : NULL;
}

static void parse_pattern(const char *line, char **text)
{
	struct pattern *pattern = &patterns[pattern_count++];
	char random[8] = "";
	unsigned int i;

	if (pattern_count > MOST_PATTERNS ||
	    sscanf(line, "pattern %23s %u %7s", pattern->name, &pattern->count, random) < 2)
		panic("readpath: %s", line);
	pattern->random = random[0];
	pattern->reads = vmalloc(pattern->count * sizeof(*pattern->reads));
	for (i = 0; i < pattern->count; i++) {
		struct one_read *read = &pattern->reads[i];

		line = next_line(text);
		if (!line || sscanf(line, "%lld %u %u", &read->offset, &read->length, &read->descriptor) != 3 ||
		    read->descriptor >= DESCRIPTORS || read->length > BUFFER_BYTES)
			panic("readpath: pattern %s: %s", pattern->name, line ?: "ends too early");
	}
}

static void parse_job(const char *line, bool is_case)
{
	struct job *job = &jobs[job_count++];
	char file[32], fourth[24], status[8];

	if (job_count > MOST_JOBS ||
	    sscanf(line, "%*s %d %31s %15s %23s %7s", &job->number, file, job->what, fourth, status) != 5)
		panic("readpath: %s", line);
	job->target = target_of(file);
	job->cold = !strcmp(status, "cold");
	if (is_case)
		job->pattern = pattern_of(fourth);
	else if (kstrtol(fourth, 10, &job->arg))
		panic("readpath: %s", line);
	job->ns = vmalloc(MOST_ROUNDS * sizeof(*job->ns));
	job->units = 1;
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void report(struct job *job)
{
	sort(job->ns, rounds, sizeof(*job->ns), compare_u64, NULL);
	pr_err("readpath {\"job\":%d,\"units\":%llu,\"n\":%u,\"min\":%llu,\"p10\":%llu,\"p25\":%llu,\"median\":%llu,\"max\":%llu}\n",
		job->number, job->units, rounds, job->ns[0], job->ns[rounds / 10], job->ns[rounds / 4],
		job->ns[rounds / 2], job->ns[rounds - 1]);
}

static u32 draw(u32 below)
{
	static u32 state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}

void readpath_native(void);
void readpath_native(void)
{
	char *text, *line;
	unsigned int round, i, copies = 1;
	static unsigned int order[MOST_JOBS];

	if (!plan_name[0])
		return;
	bytes = (char *)__get_free_pages(GFP_KERNEL, get_order(BUFFER_BYTES));
	text = read_plan();
	while ((line = next_line(&text)) != NULL) {
		if (!strncmp(line, "pattern ", 8))
			parse_pattern(line, &text);
		else if (!strncmp(line, "case ", 5) || !strncmp(line, "loop ", 5))
			parse_job(line, line[0] == 'c');
		else if (sscanf(line, "copies %u", &copies) != 1 && sscanf(line, "rounds %u", &rounds) != 1)
			panic("readpath: %s", line);
	}
	if (!rounds || rounds > MOST_ROUNDS)
		panic("readpath: rounds: 1 to %u", MOST_ROUNDS);
	ram_copies = copies;
	for (i = 0; i < job_count; i++)
		order[i] = i;
	for (round = 0; round < rounds; round++) {
		for (i = job_count - 1; i > 0; i--) {
			unsigned int other = draw(i + 1);

			swap(order[i], order[other]);
		}
		for (i = 0; i < job_count; i++) {
			jobs[order[i]].ns[round] = run_job(&jobs[order[i]]);
			cond_resched();
		}
	}
	for (i = 0; i < job_count; i++)
		report(&jobs[i]);
	pr_err("readpath {\"end\":0}\n");
	kernel_power_off();
}

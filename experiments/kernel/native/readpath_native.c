// SPDX-License-Identifier: GPL-2.0
/*
 * readpath_native: times reads and writes inside user-mode Linux 6.1, which runs at the speed of the host's CPU.
 *
 * Built into ext4, the last of the initial calls. It takes its orders from a file of the host's, named on the
 * command line, and switches off when it is done:
 *
 *   readpath_null         what is loaded goes into null_blks
 *   readpath_plan=FILE    lines, in this order:
 *       volume NAME IMAGE [OPTIONS]       load and mount an image of the host's: to read, or with OPTIONS to write
 *       copies 0|1                        whether the RAM disk copies what is read or written
 *       rounds N
 *       pattern NAME COUNT [random]       followed by COUNT lines "offset length descriptor": the reads or writes to
 *                                         make; random: as after POSIX_FADV_RANDOM
 *       case N VOLUME/FILE OPS PATTERN warm|cold time one pass of reads, the page cache empty, extents in the status
 *                                         cache (warm) or only in cached tree blocks (cold)
 *       write N VOLUME/FILE OPS PATTERN warm      time one pass of writes, the page cache empty, and its fsync(2)
 *       loop N VOLUME/FILE WHAT ARG warm|cold    time a primitive, see loops.h
 *
 * In each round everything runs once, in an order drawn anew, so that whatever the machine does falls on all
 * alike. A line "readpath {...}" per case or loop, N among it, goes to the console.
 */
#include <linux/reboot.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <os.h>
#include "ext4.h"

static int ram_mb = 512;
static get_block_t *get_block = ext4_get_block;

#include "operations.h"
#include "write_operations.h"
#include "ram_disk.h"

#define MOST_PATTERNS 24
#define MOST_JOBS 1024
#define MOST_FILES 64
#define DESCRIPTORS 2
#define MOST_ROUNDS 2000
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
	bool cold, writes;
	u64 units;
	u64 *ns, *sync_ns; /* of each round; sync_ns: of a write job */
} jobs[MOST_JOBS];
static unsigned int pattern_count, target_count, job_count, rounds;
static char *bytes;

static char plan_name[200];

#include "image.h"

static int __init set_plan(char *s) { strscpy(plan_name, s, sizeof(plan_name)); return 1; }
static int __init set_null(char *s) { on_null_blk = true; return 1; }
__setup("readpath_plan=", set_plan);
__setup("readpath_null", set_null);

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

static u64 time_writes(struct job *job)
{
	const struct pattern *pattern = job->pattern;
	u64 start = os_nsecs();
	unsigned int i;

	for (i = 0; i < pattern->count; i++) {
		const struct one_read *write = &pattern->reads[i];
		loff_t pos = write->offset;

		if (kernel_write(job->target->files[write->descriptor], bytes, write->length, &pos) != write->length)
			panic("readpath: cannot write %s", job->target->name);
	}
	return os_nsecs() - start;
}

static u64 time_sync(struct job *job)
{
	u64 start = os_nsecs();

	if (vfs_fsync(job->target->files[0], 0))
		panic("readpath: cannot sync %s", job->target->name);
	return os_nsecs() - start;
}

#include "loops.h"

static void run_job(struct job *job, unsigned int round)
{
	struct address_space *mapping = inode_of(job->target)->i_mapping;
	const struct address_space_operations *others;

	prepare(job);
	if (!job->pattern) {
		job->ns[round] = time_loop(job);
		return;
	}
	/* made anew: those of a file with data=journal, say, are not those of the file before */
	make_write_operations(job->target->own);
	others = job->writes ? write_operations(job->what) : operations(job->what);
	if (others)
		mapping->a_ops = others;
	job->ns[round] = job->writes ? time_writes(job) : time_reads(job);
	if (job->writes) {
		job->sync_ns[round] = time_sync(job);
		filemap_write_and_wait(mapping); /* with data=journal, pages are yet to be written in place */
	}
	drop_pages(job->target);
	mapping->a_ops = job->target->own;
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
	int i;

	for (i = 0; i < target_count; i++)
		if (!strcmp(targets[i].name, name))
			return &targets[i];
	if (target_count == MOST_FILES)
		panic("readpath: too many files");
	target = &targets[target_count++];
	strscpy(target->name, name, sizeof(target->name));
	for (i = 0; i < DESCRIPTORS; i++) {
		target->files[i] = open_file(name);
		if (IS_ERR(target->files[i]))
			panic("readpath: cannot open %s: %ld", name, PTR_ERR(target->files[i]));
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

static void parse_job(const char *line)
{
	bool is_loop = line[0] == 'l';
	struct job *job = &jobs[job_count++];
	char file[32], fourth[24], status[8];

	if (job_count > MOST_JOBS ||
	    sscanf(line, "%*s %d %31s %15s %23s %7s", &job->number, file, job->what, fourth, status) != 5)
		panic("readpath: %s", line);
	job->target = target_of(file);
	job->cold = !strcmp(status, "cold");
	job->writes = line[0] == 'w';
	if (!is_loop)
		job->pattern = pattern_of(fourth);
	else if (kstrtol(fourth, 10, &job->arg))
		panic("readpath: %s", line);
	job->ns = vmalloc(MOST_ROUNDS * sizeof(*job->ns));
	job->sync_ns = job->writes ? vmalloc(MOST_ROUNDS * sizeof(*job->sync_ns)) : NULL;
	job->units = 1;
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void report(const struct job *job, const char *of, u64 *ns)
{
	sort(ns, rounds, sizeof(*ns), compare_u64, NULL);
	pr_err("readpath {\"job\":%d,\"of\":\"%s\",\"units\":%llu,\"n\":%u,\"min\":%llu,\"p10\":%llu,\"p25\":%llu,\"median\":%llu,\"max\":%llu}\n",
		job->number, of, job->units, rounds, ns[0], ns[rounds / 10], ns[rounds / 4], ns[rounds / 2],
		ns[rounds - 1]);
}

static u32 draw(u32 below)
{
	static u32 state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}

static int __init readpath_native(void)
{
	char *text, *line;
	unsigned int round, i, copies = 1;
	static unsigned int order[MOST_JOBS];

	char name[16], image[256], options[128];

	if (!plan_name[0])
		return 0;
	bytes = (char *)__get_free_pages(GFP_KERNEL, get_order(BUFFER_BYTES));
	text = read_plan();
	while ((line = next_line(&text)) != NULL) {
		if (!strncmp(line, "pattern ", 8))
			parse_pattern(line, &text);
		else if (!strncmp(line, "case ", 5) || !strncmp(line, "loop ", 5) || !strncmp(line, "write ", 6))
			parse_job(line);
		else if (options[0] = 0, sscanf(line, "volume %15s %255s %127s", name, image, options) >= 2)
			add_volume(name, image, options[0] ? options : NULL);
		else if (sscanf(line, "copies %u", &copies) != 1 && sscanf(line, "rounds %u", &rounds) != 1)
			panic("readpath: %s", line);
	}
	if (!rounds || rounds > MOST_ROUNDS)
		panic("readpath: rounds: 1 to %u", MOST_ROUNDS);
	ram_copies = ram_stores = copies;
	for (i = 0; i < job_count; i++)
		order[i] = i;
	for (round = 0; round < rounds; round++) {
		for (i = job_count - 1; i > 0; i--) {
			unsigned int other = draw(i + 1);

			swap(order[i], order[other]);
		}
		for (i = 0; i < job_count; i++) {
			run_job(&jobs[order[i]], round);
			cond_resched();
		}
	}
	for (i = 0; i < job_count; i++) {
		report(&jobs[i], jobs[i].writes ? "write" : "read", jobs[i].ns);
		if (jobs[i].writes)
			report(&jobs[i], "sync", jobs[i].sync_ns);
	}
	pr_err("readpath {\"end\":0}\n");
	kernel_power_off();
	return 0;
}
late_initcall_sync(readpath_native);

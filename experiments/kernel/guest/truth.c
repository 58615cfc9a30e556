// SPDX-License-Identifier: MIT
/*
 * truth: the static program that runs the cases inside the recorded kernel.
 *
 *   truth insmod FILE...                load modules, in order
 *   truth copy FROM TO                  copy a device, leaving out runs of zeros
 *   truth addkey MOUNTPOINT HEX         add an fscrypt v2 master key
 *   truth allocate OPERATIONS MOUNTPOINT
 *                                       lines "allocate|write|size|collapse|punch|verity FILE OFFSET LENGTH": fallocate(2), O_DIRECT writes,
 *                                       ftruncate(2) to LENGTH
 *   truth fiemap FILE                   print {"fiemap":FILE,"extents":[[logical,physical,length,flags],...]}
 *   truth cases CASES DEVICE MOUNTPOINT FSTYPE [count=PROBES] [time=N] [key=HEX] [folios]
 *                                       run the cases of a file, print one JSON object a line; folios: with the
 *                                       folios and windows of readahead (the module loaded with log_folios=1)
 *
 * A case is a line of words key=value:
 *   name=     what the record is called
 *   file=     the file to read, below the mount point
 *   ops=      buffer, mpage, own, nop, small, buffer-small, mpage-small, nop-small: see readpath_truth.c
 *   es=       warm: all extents and holes in the status cache; es_cold: tree blocks in memory, status cache cleared;
 *             all_cold: freshly mounted
 *   reads=    a file of lines "offset length descriptor": the preads to make
 *   advice=   normal, random, sequential: posix_fadvise of every descriptor
 *   cached=   a file of lines "offset length": brought into the page cache before
 *   written=  a file of lines "offset length": rewritten as they are before, so that pages have buffers
 *   set=      a file of lines "sysfs-path value": written before the case
 * All of it comes from the host; nothing here knows a layout or an access pattern.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PRECACHE_EXTENTS _IO('f', 18)
#define CLEAR_STATUS_CACHE _IO('f', 40)
#define CONTROL "/sys/kernel/debug/readpath_truth/ctl"
#define EVENTS "/sys/kernel/debug/readpath_truth/log"
#define TRACING "/sys/kernel/tracing/"
#define MOST_PROBES 300
#define MOST_RANGES 65536
#define MOST_DESCRIPTORS 4
#define BUFFER_BYTES (1 << 20)

static void die(const char *what)
{
	fprintf(stderr, "truth: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND), ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text)) < 0 ? -1 : 0;
	close(fd);
	return ret;
}

static void control(const char *format, ...)
{
	char command[128];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (write_text(CONTROL, command))
		die(command);
}

/* ---- offsets and lengths ---- */

struct range {
	off_t offset;
	size_t length;
	int descriptor;
};
struct ranges {
	unsigned count;
	struct range *list;
};

static struct ranges read_ranges(const char *path)
{
	struct ranges ranges = { 0, malloc(MOST_RANGES * sizeof(struct range)) };
	char line[128];
	FILE *file = fopen(path, "r");

	if (!file || !ranges.list)
		die(path);
	while (fgets(line, sizeof(line), file) && ranges.count < MOST_RANGES) {
		struct range *range = &ranges.list[ranges.count];
		long long offset;

		range->descriptor = 0;
		if (sscanf(line, "%lld %zu %d", &offset, &range->length, &range->descriptor) < 2)
			continue;
		range->offset = offset;
		ranges.count++;
	}
	fclose(file);
	return ranges;
}

static char *buffer;

static void do_reads(const struct ranges *reads, const int *fds)
{
	for (unsigned i = 0; i < reads->count; i++) {
		const struct range *read = &reads->list[i];

		if (pread(fds[read->descriptor], buffer, read->length, read->offset) <= 0)
			die("pread");
	}
}

/* ---- probes ---- */

static struct {
	char name[64];
	int placed;
	uint64_t before, after;
} probes[MOST_PROBES];
static int probe_count;

/*
 * Lines "name symbol", the symbol maybe with its module before a colon. What the kernel lacks is left out. An
 * earlier run of this boot has placed the same ones: to take them away takes longer than to run its cases.
 */
static void place_probes(const char *path)
{
	char line[200], symbol[100], event[256];
	FILE *file = fopen(path, "r");
	int there = !access(TRACING "events/truth", F_OK);
	int fd = open(TRACING "kprobe_events", O_WRONLY | O_APPEND);

	if (!file || fd < 0)
		die(path);
	while (fgets(line, sizeof(line), file) && probe_count < MOST_PROBES) {
		if (sscanf(line, "%63s %99s", probes[probe_count].name, symbol) != 2 || line[0] == '#')
			continue;
		if (there)
			snprintf(event, sizeof(event), TRACING "events/truth/%s", probes[probe_count].name);
		else
			snprintf(event, sizeof(event), "p:truth/%s %s\n", probes[probe_count].name, symbol);
		probes[probe_count++].placed = there ? !access(event, F_OK) : write(fd, event, strlen(event)) > 0;
	}
	fclose(file);
	close(fd);
	write_text(TRACING "tracing_on", "0"); /* counters only, no trace records */
	if (!there && write_text(TRACING "events/truth/enable", "1"))
		die("enable probes");
}

static void read_profile(int after)
{
	static char text[1 << 16];
	int fd = open(TRACING "kprobe_profile", O_RDONLY), length = 0, got;

	if (fd < 0)
		die("kprobe_profile");
	while ((got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += got;
	close(fd);
	text[length] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char name[128];
		unsigned long hits;

		if (sscanf(line, " %127s %lu", name, &hits) < 2)
			continue;
		for (int i = 0; i < probe_count; i++)
			if (probes[i].placed && !strcmp(probes[i].name, name)) {
				if (after)
					probes[i].after = hits;
				else
					probes[i].before = hits;
				break;
			}
	}
}

static void print_counts(void)
{
	const char *comma = "";

	printf(",\"counts\":{");
	for (int i = 0; i < probe_count; i++)
		if (probes[i].placed) {
			printf("%s\"%s\":%lu", comma, probes[i].name, probes[i].after - probes[i].before);
			comma = ",";
		}
	printf("}");
}

/* ---- block events ---- */

struct event {
	uint32_t sector;
	uint16_t sectors;
	uint8_t kind, flags;
};
static const char *KINDS[] = { "", "bio_queue", "bio_backmerge", "bio_frontmerge", "getrq", "rq_issue", "rq_insert",
	"rq_merge", "rq_complete", "bio_complete", "plug", "unplug", "split" };
enum { BIO_QUEUE = 1, RQ_ISSUE = 5, KIND_COUNT = 13, FOLIO = 13, WINDOW, WINDOW_ASYNC, UNBOUNDED, UNBOUNDED_LOOKAHEAD,
	ALL_KINDS, FLAG_META = 1, FLAG_WRITE = 4, FIRST_BIOS = 16, FIRST_FOLIOS = 96, FIRST_WINDOWS = 48 };

static int folios;

/* Folios by order; the first ones [index, order]; windows [index, pages, async, order], bare runs [index, pages, lookahead]. */
static void print_folios(const struct event *events, long length)
{
	long orders[16] = { 0 }, shown = 0, windows = 0, bare = 0;
	const char *comma = "";

	for (long i = 0; i < length; i++) {
		if (events[i].kind == FOLIO)
			orders[events[i].sectors & 15]++;
		windows += events[i].kind == WINDOW;
		bare += events[i].kind == UNBOUNDED;
	}
	printf(",\"folio_orders\":{");
	for (int order = 0; order < 16; order++)
		if (orders[order]) {
			printf("%s\"%d\":%ld", comma, order, orders[order]);
			comma = ",";
		}
	printf("},\"first_folios\":[");
	for (long i = 0; i < length && shown < FIRST_FOLIOS; i++)
		if (events[i].kind == FOLIO)
			printf("%s[%u,%u]", shown++ ? "," : "", events[i].sector, events[i].sectors);
	printf("],\"windows\":%ld,\"bare_runs\":%ld,\"first_windows\":[", windows, bare);
	shown = 0;
	for (long i = 0; i + 1 < length && shown < FIRST_WINDOWS; i++)
		if (events[i].kind == WINDOW)
			printf("%s[%u,%u,%u,%u]", shown++ ? "," : "", events[i].sector, events[i].sectors,
				events[i + 1].sector, events[i + 1].sectors);
		else if (events[i].kind == UNBOUNDED)
			printf("%s[%u,%u,%u]", shown++ ? "," : "", events[i].sector, events[i].sectors, events[i + 1].sector);
	printf("]");
}

static void print_events(void)
{
	static struct event *events;
	static uint32_t sizes[2][65536];
	static const char *size_names[2] = { "bio_sectors_hist", "rq_sectors_hist" };
	long counts[ALL_KINDS] = { 0 }, meta = 0, length = 0, got, shown = 0;
	int fd = open(EVENTS, O_RDONLY);

	if (!events)
		events = malloc(8 << 20);
	if (fd < 0 || !events)
		die(EVENTS);
	while ((got = read(fd, (char *)events + length, (8 << 20) - length)) > 0)
		length += got;
	close(fd);
	length /= sizeof(struct event);
	memset(sizes, 0, sizeof(sizes));
	for (long i = 0; i < length; i++) {
		struct event *event = &events[i];

		counts[event->kind]++;
		if (event->kind == BIO_QUEUE && event->flags & FLAG_META)
			meta++;
		if (event->kind >= KIND_COUNT || event->flags & (FLAG_META | FLAG_WRITE))
			continue;
		if (event->kind == BIO_QUEUE)
			sizes[0][event->sectors]++;
		if (event->kind == RQ_ISSUE)
			sizes[1][event->sectors]++;
	}
	printf(",\"blk\":{");
	for (int kind = 1; kind < KIND_COUNT; kind++)
		printf("\"%s\":%ld,", KINDS[kind], counts[kind]);
	printf("\"meta_bios\":%ld", meta);
	for (int which = 0; which < 2; which++) {
		const char *comma = "";

		printf(",\"%s\":{", size_names[which]);
		for (int size = 0; size < 65536; size++)
			if (sizes[which][size]) {
				printf("%s\"%d\":%u", comma, size, sizes[which][size]);
				comma = ",";
			}
		printf("}");
	}
	printf(",\"first_bios\":[");
	for (long i = 0; i < length && shown < FIRST_BIOS; i++)
		if (events[i].kind == BIO_QUEUE)
			printf("%s[%u,%u,%u]", shown++ ? "," : "", events[i].sector, events[i].sectors, events[i].flags);
	printf("]}");
	if (folios)
		print_folios(events, length);
}

/* ---- fscrypt ---- */

static const char *key_hex;

static void add_key(const char *mount_point)
{
	struct fscrypt_add_key_arg *arg = calloc(1, sizeof(*arg) + 64);
	int fd = open(mount_point, O_RDONLY | O_DIRECTORY);

	if (fd < 0 || !arg)
		die(mount_point);
	arg->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
	arg->raw_size = strlen(key_hex) / 2;
	for (unsigned i = 0; i < arg->raw_size; i++) {
		unsigned byte;

		sscanf(key_hex + 2 * i, "%2x", &byte);
		arg->raw[i] = byte;
	}
	if (ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, arg))
		die("add the encryption key");
	close(fd);
	free(arg);
}

/* ---- cases ---- */

static const char *device, *mount_point, *fstype;
static int counting, repetitions = 1, timing;

static void mount_with(unsigned long flags)
{
	/* Without the bitmap prefetch of ext4: nothing but the case uses the device. */
	const char *options = strcmp(fstype, "ext4") ? "" : "no_prefetch_block_bitmaps";

	if (mount(device, mount_point, fstype, MS_NOATIME | flags, options))
		die("mount");
}

static void mount_it(unsigned long flags)
{
	mount_with(flags);
	if (key_hex)
		add_key(mount_point);
}

static void mount_again(void)
{
	if (umount(mount_point))
		die("umount");
	mount_it(MS_RDONLY);
}

static const char *value_of(const char *line, const char *key, char *to, size_t room)
{
	char word[64];
	const char *at;
	size_t length;

	snprintf(word, sizeof(word), " %s=", key);
	at = strstr(line, word);
	if (!at)
		return NULL;
	at += strlen(word);
	length = strcspn(at, " \n");
	if (length >= room)
		die("a word of a case is too long");
	memcpy(to, at, length);
	to[length] = 0;
	return to;
}

static void apply_settings(const char *path)
{
	char line[256], where[160], value[64];
	FILE *file = fopen(path, "r");

	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%159s %63s", where, value) == 2 && write_text(where, value))
			die(where);
	fclose(file);
}

/* Rewrite ranges with their own bytes, under a mount that can be written to for just that long. */
static void rewrite(const char *path, const struct ranges *ranges)
{
	int source = open(path, O_RDONLY | O_DIRECT), fd;

	if (source < 0)
		die(path);
	mount_with(MS_REMOUNT);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		die(path);
	for (unsigned i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->list[i];

		if (pread(source, buffer, range->length, range->offset) != (ssize_t)range->length ||
		    pwrite(fd, buffer, range->length, range->offset) != (ssize_t)range->length)
			die("rewrite");
	}
	fsync(fd);
	close(fd);
	close(source);
	mount_with(MS_REMOUNT | MS_RDONLY);
}

static uint64_t instructions(void)
{
	unsigned low, high; /* with -icount shift=0 the time stamp counter counts guest instructions */

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void run_case(const char *line)
{
	char name[200], file[128], path[256], ops[16], es[16], reads_path[128], advice[16], other[128];
	int advised = POSIX_FADV_NORMAL, fds[MOST_DESCRIPTORS], used = 1;
	struct ranges reads, cached = { 0 }, written = { 0 };
	uint64_t times[64];

	if (!value_of(line, "name", name, sizeof(name)) || !value_of(line, "file", file, sizeof(file)) ||
	    !value_of(line, "ops", ops, sizeof(ops)) || !value_of(line, "es", es, sizeof(es)) ||
	    !value_of(line, "reads", reads_path, sizeof(reads_path)))
		die(line);
	snprintf(path, sizeof(path), "%s/%s", mount_point, file);
	reads = read_ranges(reads_path);
	for (unsigned i = 0; i < reads.count; i++)
		if (reads.list[i].descriptor >= used)
			used = reads.list[i].descriptor + 1;
	if (value_of(line, "advice", advice, sizeof(advice)))
		advised = !strcmp(advice, "random") ? POSIX_FADV_RANDOM :
			!strcmp(advice, "sequential") ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_NORMAL;
	if (value_of(line, "cached", other, sizeof(other)))
		cached = read_ranges(other);
	if (value_of(line, "written", other, sizeof(other)))
		written = read_ranges(other);
	if (value_of(line, "set", other, sizeof(other)))
		apply_settings(other);

	for (int round = 0; round < repetitions; round++) {
		int own = !strcmp(ops, "own"), fd;
		if (!strcmp(es, "all_cold"))
			mount_again();
		fd = open(path, O_RDONLY);
		if (fd < 0)
			die(path);
		if (!own)
			control("swap %d %s", fd, ops);
		if (strcmp(es, "all_cold"))
			ioctl(fd, PRECACHE_EXTENTS);
		if (!strcmp(es, "warm") && round == 0) {
			/* FIEMAP maps all of the file, and so also the holes between two leaves into the cache. */
			struct fiemap count_only = { .fm_length = ~0ull };

			if (ioctl(fd, FS_IOC_FIEMAP, &count_only))
				die("fiemap");
		}
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (written.count)
			rewrite(path, &written);
		if (cached.count) {
			int first = open(path, O_RDONLY);

			posix_fadvise(first, 0, 0, POSIX_FADV_RANDOM);
			do_reads(&cached, &first);
			close(first);
		}
		if (!strcmp(es, "es_cold") && ioctl(fd, CLEAR_STATUS_CACHE) && !strcmp(fstype, "ext4"))
			die("clear the status cache");
		for (int i = 0; i < used; i++) {
			fds[i] = open(path, O_RDONLY);
			if (advised != POSIX_FADV_NORMAL)
				posix_fadvise(fds[i], 0, 0, advised);
		}
		usleep(1000);
		if (counting) {
			control("log on");
			read_profile(0);
		}
		times[round] = instructions();
		do_reads(&reads, fds);
		times[round] = instructions() - times[round];
		if (counting) {
			usleep(20000); /* read-ahead that nobody waited for */
			read_profile(1);
			control("log stop");
		}
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (!own)
			control("swap %d own", fd);
		for (int i = 0; i < used; i++)
			close(fds[i]);
		close(fd);
	}
	printf("{\"case\":\"%s\"", name);
	if (counting) {
		print_counts();
		print_events();
	}
	if (timing) {
		printf(",\"t_all\":[");
		for (int i = 0; i < repetitions; i++)
			printf("%s%lu", i ? "," : "", times[i]);
		qsort(times, repetitions, sizeof(times[0]), compare_u64);
		printf("],\"t_n\":%d,\"t_min\":%lu,\"t_median\":%lu,\"t_max\":%lu", repetitions, times[0],
			times[repetitions / 2], times[repetitions - 1]);
	}
	printf(",\"ok\":1}\n");
	fflush(stdout);
	free(reads.list);
	free(cached.list);
	free(written.list);
}

static int run_cases(int count, char **words)
{
	char line[1024] = " ";
	FILE *file = fopen(words[0], "r");

	if (!file)
		die(words[0]);
	device = words[1];
	mount_point = words[2];
	fstype = words[3];
	for (int i = 4; i < count; i++) {
		if (!strncmp(words[i], "count=", 6)) {
			counting = 1;
			place_probes(words[i] + 6);
		} else if (!strncmp(words[i], "time=", 5)) {
			timing = 1;
			repetitions = atoi(words[i] + 5);
		} else if (!strncmp(words[i], "key=", 4)) {
			key_hex = words[i] + 4;
		} else if (!strcmp(words[i], "folios")) {
			folios = 1;
		}
	}
	if (repetitions < 1 || repetitions > 64)
		die("time= takes 1 to 64");
	mount_it(MS_RDONLY);
	while (fgets(line + 1, sizeof(line) - 1, file))
		if (strstr(line, " name="))
			run_case(line);
	fclose(file);
	return umount(mount_point);
}

static int fiemap(const char *path)
{
	unsigned most = 40000;
	struct fiemap *map = calloc(1, sizeof(*map) + most * sizeof(struct fiemap_extent));
	int fd = open(path, O_RDONLY);

	if (fd < 0 || !map)
		die(path);
	map->fm_length = ~0ull;
	map->fm_extent_count = most;
	if (ioctl(fd, FS_IOC_FIEMAP, map))
		die("fiemap");
	printf("{\"fiemap\":\"%s\",\"extents\":[", path);
	for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
		struct fiemap_extent *extent = &map->fm_extents[i];

		printf("%s[%llu,%llu,%llu,%u]", i ? "," : "", (unsigned long long)extent->fe_logical,
			(unsigned long long)extent->fe_physical, (unsigned long long)extent->fe_length, extent->fe_flags);
	}
	printf("]}\n");
	return 0;
}

/* Files with wanted extents, made block by block; equal names in a row are opened once. */
static int allocate(const char *operations, const char *where)
{
	char line[256], verb[16], name[100], path[256], opened[256] = "";
	FILE *file = fopen(operations, "r");
	int fd = -1;

	if (!file)
		die(operations);
	while (fgets(line, sizeof(line), file)) {
		long long offset, length;

		if (sscanf(line, "%15s %99s %lld %lld", verb, name, &offset, &length) != 4)
			die(line);
		snprintf(path, sizeof(path), "%s/%s", where, name);
		if (strcmp(path, opened)) {
			if (fd >= 0)
				close(fd);
			fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);
			if (fd < 0)
				die(path);
			strcpy(opened, path);
		}
		if (!strcmp(verb, "allocate") && fallocate(fd, 0, offset, length))
			die(line);
		if (!strcmp(verb, "size") && ftruncate(fd, length))
			die(line);
		if (!strcmp(verb, "collapse") && fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, offset, length))
			die(line);
		if (!strcmp(verb, "punch") && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length))
			die(line);
		if (!strcmp(verb, "verity")) {
			struct fsverity_enable_arg arg = { .version = 1, .hash_algorithm = 1, .block_size = length };

			fsync(fd);
			close(fd);
			fd = open(path, O_RDONLY);
			if (fd < 0 || ioctl(fd, FS_IOC_ENABLE_VERITY, &arg))
				die(line);
			close(fd);
			fd = -1;
			opened[0] = 0;
		}
		for (long long at = 0; !strcmp(verb, "write") && at < length; at += BUFFER_BYTES) {
			long long bytes = length - at < BUFFER_BYTES ? length - at : BUFFER_BYTES;

			if (pwrite(fd, buffer, bytes, offset + at) != bytes)
				die(line);
		}
	}
	fclose(file);
	close(fd);
	sync();
	return 0;
}

static int copy_device(const char *from, const char *to)
{
	int source = open(from, O_RDONLY), target = open(to, O_WRONLY);
	off_t at = 0;
	ssize_t got;

	if (source < 0 || target < 0)
		die(from);
	while ((got = pread(source, buffer, 65536, at)) > 0) {
		if (buffer[0] || memcmp(buffer, buffer + 1, got - 1))
			if (pwrite(target, buffer, got, at) != got)
				die(to);
		at += got;
	}
	if (got < 0 || fsync(target))
		die(to);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (posix_memalign((void **)&buffer, 4096, BUFFER_BYTES))
		die("memory");
	memset(buffer, 0, BUFFER_BYTES);
	if (!strcmp(verb, "insmod")) {
		for (int i = 2; i < argc; i++) {
			int fd = open(argv[i], O_RDONLY);

			const char *words = strstr(argv[i], "null_blk") ? "nr_devices=0" : ""; /* the plans make theirs */

			if (fd < 0 || (syscall(SYS_finit_module, fd, words, 0) && errno != EEXIST))
				fprintf(stderr, "truth: insmod %s: %s\n", argv[i], strerror(errno));
			close(fd);
		}
		return 0;
	}
	if (!strcmp(verb, "copy") && argc == 4)
		return copy_device(argv[2], argv[3]);
	if (!strcmp(verb, "allocate") && argc == 4)
		return allocate(argv[2], argv[3]);
	if (!strcmp(verb, "addkey") && argc == 4) {
		key_hex = argv[3];
		add_key(argv[2]);
		return 0;
	}
	if (!strcmp(verb, "fiemap") && argc == 3)
		return fiemap(argv[2]);
	if (!strcmp(verb, "cases") && argc >= 6)
		return run_cases(argc - 2, argv + 2);
	fprintf(stderr, "truth: see the head of truth.c\n");
	return 2;
}

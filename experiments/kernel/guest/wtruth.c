// SPDX-License-Identifier: MIT
/*
 * wtruth: the static program that runs write cases inside the recorded kernel.
 *
 *   wtruth probes PROBES             place the counters, say which symbols the kernel lacks
 *   wtruth copyall FROM TO           copy a device
 *   wtruth copypieces FROM TO LIST   copy the pieces of 64 KiB that a file lists by number
 *   wtruth nullb NAME MB CACHE_MB IRQMODE   make a fresh null_blk (configfs), memory-backed; CACHE_MB 0: no volatile cache
 *   wtruth run CASE PROBES|-         run one case file, print one JSON object on one line
 *
 * A case file holds one command a line; "mark NAME" starts a counted phase, "mark -" an uncounted one.
 *   open I PATH r|w|rw|c|d|a       close I
 *   w I OFF LEN                    wseq I OFF LEN TOTAL [SYNC]     wl I LEN SYNC OFF...   (SYNC 0 none, 1 fsync, 2 fdatasync)
 *   wv I OFF LEN STEP COUNT SYNC   strided writes
 *   r I OFF LEN                    rseq I OFF LEN TOTAL
 *   fsync I   fdatasync I   sfr I OFF LEN FLAGS   syncfs I   sync
 *   falloc I MODE OFF LEN   trunc I LEN   many DIR N SIZE SYNC   mkdir P   unlink P   rename A B   fill PATH CHUNK
 *   sleep MS   drop   dontneed I   swap I WHICH   esclear I   precache I   fiemap PATH TAG
 *   set PATH VALUE   mount DEV FSTYPE OPTIONS|-   umount   addkey HEX   policy DIR HEXID   clone FROM_I TO_I
 *   setbsz I SIZE   verity I   sh COMMAND
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
#define CONTROL "/sys/kernel/debug/writepath_truth/ctl"
#define EVENTS "/sys/kernel/debug/writepath_truth/log"
#define TRACING "/sys/kernel/tracing/"
#define MOST_PROBES 400
#define MOST_PHASES 16
#define MOST_FILES 64
#define BUFFER_BYTES (4 << 20)

static char *buffer;
static const char *where = "?";

static void die(const char *what)
{
	fprintf(stderr, "wtruth: %s: %s: %s\n", where, what, strerror(errno));
	printf("{\"failed\":\"%s: %s\"}\n", what, strerror(errno));
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

static int control_fd = -1;
static void control(const char *format, ...)
{
	char command[128];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (control_fd < 0)
		control_fd = open(CONTROL, O_WRONLY);
	if (write(control_fd, command, strlen(command)) < 0)
		die(command);
}

/* ---- probes ---- */

static struct {
	char name[64];
	int placed;
	uint64_t last, in[MOST_PHASES];
} probes[MOST_PROBES];
static int probe_count;

static void load_probes(const char *path, int place)
{
	char line[200], symbol[100], event[256], maxed[64];
	FILE *file = fopen(path, "r");
	int fd = -1;

	if (place) {
		write_text(TRACING "events/truth/enable", "0");
		fd = open(TRACING "kprobe_events", O_WRONLY | O_TRUNC);
	}
	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file) && probe_count < MOST_PROBES) {
		int words = sscanf(line, "%63s %99s %63s", probes[probe_count].name, symbol, maxed);

		if (words < 1 || line[0] == '#')
			continue;
		if (words < 2)
			strcpy(symbol, probes[probe_count].name);
		probes[probe_count].placed = 1;
		if (place) {
			snprintf(event, sizeof(event), "p:truth/%s %s\n", probes[probe_count].name, symbol);
			probes[probe_count].placed = write(fd, event, strlen(event)) > 0;
		}
		probe_count++;
	}
	fclose(file);
	if (place) {
		close(fd);
		write_text(TRACING "tracing_on", "0");
		if (write_text(TRACING "events/truth/enable", "1"))
			die("enable probes");
	}
}

static void read_profile(int phase)
{
	static char text[1 << 17];
	int fd, length = 0, got, i = 0;

	if (!probe_count)
		return;
	fd = open(TRACING "kprobe_profile", O_RDONLY);
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
		for (int n = 0; n < probe_count; n++, i = (i + 1) % probe_count)
			if (!strcmp(probes[i].name, name)) {
				if (phase >= 0)
					probes[i].in[phase] += hits - probes[i].last;
				probes[i].last = hits;
				break;
			}
	}
}

/* ---- phases ---- */

static struct {
	char name[24];
	uint64_t ticks, began;
} phases[MOST_PHASES];
static int phase_count, current = -1;

static uint64_t ticks(void)
{
	unsigned low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void mark(const char *name)
{
	uint64_t now = ticks();
	int next = -1;

	if (current >= 0)
		phases[current].ticks += now - phases[current].began;
	read_profile(current);
	if (strcmp(name, "-")) {
		for (next = 0; next < phase_count && strcmp(phases[next].name, name); next++)
			;
		if (next == phase_count) {
			snprintf(phases[next].name, sizeof(phases[0].name), "%s", name);
			phase_count++;
		}
	}
	control("phase %d", next < 0 ? 255 : next);
	current = next;
	if (next >= 0)
		phases[next].began = ticks();
}

/* ---- block events ---- */

struct event {
	uint32_t sector, sectors;
	uint16_t flags;
	uint8_t kind, who, phase, dev, spare[2];
};
static const char *KINDS[] = { "", "bio_queue", "bio_backmerge", "bio_frontmerge", "getrq", "rq_issue", "rq_insert",
	"rq_merge", "rq_complete", "bio_complete", "plug", "unplug", "split" };
enum { BIO_QUEUE = 1, RQ_ISSUE = 5, KIND_COUNT = 13, MOST_BIOS = 30000 };

static void print_list(const struct event *events, long length, int kind, const char *name)
{
	const char *comma = "";
	long shown = 0, all = 0;

	printf(",\"%s\":[", name);
	for (long i = 0; i < length; i++)
		if (events[i].kind == kind && events[i].phase < MOST_PHASES) {
			all++;
			if (shown++ >= MOST_BIOS)
				continue;
			printf("%s[%u,%u,%u,%u,%u,%u]", comma, events[i].phase, events[i].sector, events[i].sectors,
			       events[i].flags, events[i].who, events[i].dev);
			comma = ",";
		}
	printf("],\"%s_all\":%ld", name, all);
}

static void print_events(void)
{
	static struct event *events;
	static long counts[MOST_PHASES][KIND_COUNT];
	long length = 0, got;
	int fd = open(EVENTS, O_RDONLY);

	events = malloc(17 << 20);
	if (fd < 0 || !events)
		die(EVENTS);
	while ((got = read(fd, (char *)events + length, (16 << 20) - length)) > 0)
		length += got;
	close(fd);
	length /= sizeof(struct event);
	for (long i = 0; i < length; i++)
		if (events[i].phase < MOST_PHASES)
			counts[events[i].phase][events[i].kind]++;
	printf(",\"blk\":[");
	for (int p = 0; p < phase_count; p++) {
		const char *comma = "";

		printf("%s{", p ? "," : "");
		for (int kind = 1; kind < KIND_COUNT; kind++)
			if (counts[p][kind]) {
				printf("%s\"%s\":%ld", comma, KINDS[kind], counts[p][kind]);
				comma = ",";
			}
		printf("}");
	}
	printf("]");
	print_list(events, length, BIO_QUEUE, "bios");
	print_list(events, length, RQ_ISSUE, "requests");
}

/* ---- the commands ---- */

static int files[MOST_FILES];
static char fiemaps[1 << 21];
static size_t fiemap_length;

static void note_fiemap(const char *path, const char *tag)
{
	struct fiemap *map = calloc(1, sizeof(*map) + 512 * sizeof(struct fiemap_extent));
	uint64_t start = 0;
	const char *comma = "";
	struct stat st;
	int fd = open(path, O_RDONLY), last = 0;

	if (fd < 0 || fstat(fd, &st))
		die(path);
#define NOTE(...) fiemap_length += snprintf(fiemaps + fiemap_length, sizeof(fiemaps) - fiemap_length, __VA_ARGS__)
	NOTE("%s{\"tag\":\"%s\",\"path\":\"%s\",\"inode\":%lu,\"size\":%ld,\"blocks512\":%ld,\"extents\":[",
	     fiemap_length ? "," : "", tag, path, (unsigned long)st.st_ino, (long)st.st_size, (long)st.st_blocks);
	while (!last) {
		map->fm_start = start;
		map->fm_length = ~0ull - start;
		map->fm_flags = 0;
		map->fm_extent_count = 512;
		if (ioctl(fd, FS_IOC_FIEMAP, map) || !map->fm_mapped_extents)
			break;
		for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
			struct fiemap_extent *e = &map->fm_extents[i];

			if (fiemap_length + 200 > sizeof(fiemaps))
				break;
			NOTE("%s[%llu,%llu,%llu,%u]", comma, e->fe_logical, e->fe_physical, e->fe_length, e->fe_flags);
			comma = ",";
			start = e->fe_logical + e->fe_length;
			if (e->fe_flags & FIEMAP_EXTENT_LAST)
				last = 1;
		}
	}
	NOTE("]}");
	close(fd);
	free(map);
}

static void sync_one(int fd, int how)
{
	if ((how == 1 && fsync(fd)) || (how == 2 && fdatasync(fd)))
		die("fsync");
}

static void fresh_bytes(void)
{
	static uint32_t turn;

	turn++;
	for (int i = 0; i < BUFFER_BYTES; i += 512)
		memcpy(buffer + i, &turn, 4);
}

static void put(int fd, off_t at, size_t length)
{
	while (length) {
		size_t now = length < BUFFER_BYTES ? length : BUFFER_BYTES;

		if (pwrite(fd, buffer, now, at) != (ssize_t)now)
			die("pwrite");
		at += now;
		length -= now;
	}
}

static void get(int fd, off_t at, size_t length)
{
	while (length) {
		ssize_t got = pread(fd, buffer, length < BUFFER_BYTES ? length : BUFFER_BYTES, at);

		if (got <= 0)
			break;
		at += got;
		length -= got;
	}
}

static void add_key(const char *hex)
{
	struct fscrypt_add_key_arg *arg = calloc(1, sizeof(*arg) + 64);
	int fd = open("/mnt", O_RDONLY | O_DIRECTORY);

	arg->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
	arg->raw_size = strlen(hex) / 2;
	for (unsigned i = 0; i < arg->raw_size; i++) {
		unsigned byte;

		sscanf(hex + 2 * i, "%2x", &byte);
		arg->raw[i] = byte;
	}
	if (fd < 0 || ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, arg))
		die("add the encryption key");
	/* keep the identifier for "policy" */
	memcpy(buffer + BUFFER_BYTES - 64, arg->key_spec.u.identifier, 16);
	close(fd);
	free(arg);
}

static void set_policy(const char *path)
{
	struct fscrypt_policy_v2 policy = { .version = 2, .contents_encryption_mode = 1, .filenames_encryption_mode = 4,
		.flags = 3 };
	int fd = open(path, O_RDONLY | O_DIRECTORY);

	memcpy(policy.master_key_identifier, buffer + BUFFER_BYTES - 64, 16);
	if (fd < 0 || ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy))
		die("policy");
	close(fd);
}

static void command(char *line)
{
	char a[256] = "", b[2048] = "", c[256] = "";
	long long n[8] = { 0 };
	char verb[32];
	int count, words;

	if (sscanf(line, "%31s", verb) != 1 || verb[0] == '#')
		return;
	where = line;
	words = sscanf(line, "%*s %lld %lld %lld %lld %lld %lld", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]);
	count = sscanf(line, "%*s %255s %2047s %255s", a, b, c);
#define IS(x) (!strcmp(verb, x))
#define FD files[n[0]]
	if (IS("mark")) {
		mark(a);
	} else if (IS("open")) {
		int flags = !strcmp(c, "r") ? O_RDONLY : !strcmp(c, "w") ? O_WRONLY : !strcmp(c, "c") ? O_RDWR | O_CREAT :
			!strcmp(c, "d") ? O_RDWR | O_DIRECT | O_CREAT : !strcmp(c, "a") ? O_RDWR | O_APPEND : O_RDWR;

		if ((FD = open(b, flags, 0644)) < 0)
			die(b);
	} else if (IS("close")) {
		close(FD);
	} else if (IS("w")) {
		put(FD, n[1], n[2]);
	} else if (IS("wseq")) {
		for (long long at = 0; at < n[3]; at += n[2]) {
			put(FD, n[1] + at, n[3] - at < n[2] ? n[3] - at : n[2]);
			sync_one(FD, n[4]);
		}
	} else if (IS("wv")) {
		for (long long i = 0; i < n[4]; i++) {
			put(FD, n[1] + i * n[3], n[2]);
			sync_one(FD, n[5]);
		}
	} else if (IS("wl")) {
		char *at = line;

		for (int i = 0; i < 4; i++)
			at = strchr(at, ' ') + 1;
		for (char *word = strtok(at, " \n"); word; word = strtok(NULL, " \n")) {
			put(FD, atoll(word), n[1]);
			sync_one(FD, n[2]);
		}
	} else if (IS("r")) {
		get(FD, n[1], n[2]);
		fresh_bytes();
	} else if (IS("rseq")) {
		for (long long at = 0; at < n[3]; at += n[2])
			get(FD, n[1] + at, n[2]);
	} else if (IS("fsync")) {
		sync_one(FD, 1);
	} else if (IS("fdatasync")) {
		sync_one(FD, 2);
	} else if (IS("sfr")) {
		if (sync_file_range(FD, n[1], n[2], n[3]))
			die("sync_file_range");
	} else if (IS("syncfs")) {
		if (syncfs(FD))
			die("syncfs");
	} else if (IS("sync")) {
		sync();
	} else if (IS("falloc")) {
		if (fallocate(FD, n[1], n[2], n[3]))
			die("fallocate");
	} else if (IS("falternate")) { /* falternate I J LEN COUNT: one extent to each in turn */
		for (long long i = 0; i < n[3]; i++)
			if (fallocate(files[n[0]], 0, i * n[2], n[2]) || fallocate(files[n[1]], 0, i * n[2], n[2]))
				die("fallocate");
	} else if (IS("trunc")) {
		if (ftruncate(FD, n[1]))
			die("ftruncate");
	} else if (IS("many")) {
		long long number, size, how;

		sscanf(line, "%*s %*s %lld %lld %lld", &number, &size, &how);
		for (long long i = 0; i < number; i++) {
			char path[300];
			int fd;

			snprintf(path, sizeof(path), "%s/f%04lld", a, i);
			if ((fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644)) < 0)
				die(path);
			put(fd, 0, size);
			sync_one(fd, how);
			close(fd);
		}
	} else if (IS("mkdir")) {
		if (mkdir(a, 0755))
			die(a);
	} else if (IS("unlink")) {
		if (unlink(a))
			die(a);
	} else if (IS("rename")) {
		if (rename(a, b))
			die(a);
	} else if (IS("fill")) {
		off_t at = 0;
		long long chunk = atoll(b), least = atoll(c);
		int fd = open(a, O_RDWR | O_CREAT, 0644);

		while (chunk >= least)
			if (fallocate(fd, 0, at, chunk))
				chunk /= 2;
			else
				at += chunk;
		close(fd);
	} else if (IS("sleep")) {
		usleep(n[0] * 1000);
	} else if (IS("drop")) {
		sync();
		if (write_text("/proc/sys/vm/drop_caches", "3"))
			die("drop");
	} else if (IS("dontneed")) {
		posix_fadvise(FD, 0, 0, POSIX_FADV_DONTNEED);
	} else if (IS("random")) {
		posix_fadvise(FD, 0, 0, POSIX_FADV_RANDOM);
	} else if (IS("swap")) {
		control("swap %d %s", FD, b);
	} else if (IS("esclear")) {
		ioctl(FD, CLEAR_STATUS_CACHE);
	} else if (IS("precache")) {
		ioctl(FD, PRECACHE_EXTENTS);
	} else if (IS("fiemap")) {
		note_fiemap(a, b);
	} else if (IS("set")) {
		if (write_text(a, b))
			die(a);
	} else if (IS("mount")) {
		unsigned long flags = MS_NOATIME;

		if (!strncmp(c, "ro,", 3))
			flags |= MS_RDONLY;
		if (mount(a, "/mnt", b, flags, strcmp(c, "-") ? c + (flags & MS_RDONLY ? 3 : 0) : ""))
			die("mount");
	} else if (IS("umount")) {
		if (umount("/mnt"))
			die("umount");
	} else if (IS("addkey")) {
		add_key(a);
	} else if (IS("policy")) {
		set_policy(a);
	} else if (IS("clone")) {
		if (ioctl(files[n[1]], FICLONE, files[n[0]]))
			die("FICLONE");
	} else if (IS("setbsz")) {
		int size = n[1];

		if (ioctl(FD, BLKBSZSET, &size))
			die("BLKBSZSET");
	} else if (IS("verity")) {
		struct fsverity_enable_arg arg = { .version = 1, .hash_algorithm = 1, .block_size = 4096 };

		if (ioctl(FD, FS_IOC_ENABLE_VERITY, &arg))
			die("FS_IOC_ENABLE_VERITY");
	} else if (IS("sh")) {
		if (system(line + 3))
			die("sh");
	} else {
		errno = EINVAL;
		die(verb);
	}
	(void)count;
	(void)words;
}

static int run_case(const char *path, const char *probes_path)
{
	static char lines[1 << 20], name[200];
	FILE *file = fopen(path, "r");
	size_t length;
	int counting = strcmp(probes_path, "-") != 0;

	if (!file)
		die(path);
	length = fread(lines, 1, sizeof(lines) - 1, file);
	lines[length] = 0;
	fclose(file);
	if (counting)
		load_probes(probes_path, 0);
	fresh_bytes();
	if (counting)
		control("log on");
	mark("-");
	for (char *line = lines, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (!strncmp(line, "case ", 5))
			snprintf(name, sizeof(name), "%s", line + 5);
		else
			command(line);
	}
	mark("-");
	if (counting)
		control("log stop");
	printf("{\"case\":\"%s\",\"phases\":[", name);
	for (int p = 0; p < phase_count; p++) {
		const char *comma = "";

		printf("%s{\"name\":\"%s\",\"ticks\":%lu,\"counts\":{", p ? "," : "", phases[p].name, phases[p].ticks);
		for (int i = 0; i < probe_count; i++)
			if (probes[i].in[p]) {
				printf("%s\"%s\":%lu", comma, probes[i].name, probes[i].in[p]);
				comma = ",";
			}
		printf("}}");
	}
	printf("]");
	if (counting)
		print_events();
	printf(",\"files\":[%s]}\n", fiemaps);
	fflush(stdout);
	return 0;
}

/* Copy all of a device. */
static int copy_device(const char *from, const char *to)
{
	int source = open(from, O_RDONLY), target = open(to, O_WRONLY | O_DIRECT);
	off_t at = 0;
	ssize_t got;

	if (target < 0)
		target = open(to, O_WRONLY);
	if (source < 0 || target < 0)
		die(from);
	while ((got = pread(source, buffer, 65536, at)) > 0) {
		if (pwrite(target, buffer, got, at) != got)
			die(to);
		at += got;
	}
	if (got < 0 || fsync(target))
		die(to);
	close(target);
	return 0;
}

/* The same, reading only the pieces of 64 KiB that a file lists. */
static int copy_pieces(const char *from, const char *to, const char *list)
{
	int source = open(from, O_RDONLY), target = open(to, O_WRONLY | O_DIRECT);
	FILE *file = fopen(list, "r");
	long long piece;

	if (target < 0)
		target = open(to, O_WRONLY);
	if (source < 0 || target < 0 || !file)
		die(list);
	while (fscanf(file, "%lld", &piece) == 1) {
		ssize_t got = pread(source, buffer, 65536, piece * 65536);

		if (got <= 0 || pwrite(target, buffer, got, piece * 65536) != got)
			die(to);
	}
	return fsync(target) ? 1 : 0;
}

static int make_nullb(const char *name, const char *mb, const char *cache, const char *irq)
{
	char dir[100], path[200];
	const char *settings[][2] = { { "size", mb }, { "memory_backed", "1" }, { "blocksize", "512" }, { "queue_mode", "2" },
		{ "irqmode", irq }, { "max_sectors", "1280" }, { "submit_queues", "1" }, { "hw_queue_depth", "128" }, { "cache_size", cache },
		{ "index", "0" }, { "power", "1" } };

	snprintf(dir, sizeof(dir), "/sys/kernel/config/nullb/%s", name);
	snprintf(path, sizeof(path), "%s/power", dir);
	write_text(path, "0");
	rmdir(dir);
	if (mkdir(dir, 0755))
		die(dir);
	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, settings[i][0]);
		if (write_text(path, settings[i][1]) && strcmp(settings[i][0], "index"))
			die(path);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (posix_memalign((void **)&buffer, 4096, BUFFER_BYTES))
		die("memory");
	memset(buffer, 0x5a, BUFFER_BYTES);
	if (!strcmp(verb, "probes") && argc == 3) {
		load_probes(argv[2], 1);
		printf("{\"probes_missing\":[");
		for (int i = 0, first = 1; i < probe_count; i++)
			if (!probes[i].placed) {
				printf("%s\"%s\"", first ? "" : ",", probes[i].name);
				first = 0;
			}
		printf("]}\n");
		return 0;
	}
	if (!strcmp(verb, "copyall") && argc == 4)
		return copy_device(argv[2], argv[3]);
	if (!strcmp(verb, "copypieces") && argc == 5)
		return copy_pieces(argv[2], argv[3], argv[4]);
	if (!strcmp(verb, "nullb") && argc == 6)
		return make_nullb(argv[2], argv[3], argv[4], argv[5]);
	if (!strcmp(verb, "run") && argc == 4)
		return run_case(argv[2], argv[3]);
	fprintf(stderr, "wtruth: see the head of wtruth.c\n");
	return 2;
}

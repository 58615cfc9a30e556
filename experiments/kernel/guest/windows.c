// SPDX-License-Identifier: MIT
/*
 * windows: the static program that opens the instruction counter's window (plugin/symbols.c) around a few
 * operations inside the recorded kernel.
 *
 *   windows dm TABLE                make a device-mapper device of one line "sectors target arguments": /dev/dm-0
 *   windows undm                    take it away
 *   windows authtok SIGNATURE HEX   put an eCryptfs key of 64 bytes on the user's key ring
 *   windows run CASES FIRST         run the cases of a file, print {"case":NAME,"window":N} a line, N from FIRST
 *
 * A case is a line of words key=value:
 *   name=     what the record is called
 *   op=       read       the preads of reads=, front to back of the list, of one file
 *             open       open(2) every path of paths=
 *             getxattr   getxattr(2) attribute= of every path
 *             search     keyctl(KEYCTL_SEARCH) for a user's key attribute=, as often as there are paths
 *   paths=    a file with one path a line
 *   reads=    a file of lines "offset length"
 *   rounds=   how often all is done; the window is that of the last round
 *   drop=     before each round: pages (of the file), inodes (and dentries), all; else nothing
 *   held=1    the files are kept open all the while
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOST_PATHS 64
#define MOST_READS 65536
#define BUFFER_BYTES (1 << 20)
/* A 7-byte nop with a number in it: 1 opens the window, 2 closes it and has it written. */
#define WINDOW_OPEN() __asm__ volatile(".byte 0x0f,0x1f,0x80,0x01,0x00,0x54,0x67" ::: "memory")
#define WINDOW_CLOSE() __asm__ volatile(".byte 0x0f,0x1f,0x80,0x02,0x00,0x54,0x67" ::: "memory")

static char *buffer;

static void die(const char *what)
{
	fprintf(stderr, "windows: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- device mapper ---- */

static struct dm_ioctl *dm_request(const char *name)
{
	static char memory[4096];
	struct dm_ioctl *dm = (struct dm_ioctl *)memory;

	memset(memory, 0, sizeof(memory));
	dm->version[0] = DM_VERSION_MAJOR;
	dm->data_size = sizeof(memory);
	dm->data_start = sizeof(*dm);
	strcpy(dm->name, name);
	return dm;
}

static void dm_do(unsigned long what, struct dm_ioctl *dm, const char *called)
{
	int fd = open("/dev/mapper/control", O_RDWR);

	if (fd < 0 || ioctl(fd, what, dm))
		die(called);
	close(fd);
}

static int make_dm(const char *table)
{
	struct dm_ioctl *dm = dm_request("windows");
	struct dm_target_spec *target;
	unsigned long long sectors;
	int at = 0;

	dm_do(DM_DEV_CREATE, dm, "DM_DEV_CREATE");
	dm = dm_request("windows");
	target = (struct dm_target_spec *)((char *)dm + dm->data_start);
	if (sscanf(table, "%llu %15s %n", &sectors, target->target_type, &at) < 2 || !at)
		die(table);
	dm->target_count = 1;
	target->length = sectors;
	snprintf((char *)(target + 1), 2048, "%s", table + at);
	dm_do(DM_TABLE_LOAD, dm, "DM_TABLE_LOAD");
	dm_do(DM_DEV_SUSPEND, dm_request("windows"), "resume"); /* without DM_SUSPEND_FLAG it resumes */
	return 0;
}

/* ---- eCryptfs ---- */

struct ecryptfs_password_token { /* the layout of the kernel's interface, version 0.4 */
	uint32_t password_bytes;
	int32_t hash_algorithm;
	uint32_t hash_iterations, key_bytes, flags;
	uint8_t key[64], signature[17], salt[8];
};
struct ecryptfs_token {
	uint16_t version, type;
	uint32_t flags;
	struct {
		int32_t flags;
		uint32_t encrypted_bytes, decrypted_bytes;
		uint8_t encrypted[512], decrypted[64];
	} session;
	uint8_t reserved[32];
	struct ecryptfs_password_token password;
	uint8_t rest[8];
} __attribute__((packed));

static int add_token(const char *signature, const char *hex)
{
	struct ecryptfs_token token = { .version = 4, .password = { .hash_algorithm = 10, .hash_iterations = 65536,
		.key_bytes = 64, .flags = 2 /* the key is set */ } };

	for (int i = 0; i < 64; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			die("a key has 64 bytes");
		token.password.key[i] = byte;
	}
	snprintf((char *)token.password.signature, sizeof(token.password.signature), "%s", signature);
	if (syscall(SYS_add_key, "user", signature, &token, sizeof(token), KEY_SPEC_USER_KEYRING) < 0)
		die("add_key");
	if (syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) < 0)
		die("link the user's key ring");
	return 0;
}

/* ---- cases ---- */

static struct {
	off_t offset;
	size_t length;
} reads[MOST_READS];
static unsigned read_count;
static char paths[MOST_PATHS][160];
static unsigned path_count;

static const char *value_of(const char *line, const char *key)
{
	static char values[16][200]; /* more than a case has words */
	static int next;
	char word[64], *to = values[next++ % 16];
	const char *at;

	snprintf(word, sizeof(word), " %s=", key);
	at = strstr(line, word);
	if (!at)
		return NULL;
	snprintf(to, sizeof(values[0]), "%.*s", (int)strcspn(at + strlen(word), " \n"), at + strlen(word));
	return to;
}

static void load_lists(const char *of_paths, const char *of_reads)
{
	char line[200];
	FILE *file = fopen(of_paths, "r");

	if (!file)
		die(of_paths);
	for (path_count = 0; path_count < MOST_PATHS && fgets(line, sizeof(line), file); path_count++)
		snprintf(paths[path_count], sizeof(paths[0]), "%.*s", (int)strcspn(line, "\n"), line);
	fclose(file);
	read_count = 0;
	if (!of_reads)
		return;
	file = fopen(of_reads, "r");
	if (!file)
		die(of_reads);
	while (read_count < MOST_READS && fgets(line, sizeof(line), file)) {
		long long offset;

		if (sscanf(line, "%lld %zu", &offset, &reads[read_count].length) == 2)
			reads[read_count++].offset = offset;
	}
	fclose(file);
}

static void drop(const char *what, const int *held)
{
	const char *how = !strcmp(what, "all") ? "3" : "2";
	int fd;

	if (!strcmp(what, "pages")) {
		if (posix_fadvise(held[0], 0, 0, POSIX_FADV_DONTNEED))
			die("fadvise");
		return;
	}
	for (int times = 0; times < 2; times++) { /* the dentries first, then what they held */
		fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
		if (fd < 0 || write(fd, how, 1) != 1)
			die("drop_caches");
		close(fd);
	}
}

static void run_case(const char *line, int window)
{
	const char *name = value_of(line, "name"), *op = value_of(line, "op"), *dropped = value_of(line, "drop");
	const char *attribute = value_of(line, "attribute"), *rounds = value_of(line, "rounds");
	int held[MOST_PATHS], opened[MOST_PATHS], keep = value_of(line, "held") != NULL;
	int last = rounds ? atoi(rounds) : 2, is_open, is_read, is_xattr;
	unsigned i;
	long failed = 0;

	if (!name || !op || !value_of(line, "paths"))
		die(line);
	load_lists(value_of(line, "paths"), value_of(line, "reads"));
	is_open = !strcmp(op, "open"), is_read = !strcmp(op, "read"), is_xattr = !strcmp(op, "getxattr");
	for (i = 0; keep && i < path_count; i++)
		if ((held[i] = open(paths[i], O_RDONLY)) < 0)
			die(paths[i]);
	for (int round = 1; round <= last; round++) {
		if (dropped)
			drop(dropped, held);
		usleep(20000);
		if (round == last)
			WINDOW_OPEN();
		if (is_open)
			for (i = 0; i < path_count; i++)
				opened[i] = open(paths[i], O_RDONLY);
		else if (is_read)
			for (i = 0; i < read_count; i++)
				failed |= pread(held[0], buffer, reads[i].length, reads[i].offset) <= 0;
		else if (is_xattr)
			for (i = 0; i < path_count; i++)
				failed |= getxattr(paths[i], attribute, buffer, 65536) <= 0;
		else
			for (i = 0; i < path_count; i++)
				failed |= syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", attribute, 0) < 0;
		if (round == last)
			WINDOW_CLOSE();
		for (i = 0; is_open && i < path_count; i++)
			if (opened[i] < 0 || close(opened[i]))
				die(paths[i]);
		if (failed)
			die(name);
	}
	for (i = 0; keep && i < path_count; i++)
		close(held[i]);
	printf("{\"case\":\"%s\",\"window\":%d}\n", name, window);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	char line[1024] = " ";
	int window;
	FILE *file;

	if (posix_memalign((void **)&buffer, 4096, BUFFER_BYTES))
		die("memory");
	memset(buffer, 0, BUFFER_BYTES);
	if (!strcmp(verb, "dm") && argc == 3)
		return make_dm(argv[2]);
	if (!strcmp(verb, "undm")) {
		dm_do(DM_DEV_REMOVE, dm_request("windows"), "DM_DEV_REMOVE");
		return 0;
	}
	if (!strcmp(verb, "authtok") && argc == 4)
		return add_token(argv[2], argv[3]);
	if (strcmp(verb, "run") || argc != 4) {
		fprintf(stderr, "windows: see the head of windows.c\n");
		return 2;
	}
	window = atoi(argv[3]);
	file = fopen(argv[2], "r");
	if (!file)
		die(argv[2]);
	while (fgets(line + 1, sizeof(line) - 1, file))
		if (strstr(line, " name="))
			run_case(line, window++);
	fclose(file);
	return 0;
}

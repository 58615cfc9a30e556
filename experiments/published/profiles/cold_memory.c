/*
 * What clearing and copying a page cost when its bytes are not in the CPU's caches, beside the same in the cache.
 *
 * The pipeline of a buffered read from a RAM disk, over 512 MiB: clear a page (rep stosb, as clear_page_erms
 * does), copy the device's page into it (rep movsb), copy the page of a window before out to the reader. A stage
 * is the difference of the pipeline with and without it; "in the cache" works on one page over and over.
 * cold_memory.toml says what was made of it.
 *
 *   cc -O2 -o cold_memory cold_memory.c && ./cold_memory
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, PAGES = 512 * 256, WINDOW = 32, PIECE = 64, ROUNDS = 9 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fill(void *to)
{
	uint64_t n = PAGE;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

static void copy(void *to, const void *from)
{
	uint64_t n = PAGE;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ns a page of the stages, over pages [first, last). */
static double piece(char *cache, char *disk, char *user, long first, long last, int stages)
{
	double start = now();
	long n, i;

	for (n = first; n < last; n++) {
		i = stages & 8 ? WINDOW : n; /* 8: one page over and over */
		if (stages & 1)
			fill(cache + i * PAGE);
		if (stages & 2)
			copy(cache + i * PAGE, disk + i * PAGE);
		if ((stages & 4) && i >= WINDOW)
			copy(user + (i % WINDOW) * PAGE, cache + (i - WINDOW) * PAGE);
	}
	return (now() - start) / (last - first);
}

/* The lower quartile over all pieces: others' load lengthens a piece, nothing shortens it. */
static double run(char *cache, char *disk, char *user, int stages)
{
	static double ns[PAGES / PIECE];
	long i;

	for (i = 0; i < PAGES / PIECE; i++)
		ns[i] = piece(cache, disk, user, i * PIECE, (i + 1) * PIECE, stages);
	qsort(ns, PAGES / PIECE, sizeof(ns[0]), order);
	return ns[PAGES / PIECE / 4];
}

static char *memory(void)
{
	char *at = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long i;

	madvise(at, (size_t)PAGES * PAGE, MADV_HUGEPAGE);
	for (i = 0; i < PAGES; i++)
		at[i * PAGE] = 1;
	return at;
}

int main(void)
{
	char *cache = memory(), *disk = memory(), *user = memory();
	static const int stages[] = { 1, 2, 3, 4, 5, 7 };
	double least[2][8], ns;
	int round, s, hot;

	for (round = 0; round < ROUNDS; round++)
		for (s = 0; s < 6; s++)
			for (hot = 0; hot < 2; hot++) {
				ns = run(cache, disk, user, stages[s] | (hot ? 8 : 0));
				if (!round || ns < least[hot][stages[s]])
					least[hot][stages[s]] = ns;
			}
	printf("ns a page                                       cold  in the cache\n");
	printf("clear a page                                   %5.0f %5.0f\n", least[0][1], least[1][1]);
	printf("copy the device's page into the cleared one    %5.0f %5.0f\n", least[0][3] - least[0][1],
	       least[1][3] - least[1][1]);
	printf("copy it out, a window later                    %5.0f %5.0f\n", least[0][7] - least[0][3],
	       least[1][7] - least[1][3]);
	printf("copy a hole's page out, a window later         %5.0f %5.0f\n", least[0][5] - least[0][1],
	       least[1][5] - least[1][1]);
	printf("copy into a page not cleared before            %5.0f %5.0f\n", least[0][2], least[1][2]);
	printf("copy out a page from memory                    %5.0f %5.0f\n", least[0][4], least[1][4]);
	return 0;
}

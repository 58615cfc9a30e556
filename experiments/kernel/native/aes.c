// SPDX-License-Identifier: GPL-2.0
/*
 * Times the kernel's own aesni_xts_decrypt, assembled from its source, in user space: AES-256-XTS, one
 * data unit a call. Prints one JSON object a unit size.
 *
 *   aes BATCHES
 *   aes decrypt UNIT_BYTES    one unit from standard input to standard output: key 0, 1, 2, ... 63, tweak 1, 0, ...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct crypto_aes_ctx {
	uint32_t key_enc[60], key_dec[60], key_length;
} __attribute__((aligned(16)));

int aesni_set_key(struct crypto_aes_ctx *ctx, const uint8_t *key, unsigned int length);
void aesni_enc(const void *ctx, uint8_t *to, const uint8_t *from);
void aesni_xts_decrypt(const struct crypto_aes_ctx *ctx, uint8_t *to, const uint8_t *from, unsigned int length,
		       uint8_t *iv);

#define TURNS 64

static struct crypto_aes_ctx data_key, tweak_key;
static uint8_t from[4096] __attribute__((aligned(64))), to[4096] __attribute__((aligned(64)));

static void decrypt(unsigned int length)
{
	uint8_t iv[16] __attribute__((aligned(16))) = { 1 };

	aesni_enc(&tweak_key, iv, iv);
	aesni_xts_decrypt(&data_key, to, from, length, iv);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	uint8_t key[64];
	int batches = argc > 1 ? atoi(argv[1]) : 0;

	for (int i = 0; i < 64; i++)
		key[i] = i;
	if (aesni_set_key(&data_key, key, 32) || aesni_set_key(&tweak_key, key + 32, 32))
		return 1;
	if (argc == 3 && !strcmp(argv[1], "decrypt")) {
		unsigned int length = atoi(argv[2]);

		if (length % 16 || length > sizeof(from) || fread(from, 1, length, stdin) != length)
			return 1;
		decrypt(length);
		return fwrite(to, 1, length, stdout) != length;
	}
	if (batches < 1)
		return 1;
	for (unsigned int length = 512; length <= 4096; length *= 2) {
		double *ns = malloc(batches * sizeof(*ns));

		for (int batch = 0; batch < batches; batch++) {
			double start = now_ns();

			for (int turn = 0; turn < TURNS; turn++)
				decrypt(length);
			ns[batch] = (now_ns() - start) / TURNS;
		}
		qsort(ns, batches, sizeof(*ns), compare);
		printf("{\"arg\":%u,\"n\":%d,\"ns_per_unit_min\":%.1f,\"ns_per_unit_median\":%.1f}\n", length, batches,
		       ns[0], ns[batches / 2]);
		free(ns);
	}
	return 0;
}

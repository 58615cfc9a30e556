// SPDX-License-Identifier: GPL-2.0
/*
 * Times the kernel's own AES with AES instructions, assembled from its source, in user space: one data unit a
 * call, its tweak encrypted or its IV set. Prints one JSON object a cipher and unit size: ns per unit, least and
 * median of the batches.
 *
 *   aes BATCHES
 *   aes CIPHER UNIT_BYTES     one unit from standard input to standard output: key 0, 1, 2, ...; IV or tweak 1, 0, ...
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
void aesni_cbc_dec(struct crypto_aes_ctx *ctx, uint8_t *to, const uint8_t *from, size_t length, uint8_t *iv);

#define TURNS 64
#define MOST_BYTES 4096

static const struct cipher {
	const char *symbol, *code;
	unsigned int key_bytes;
} ciphers[] = {
	{ "xts_decrypt", "aesni_xts_decrypt", 32 },
	{ "cbc_decrypt", "aesni_cbc_dec", 32 },
	{ "cbc_decrypt_128", "aesni_cbc_dec", 16 },
};
static struct crypto_aes_ctx data_key, tweak_key;
static uint8_t from[MOST_BYTES] __attribute__((aligned(64))), to[MOST_BYTES] __attribute__((aligned(64)));

static void decrypt(int xts, unsigned int length)
{
	uint8_t iv[16] __attribute__((aligned(16))) = { 1 };

	if (!xts) {
		aesni_cbc_dec(&data_key, to, from, length, iv);
		return;
	}
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

static void time_it(const struct cipher *cipher, unsigned int length, int batches)
{
	double *ns = malloc(batches * sizeof(*ns));

	for (int batch = 0; batch < batches; batch++) {
		double start = now_ns();

		for (int turn = 0; turn < TURNS; turn++)
			decrypt(cipher == ciphers, length);
		ns[batch] = (now_ns() - start) / TURNS;
	}
	qsort(ns, batches, sizeof(*ns), compare);
	printf("{\"symbol\":\"%s\",\"code\":\"%s\",\"key_bits\":%u,\"arg\":%u,\"n\":%d,\"ns_per_unit_min\":%.1f,"
	       "\"ns_per_unit_median\":%.1f}\n",
	       cipher->symbol, cipher->code, cipher->key_bytes * 8, length, batches, ns[0], ns[batches / 2]);
	free(ns);
}

int main(int argc, char **argv)
{
	uint8_t key[64];

	for (int i = 0; i < 64; i++)
		key[i] = i;
	for (unsigned int i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++) {
		const struct cipher *cipher = &ciphers[i];

		if (aesni_set_key(&data_key, key, cipher->key_bytes) || aesni_set_key(&tweak_key, key + 32, 32))
			return 1;
		if (argc == 3 && !strcmp(argv[1], cipher->symbol)) {
			unsigned int length = atoi(argv[2]);

			if (length % 16 || length > sizeof(from) || fread(from, 1, length, stdin) != length)
				return 1;
			decrypt(cipher == ciphers, length);
			return fwrite(to, 1, length, stdout) != length;
		}
		for (unsigned int length = 512; argc == 2 && length <= MOST_BYTES; length *= 2)
			time_it(cipher, length, atoi(argv[1]));
	}
	return argc != 2;
}

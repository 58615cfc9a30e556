// SPDX-License-Identifier: GPL-2.0
/* Primitives in hot loops: lower bounds of what they cost in place. */
#include <crypto/skcipher.h>
#include <linux/bio.h>
#include <linux/scatterlist.h>
#include "ext4_extents.h"

#define TURNS 4096

static volatile u64 sink;

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

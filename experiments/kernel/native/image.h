// SPDX-License-Identifier: GPL-2.0
/*
 * Volumes: an image of the host's is loaded into a RAM disk of its own, from there into a null_blk if that is
 * asked for, and mounted, outside of any name space.
 */
#include <linux/fs_struct.h>
#include <linux/init_syscalls.h>
#include <linux/mount.h>
#include <linux/xarray.h>
#include <os.h>

#define MOST_VOLUMES 12

static struct volume {
	char name[16];
	struct xarray ram;
	struct vfsmount *mount;
	bool writable;
} volumes[MOST_VOLUMES];
static unsigned int volume_count;
static bool on_null_blk;

static void __init load(struct volume *volume, const char *image)
{
	struct openflags flags = of_read(OPENFLAGS());
	void *bytes = (void *)__get_free_page(GFP_KERNEL);
	int fd = os_open_file((char *)image, flags, 0);
	unsigned long index;

	if (fd < 0)
		panic("readpath: cannot open %s: %d", image, fd);
	for (index = 0; os_read_file(fd, bytes, PAGE_SIZE) == PAGE_SIZE; index++) {
		struct page *page;

		if (!memchr_inv(bytes, 0, PAGE_SIZE))
			continue;
		page = alloc_page(GFP_KERNEL);
		if (!page || xa_is_err(xa_store(&volume->ram, index, page, GFP_KERNEL)))
			panic("readpath: no memory for %s", image);
		memcpy(page_address(page), bytes, PAGE_SIZE);
	}
	os_close_file(fd);
	free_page((unsigned long)bytes);
}

static dev_t __init fill_null_blk(struct volume *volume, int number)
{
	char name[16];
	struct block_device *to;
	unsigned long index;
	struct page *page;
	dev_t device;

	snprintf(name, sizeof(name), "nullb%d", number);
	device = blk_lookup_devt(name, 0);
	to = blkdev_get_by_dev(device, FMODE_READ | FMODE_WRITE, NULL);
	if (IS_ERR(to))
		panic("readpath: no %s", name);
	xa_for_each(&volume->ram, index, page) {
		struct bio *bio = bio_alloc(to, 1, REQ_OP_WRITE, GFP_KERNEL);

		bio->bi_iter.bi_sector = (sector_t)index << (PAGE_SHIFT - SECTOR_SHIFT);
		__bio_add_page(bio, page, PAGE_SIZE, 0);
		if (submit_bio_wait(bio))
			panic("readpath: cannot write to %s", name);
		bio_put(bio);
	}
	blkdev_put(to, FMODE_READ | FMODE_WRITE);
	return device;
}

/* options: of the mount that is written to; NULL: one that is only read */
static void __init add_volume(const char *name, const char *image, char *options)
{
	struct volume *volume = &volumes[volume_count];
	char disk_name[16], node[24];
	struct gendisk *disk;
	dev_t device;

	if (volume_count == MOST_VOLUMES)
		panic("readpath: too many volumes");
	strscpy(volume->name, name, sizeof(volume->name));
	xa_init(&volume->ram);
	snprintf(disk_name, sizeof(disk_name), "rtram%u", volume_count);
	disk = add_ram_disk(disk_name, &volume->ram);
	if (!disk)
		panic("readpath: no RAM disk");
	load(volume, image);
	device = on_null_blk ? fill_null_blk(volume, volume_count) : disk_devt(disk);
	snprintf(node, sizeof(node), "/dev/readpath%u", volume_count);
	if (init_mknod(node, S_IFBLK | 0600, new_encode_dev(device)))
		panic("readpath: cannot make %s", node);
	volume->writable = options;
	volume->mount = vfs_kern_mount(get_fs_type("ext4"), options ? SB_NOATIME : SB_RDONLY | SB_NOATIME, node,
				       options ?: "noload");
	if (IS_ERR(volume->mount))
		panic("readpath: cannot mount %s: %ld", image, PTR_ERR(volume->mount));
	volume_count++;
}

/* Open a file named VOLUME/PATH. */
static struct file *open_file(const char *name)
{
	const char *slash = strchr(name, '/');
	int i;

	for (i = 0; slash && i < volume_count; i++)
		if (strlen(volumes[i].name) == slash - name && !strncmp(volumes[i].name, name, slash - name)) {
			struct path root = { .mnt = volumes[i].mount, .dentry = volumes[i].mount->mnt_root };

			int how = volumes[i].writable ? O_RDWR : O_RDONLY;

			return file_open_root(&root, slash + 1, how | O_NOATIME, 0);
		}
	return ERR_PTR(-ENOENT);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Which folios a mapping may have, as its flags say it. To change it is safe while nothing of the file is in
 * the page cache.
 */
#include <linux/pagemap.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define ORDERS AS_FOLIO_ORDER_MASK

/* The largest order made the smallest one: 0, or what a block larger than a page needs. */
static unsigned long smallest(unsigned long orders)
{
	unsigned long min = (orders & AS_FOLIO_ORDER_MIN_MASK) >> AS_FOLIO_ORDER_MIN;

	return min << AS_FOLIO_ORDER_MIN | min << AS_FOLIO_ORDER_MAX;
}
#else
#define ORDERS (1UL << AS_LARGE_FOLIO_SUPPORT)

static unsigned long smallest(unsigned long orders)
{
	return 0;
}
#endif

static void set_orders(struct address_space *mapping, unsigned long orders)
{
	WRITE_ONCE(mapping->flags, (mapping->flags & ~ORDERS) | orders);
}

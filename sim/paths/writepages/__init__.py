"""Writing dirty pages out: ext4_writepages(), and what others do instead (Linux 6.1)."""

"""A power cut at any moment: what the disk may have, what a mount makes of it, which promises it keeps."""

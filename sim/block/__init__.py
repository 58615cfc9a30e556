"""
Bios, the plug, the request queue, its schedulers, and device models. Knows no page.
"""

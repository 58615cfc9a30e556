"""
Recorded I/O as a workload: traces of files (fio iolog, strace, Darshan DXT, CSV) and of block devices.

Pure: text in, accesses out. sim/workload/replay.py plays them.
"""

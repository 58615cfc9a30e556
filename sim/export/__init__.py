"""
Exports: a run directory's tables in the words of other tools (fio, blktrace, Perfetto, flame graphs).
"""

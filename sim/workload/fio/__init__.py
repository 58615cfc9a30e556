"""
fio jobs: options read as fio reads them, and where a job reads.
"""

"""
readpath image: one plain function for each verb below it.
"""

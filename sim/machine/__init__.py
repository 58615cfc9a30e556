"""
A machine put together from its parts, the workloads that run on it, and what they give.
"""

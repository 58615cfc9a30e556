"""
Time, cores, costs and traces: the only package that knows simpy.
"""

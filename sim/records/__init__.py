"""
Recorded kernel cases and published measurements, and the simulator beside them.
"""

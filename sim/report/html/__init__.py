"""
The report of runs: one HTML file that loads nothing from outside.
"""

"""
From a TOML file to a run directory: configuration, composition, sweeps, results.
"""

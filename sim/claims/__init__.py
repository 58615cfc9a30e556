"""
Claims about results: what they say, their verdicts, their intervals, baselines and sensitivity. No terminal.
"""

"""
What other ways of checking data do for the same requests: calls and bios, counted without a clock.
"""

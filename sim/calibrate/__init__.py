"""
Constants from recordings: the fit of machine profiles, and the judge of what it left out.
"""

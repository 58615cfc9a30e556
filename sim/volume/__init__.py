"""
Images as experiments and verbs use them: schemes of encryption on them, keys in them, what they tell.
"""

"""
fscrypt: contexts, keys, contents and names (fs/crypto).
"""

"""
Ciphers and key derivation: bytes in, bytes out. The only package that knows cryptography.
"""

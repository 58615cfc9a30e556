"""
Ciphers over data units: bytes in, bytes out.
"""

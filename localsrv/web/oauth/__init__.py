"""How programs and pages get access: OAuth 2.0 for clients that nobody registered (services/pairing.py).

Device authorization (RFC 8628), authorization codes for native programs (RFC 8252) with PKCE (RFC 7636, S256
alone), metadata (RFC 8414), revocation (RFC 7009), errors (RFC 6749, 5.2).
"""

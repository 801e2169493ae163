"""Requests that this server makes of others: aiohttp's client side. Read `session.py` first."""

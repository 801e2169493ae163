"""The server process: `process` runs it, `wiring` puts its parts together, `listening` opens its ports,
`status` is what it says of itself, and `checks` what `localsrv doctor` asks.

The only layer that knows every implementation. Empty, so that one is imported without the other.
"""

"""The server process (`process`) and what `localsrv doctor` asks of its parts (`checks`).

The only layer that knows every implementation. Empty, so that one is imported without the other.
"""

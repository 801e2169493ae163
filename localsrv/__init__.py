"""localsrv: the backend that lives on your own computer."""

__version__ = "0.1.0"

"""How tray and command line talk to the server: typed, synchronous, by the standard library alone."""

from localsrv.client.api import Client
from localsrv.client.connection import ApiError, Connection, NotRunning, Stranger
from localsrv.client.starting import connect, ensure_running, start

__all__ = ["ApiError", "Client", "Connection", "NotRunning", "Stranger", "connect", "ensure_running", "start"]

"""Files ↔ documents: what `localsrv import` reads and `localsrv export` writes."""

"""`make bench`: what the server costs, each figure a ratio to something measured in the same run.

A timed test would fail on a busy machine and pass on a fast one; a ratio to a floor program that does
only the unavoidable part does neither. `floors.py` holds those programs, `load.py` sends the requests
(one generator for both sides), `measures.py` is the list of what is compared, `report.py` the table.
"""

"""Replication between two databases, wherever they are. Begin reading at `run.py`, then `job.py`.

`Peer` is one side; a run moves revisions from one to the other; a job repeats runs until it is done, with
pauses when something fails; the `Replicator` keeps the jobs of all apps.
"""

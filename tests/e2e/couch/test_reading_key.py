"""PouchDB from npm, unmodified, with a key that may only read."""

from __future__ import annotations

from tests.e2e.couch.conftest import Couch, make_app, make_key, run_node
from tests.support.server import RunningServer


def test_pulling_with_a_key_that_may_only_read(running: RunningServer) -> None:
    make_app(running, "reading")
    token = make_key(running, "phone", "reading", "library:read", "archive:read")
    run_node("reading", Couch(running, "reading", "phone", token), OWNER_TOKEN=running.token)

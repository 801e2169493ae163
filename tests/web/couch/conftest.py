"""A database of the sync face in a running application."""

from __future__ import annotations

import pytest

from tests.support.couch import Couch
from tests.support.mango import PEOPLE, index
from tests.support.views import VIEWS
from tests.web.conftest import WebServer


@pytest.fixture
async def couch(web_server: WebServer) -> Couch:
    """An empty database `db` of app `shop`."""
    await web_server.make_app("shop")
    made = Couch(web_server)
    done = await made.ask("PUT")
    assert done.status == 201, done.body
    return made


@pytest.fixture
async def views(couch: Couch) -> Couch:
    """Nine documents `d0` … `d8` with `n` from 0, and a design document `d` of `VIEWS`."""
    await couch.put("/_design/d", {"views": VIEWS})
    docs = [{"_id": f"d{n}", "n": n} for n in range(9)]
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert done.status == 201
    return couch


@pytest.fixture
async def people(couch: Couch) -> Couch:
    """The people, with indexes `age`, `manager`, `company_and_manager`, `name` and `likes`."""
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": PEOPLE})
    assert done.status == 201, done.body
    for fields in (["age"], ["manager"], ["company", "manager"], ["name.last", "name.first"], ["likes"]):
        await index(couch, fields, ddoc="_and_".join(fields).replace(".", "-").removeprefix("_"))
    return couch

from __future__ import annotations

import pytest

from localsrv.base.proof import proof
from tests.web.conftest import WebServer

NONCE = "0123456789abcdefghij"


async def test_the_proof_is_of_this_address_and_the_owners_token(web_server: WebServer) -> None:
    answer = await web_server.ask("GET", f"/api/v1/challenge?nonce={NONCE}", token=None)
    assert answer.status == 200
    assert answer.json == {"proof": proof(web_server.owner, NONCE, "127.0.0.1", web_server.port)}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "query", ["", "?nonce=", "?nonce=short", "?nonce=" + "x" * 129, f"?nonce={NONCE}%0A"]
)
async def test_bad_nonces(web_server: WebServer, query: str) -> None:
    answer = await web_server.ask("GET", f"/api/v1/challenge{query}", token=None)
    assert answer.status == 400
    assert "nonce" in answer.json["message"]

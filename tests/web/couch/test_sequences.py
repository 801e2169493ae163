"""What tokens show: how many changes there were since their database was made."""

from __future__ import annotations

from tests.support.couch import Couch


async def test_a_database_counts_from_when_it_was_made(couch: Couch) -> None:
    for n in range(5):
        await couch.put(f"/d{n}", {"n": n})
    second = Couch(couch.server, "second")
    assert (await second.ask("PUT")).status == 201
    assert str((await second.get(""))["update_seq"]).startswith("0-")
    assert (await second.get("/_changes"))["last_seq"].startswith("0-")
    await second.put("/a", {})
    await second.put("/b", {})
    changes = await second.get("/_changes")
    assert [row["seq"].split("-")[0] for row in changes["results"]] == ["1", "2"]
    assert (await second.get("/b?local_seq=true"))["_local_seq"] in (2, "2")

    first = changes["results"][0]["seq"]
    for since in (first, "1"):
        found = await second.get(f"/_changes?since={since}")
        assert [row["id"] for row in found["results"]] == ["b"]
        assert found["last_seq"] == changes["last_seq"]
    assert [row["id"] for row in (await couch.get(f"/_changes?since={first}"))["results"]] == [
        "d0", "d1", "d2", "d3", "d4",
    ]  # fmt: skip

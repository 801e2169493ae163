"""What trust costs: the guard, the credential lookup and the scope check, of a get by id."""

from __future__ import annotations

import sys

from tests.bench import processes, sides
from tests.bench.measures import Settings
from tests.bench.report import Row, at_least

_UNGUARDED = (sys.executable, "-m", "tests.bench.unguarded")


def guard(settings: Settings) -> list[Row]:
    """Gets by id with everything and without the guard, in turn, on both faces.

    What is compared is the server's processor time for each request: the difference is a few microseconds,
    and a rate swings by more than that with whatever else the machine does.
    """
    ours: dict[str, list[float]] = {"data": [], "sync": []}
    theirs: dict[str, list[float]] = {"data": [], "sync": []}
    with (
        sides.localsrv(settings.folder / "guarded") as guarded,
        sides.localsrv(settings.folder / "unguarded", _UNGUARDED) as unguarded,
    ):
        lines = {}
        for server in (guarded, unguarded):
            for body in sides.bodies(1000):
                assert server.request("POST", sides.REST, body, headers=_JSON).status == 201
            found = sides.ids(server, 1000)
            lines[server.pid, "data"] = [f"{sides.REST}?id=eq.{i}" for i in found]
            lines[server.pid, "sync"] = [f"/apps/{sides.APP}/couch/items/{i}" for i in found]
        for _ in range(settings.runs * 4):
            for face in ours:
                for server, into in ((guarded, ours), (unguarded, theirs)):
                    paths = settings.paths(f"{face}-{server.pid}", lines[server.pid, face])
                    before = processes.cpu_s(server.pid)
                    load = settings.load(
                        server.url_by_address, "read", 16, token=server.token, arguments=[paths]
                    )
                    used = processes.cpu_s(server.pid) - before
                    into[face].append(load.per_second * settings.seconds / used)
    return [
        at_least(
            f"gets by id in a second of processor time, {face} face",
            "/s",
            ours[face],
            theirs[face],
            "without the guard",
            0.92,
        )
        for face in ours
    ]


_JSON = {"Content-Type": "application/json"}

MEASURES = {"guard": guard}

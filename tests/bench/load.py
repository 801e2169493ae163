"""The load generator: wrk, a C program, in a process of its own; the same script for every side.

A generator in Python would take the core that the server needs. wrk's scripts in `wrk/` print one
line of JSON at the end, which `run` reads.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "wrk"


@dataclass(frozen=True)
class Load:
    """One side's answer to one load: requests per second, latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def wrk() -> str:
    """Where wrk is. SystemExit with how to get it when it is missing."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("bench: wrk is missing; on Debian: apt-get install wrk")
    return found


def run(
    base: str,
    script: str,
    *,
    connections: int,
    seconds: float,
    token: str | None = None,
    arguments: Sequence[str] = (),
) -> Load:
    """Load `base` with `wrk/<script>.lua` on `connections` kept-alive connections.

    `arguments` go to the script. Raises AssertionError if any answer was not 2xx or a socket failed: a
    fast refusal is not a result.
    """
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPTS / f"{script}.lua")]
    if token is not None:
        command += ["-H", f"apikey: {token}"]  # the header that both servers know
    command += [base, "--", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and lines, f"wrk failed: {done.stdout}\n{done.stderr}"
    found = json.loads(lines[-1])
    assert found["failed"] == 0 and found["requests"] > 0, f"{script} on {base}: {found}"
    return Load(found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"])

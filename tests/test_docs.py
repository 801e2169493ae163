"""The documents keep their promises: links lead somewhere, and the README's commands run as written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import RunningServer

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("localsrv/**/*.md")])

# Blocks of the README that this module does not run, each by its first line, and what runs it.
RUN_ELSEWHERE = {
    "make run": "runs for ever; tests/test_project.py starts it in a copy of the clone",
    "make test": "runs this",
    "pipx install .": "needs pipx; tests/test_project.py installs the wheel with pip, as pipx does",
    "python3 -m venv .venv": "tests/test_project.py",
    "py -3.11 -m venv .venv": "Windows: never run yet, as the README's table says",
}


def _blocks(document: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a document: (language, text)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found]


def _links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        prose = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:", target):
                yield document, target


def _anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document, target in _links():
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_document_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    links = list(_links())
    while waiting:
        document = waiting.pop().resolve()
        if document in seen:
            continue
        seen.add(document)
        waiting += [
            (source.parent / target.partition("#")[0]).resolve()
            for source, target in links
            if source.resolve() == document and target.partition("#")[0].endswith(".md")
        ]
    docs = {document.resolve() for document in ROOT.glob("docs/**/*.md")}
    assert docs - seen == set()


def test_every_command_block_of_the_readme_is_run() -> None:
    """A new block must be run below, or be listed with what runs it."""
    blocks = [text for language, text in _blocks(ROOT / "README.md") if language in ("sh", "powershell")]
    elsewhere = {text.splitlines()[0] for text in blocks} & set(RUN_ELSEWHERE)
    assert elsewhere == set(RUN_ELSEWHERE), "a block that is listed is gone"
    assert len(_five_minutes()) == len(blocks) - len(RUN_ELSEWHERE)


def _five_minutes() -> list[str]:
    blocks = [text for language, text in _blocks(ROOT / "README.md") if language in ("sh", "powershell")]
    return [text for text in blocks if text.splitlines()[0] not in RUN_ELSEWHERE]


def _environment(server: RunningServer) -> dict[str, str]:
    programs = Path(sys.executable).parent
    return os.environ | {
        "LOCALSRV_HOME": str(server.home),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: the blocks are for a POSIX shell")
def test_the_first_five_minutes_run_as_written(server: RunningServer, tmp_path: Path) -> None:
    """The shell blocks in one shell, one after the other; then the JavaScript with the key they made."""
    script = "set -eu\n" + "".join(_five_minutes()) + '\nprintf "\\n%s\\n%s" "$KEY" "$SYNC"\n'
    script = script.replace("localhost:4680", f"localhost:{server.port}")
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=_environment(server),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Barbara" in done.stdout
    assert '[{"name":"Grace"},{"name":"Barbara"}]' in done.stdout.replace(", ", ",").replace(": ", ":")
    key, sync = done.stdout.splitlines()[-2:]
    supabase, pouchdb = (_javascript(server, tmp_path, n, KEY=key, SYNC=sync) for n in (0, 1))
    assert json.loads(supabase) == [{"name": "Barbara", "born": 1928}, {"name": "Edsger", "born": 1930}]
    everybody = {"Ada 1815", "Grace 1906", "Barbara 1928", "Edsger 1930", "Radia 1951"}
    assert set(json.loads(pouchdb)) == everybody


def _javascript(server: RunningServer, folder: Path, number: int, **keys: str) -> str:
    """Runs one of the README's JavaScript blocks; what it printed, as JSON."""
    packages = ROOT / "tests" / "node" / "node_modules"
    node = shutil.which("node")
    if node is None or not packages.exists():
        pytest.skip("Node.js or its packages are not installed")
    block = [text for language, text in _blocks(ROOT / "README.md") if language == "js"][number]
    # supabase-js wants a WebSocket at construction, which Node.js has from version 22.
    prelude = 'import ws from "ws";\nglobalThis.WebSocket ??= ws;\n'
    text = prelude + block.replace("localhost:4680", f"localhost:{server.port}")
    text = re.sub(r"^console\.log\((.*)\);$", r"console.log(JSON.stringify(\1));", text, flags=re.MULTILINE)
    (folder / "block.mjs").write_text(text)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(packages)
    done = subprocess.run(
        [node, "block.mjs"],
        cwd=folder,
        env=_environment(server) | keys,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

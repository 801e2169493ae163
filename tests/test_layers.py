"""Imports point one way: DESIGN's layer table, proved by walking every import of the package.

The walk reads the syntax trees, so that imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "localsrv"

# Layer → the layers it may import. A layer may always import itself.
ALLOWED = {
    "tray": {"client", "base"},
    "cli": {"client", "server", "importing", "sample", "base", "model"},
    "javascript": {"base"},
    "server": {"web", "services", "javascript", "outbound", "vault", "store", "model", "base"},
    "web": {"services", "store", "model", "base"},
    "services": {"store", "javascript", "outbound", "vault", "model", "base"},
    "importing": {"model", "base"},
    "outbound": {"model", "base"},
    "vault": {"base"},
    "store": {"model", "base"},
    "model": {"base.errors"},
    "sample": {"model", "base"},
    "client": {"base"},
    "base": set(),
    "__main__": {"cli", "javascript"},
}

# Package from outside → the layers that may import it. One that is not listed here is a decision nobody took.
OUTSIDE = {
    "_quickjs": {"javascript"},
    "aiohttp": {"web", "server", "outbound"},
    "click": {"cli"},
    "cryptography": {"vault"},
    "fastjsonschema": {"store"},
    "hishel": {"services"},
    "jsonschema": {"store"},
    "keyring": {"vault"},
    "orjson": {
        "model",
        "store",
        "web",
        "services",
        "outbound",
        "importing",
        "server",
        "client",
        "cli",
        "javascript",
    },
    "platformdirs": {"base"},
    "pysqlite3": {"store", "importing"},
    "re2": {"model", "store"},
    "secretstorage": {"vault"},
    "sqlite3": {"store", "importing", "sample"},
    "sqlite_utils": {"store", "importing"},
    "uvloop": {"server"},
    "multidict": {"web"},
    "yarl": {"web", "outbound"},
}

# The model is pure: no input or output, no clock, no event loop, no chance.
NOT_PURE = {
    "asyncio", "concurrent", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "secrets", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib.request", "zoneinfo",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`module` imports `target` (both dotted) in line `line`."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def _modules() -> Iterator[tuple[str, bool, Path]]:
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield ".".join(parts[:-1] if is_package else parts), is_package, file


def _imports() -> list[Import]:
    """Every import in the package. `from a import b` gives `a.b` when that is a module of ours, else `a`."""
    known = {name for name, _, _ in _modules()}
    found: list[Import] = []
    for name, is_package, file in _modules():
        for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
            if isinstance(node, ast.Import):
                found += [Import(name, alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = name.split(".") if is_package else name.split(".")[:-1]
                    base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    found.append(Import(name, full if full in known else base, node.lineno))
    return found


IMPORTS = _imports()


def layer(module: str) -> str:
    """The layer of one of our modules: the first name below the package."""
    return module.split(".")[1] if "." in module else ""


def test_the_walk_sees_imports() -> None:
    """A walk that found nothing would prove nothing."""
    assert len(IMPORTS) > 50
    assert any(found.target == "localsrv.base.errors" for found in IMPORTS)


def test_every_layer_is_in_the_table() -> None:
    layers = {layer(name) for name, _, _ in _modules()} - {""}
    assert layers - set(ALLOWED) == set()


def _is_allowed(found: Import) -> bool:
    here, there = layer(found.module), layer(found.target)
    below = found.target.removeprefix(f"{PACKAGE}.")
    return (
        here in ("", there)
        or there == ""
        or any(below == name or below.startswith(f"{name}.") for name in ALLOWED.get(here, set()))
    )


def test_imports_point_one_way() -> None:
    ours = [found for found in IMPORTS if found.target.split(".")[0] == PACKAGE]
    assert [str(found) for found in ours if not _is_allowed(found)] == []


def test_the_package_itself_imports_nothing() -> None:
    """`import localsrv` must cost nothing and must not be a way around the table."""
    assert [str(found) for found in IMPORTS if found.module == PACKAGE] == []


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_packages_from_outside_stay_in_their_layers(package: str) -> None:
    users = [found for found in IMPORTS if found.target.split(".")[0] == package]
    assert [str(found) for found in users if layer(found.module) not in OUTSIDE[package]] == []


def test_every_package_from_outside_is_in_the_table() -> None:
    known = set(OUTSIDE) | sys.stdlib_module_names | {PACKAGE}
    assert [str(found) for found in IMPORTS if found.target.split(".")[0] not in known] == []


def test_the_model_is_pure() -> None:
    def is_impure(target: str) -> bool:
        return any(target == name or target.startswith(f"{name}.") for name in NOT_PURE)

    inside = [found for found in IMPORTS if layer(found.module) == "model"]
    assert [str(found) for found in inside if is_impure(found.target)] == []


def test_the_two_faces_do_not_know_each_other() -> None:
    faces = ("localsrv.web.rest", "localsrv.web.couch")
    across = [
        found
        for found in IMPORTS
        for here, there in (faces, faces[::-1])
        if found.module.startswith(here) and found.target.startswith(there)
    ]
    assert [str(found) for found in across] == []

"""An app's manifest, `app.toml`, as a value.

    id = "inventory"
    title = "Inventory"
    version = "1.0"
    description = "What a shop has."

    [ui]
    single_page = true                     # unknown paths answer index.html
    kit = true                             # localsrv's own modules and styles at /kit/
    [ui.csp]                               # further sources for the page, by directive
    img-src = ["https://tile.example.org"]

    [collections.products]                 # as model.schema_parse reads it

A manifest is taken whole or not at all: `parse_manifest` gathers every problem it can find, each with its
line. tomllib keeps no lines, so a small scan finds where a key stands; it need not understand values,
because tomllib has accepted the text by then.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from localsrv.base.errors import ConfigError
from localsrv.model.schema import APP_ID, Collection
from localsrv.model.schema_parse import parse_collection
from localsrv.model.schema_refusals import nearest
from localsrv.model.schema_relations import resolve_relations

FILE_NAME = "app.toml"

_SETTINGS = ("id", "title", "version", "description", "ui", "collections")
_UI_SETTINGS = ("single_page", "kit", "csp")
CSP_DIRECTIVES = (
    "connect-src",
    "font-src",
    "frame-src",
    "img-src",
    "media-src",
    "script-src",
    "style-src",
    "worker-src",
)
_CSP_SOURCE = re.compile(
    r"(?:'wasm-unsafe-eval'|'unsafe-inline'|data:|blob:|(?:https?|wss?)://[A-Za-z0-9.*:\[\]_/-]+)\Z"
)
_NO_DIRECTIVES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class UiSettings:
    """How the app's pages are served. `csp` adds sources to directives of the strict policy; `kit` asks for
    localsrv's own modules and styles beside them, at `/kit/`."""

    single_page: bool = False
    kit: bool = False
    csp: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_DIRECTIVES)


@dataclass(frozen=True, slots=True)
class Manifest:
    id: str
    title: str | None = None
    version: str | None = None
    description: str | None = None
    ui: UiSettings = UiSettings()
    collections: Mapping[str, Collection] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; `place` is dotted, as in `collections.products.key`."""

    line: int
    place: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" + (f" {self.hint}" if self.hint else "")


class ManifestError(ConfigError):
    """A manifest that is refused whole. `problems` has all of them, by line; `message` the first."""

    code = "bad-manifest"

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda p: p.line))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(
            f"{file}, line {first.line}: {first.message}{more}",
            details="\n".join(f"{file}, {p}" for p in self.problems),
            hint=first.hint,
        )


def parse_manifest(text: str, file: str = FILE_NAME) -> Manifest:
    """The manifest that `text` spells. `file` is its name in messages.

    Raises:
        ManifestError: with every problem found.
    """
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(
            file, [Problem(_toml_line(text, error), "", f"This is not TOML: {error}")]
        ) from error
    reader = _Reader(text)
    manifest = reader.manifest(value)
    if reader.problems:
        raise ManifestError(file, reader.problems)
    return manifest


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = key_lines(text)
        self.problems: list[Problem] = []

    def add(self, place: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(nearest_line(self._lines, place), place, message, hint))

    def manifest(self, value: Mapping[str, Any]) -> Manifest:
        self._unknown(value, _SETTINGS, "")
        app = value.get("id")
        if app is None:
            self.add("id", "`id` is missing.", 'Add a line such as id = "my-app".')
        elif not isinstance(app, str) or not APP_ID.match(app):
            self.add(
                "id", f"`{app}` is not an app id.", "Use a-z, 0-9 and -, starting with a letter, at most 41."
            )
        for name in ("title", "version", "description"):
            if not isinstance(value.get(name, ""), str):
                self.add(name, f"`{name}` must be a text.")
        ui = self._ui(value.get("ui", {}))
        collections = self._collections(value.get("collections", {}))
        if self.problems:
            return Manifest("")
        return Manifest(
            value["id"], value.get("title"), value.get("version"), value.get("description"), ui, collections
        )

    def _unknown(self, value: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
        for key in value:
            if key not in known:
                where = f"{place}.{key}" if place else key
                self.add(where, f"Unknown setting `{key}`.", nearest(key, known))

    def _ui(self, value: object) -> UiSettings:
        if not isinstance(value, Mapping):
            self.add("ui", "`ui` must be a table.")
            return UiSettings()
        self._unknown(value, _UI_SETTINGS, "ui")
        flags = {name: value.get(name, False) for name in ("single_page", "kit")}
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                self.add(f"ui.{name}", f"`{name}` must be true or false.")
        return UiSettings(bool(flags["single_page"]), bool(flags["kit"]), self._csp(value.get("csp", {})))

    def _csp(self, value: object) -> Mapping[str, tuple[str, ...]]:
        if not isinstance(value, Mapping):
            self.add("ui.csp", "`csp` must be a table of directives with lists of sources.")
            return {}
        self._unknown(value, CSP_DIRECTIVES, "ui.csp")
        out: dict[str, tuple[str, ...]] = {}
        for directive, sources in value.items():
            place = f"ui.csp.{directive}"
            if not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
                self.add(place, f"`{directive}` must be a list of sources.")
                continue
            for source in sources:
                if not _CSP_SOURCE.match(source):
                    hint = "Use addresses such as https://tile.example.org, or data:, blob:."
                    self.add(place, f"`{source}` is no source that can be allowed.", hint)
                elif source == "'unsafe-inline'" and directive != "style-src":
                    self.add(place, "Inline scripts are never allowed.", "Move them to a file.")
            out[directive] = tuple(sources)
        return out

    def _collections(self, value: object) -> Mapping[str, Collection]:
        if not isinstance(value, Mapping):
            self.add("collections", "`collections` must be tables such as [collections.products].")
            return {}
        out: dict[str, Collection] = {}
        for name, definition in value.items():
            if not isinstance(definition, Mapping):
                self.add(f"collections.{name}", f"`collections.{name}` must be a table.")
                continue
            try:
                out[name] = parse_collection(name, definition)
            except ConfigError as error:
                self.add(error.details or f"collections.{name}", error.message, error.hint)
        if not self.problems:
            try:
                return resolve_relations(out)
            except ConfigError as error:
                self.add(error.details or "collections", error.message, error.hint)
        return out


# ── where a key stands ─────────────────────────────────────────────────────────────────────────────────────

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = re.compile(rf"{_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*")
_PART = re.compile(_BARE_OR_QUOTED)
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)


def key_lines(text: str) -> dict[str, int]:
    """Dotted place → line (from 1) of every table header and key of a valid TOML text.

    Tables of an array are `place[0]`, `place[1]`, …; keys inside inline values are not told apart.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table, depth = "", 0
    for number, line in enumerate(_blanked(text).split("\n"), 1):
        stripped = line.strip()
        if depth == 0 and stripped.startswith("["):
            is_array = stripped.startswith("[[")
            if found := _DOTTED.search(stripped):
                table = _dotted(found.group(), counts)
                if is_array:
                    counts[table] = counts.get(table, -1) + 1
                    lines.setdefault(table, number)
                    table = f"{table}[{counts[table]}]"
                lines.setdefault(table, number)
            continue
        found = _DOTTED.match(stripped) if depth == 0 else None
        if found and stripped[found.end() :].lstrip().startswith("="):
            name = _dotted(found.group(), {})
            lines.setdefault(f"{table}.{name}" if table else name, number)
        depth += sum(line.count(c) for c in "[{") - sum(line.count(c) for c in "]}")
    return lines


def _dotted(name: str, counts: Mapping[str, int]) -> str:
    """The dotted name without its quotes; parts that are arrays of tables get their last index."""
    out = ""
    for part in _PART.findall(name):
        bare = part[1:-1] if part[0] in "\"'" else part
        if out in counts:
            out = f"{out}[{counts[out]}]"
        out = f"{out}.{bare}" if out else bare
    return out


def _blanked(text: str) -> str:
    """`text` with its comments and multi-line strings emptied, and with brackets inside strings replaced."""
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif char in "\"'" and (found := _STRING.match(text, at)):
            inside = found.group()
            out.append("\n" * inside.count("\n") + re.sub(r"[\[\]{}#\n]", "_", inside))
            at = found.end()
        else:
            out.append(char)
            at += 1
    return "".join(out)


def nearest_line(lines: Mapping[str, int], place: str) -> int:
    """The line of `place`, or of the closest thing around it; 1 when nothing is."""
    while place:
        if place in lines:
            return lines[place]
        inside = [n for p, n in lines.items() if p.startswith((f"{place}.", f"{place}["))]
        if inside:
            return min(inside)
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return 1


def _toml_line(text: str, error: tomllib.TOMLDecodeError) -> int:
    line = getattr(error, "lineno", None)  # from Python 3.14 on; before, the text alone has it
    if isinstance(line, int):
        return line
    found = re.search(r"at line (\d+)", str(error))
    return int(found.group(1)) if found else text.count("\n") + 1

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

    [integrations.weather]                 # an outside service, as model.integrations.parse_ask reads it

A manifest is taken whole or not at all: `parse_manifest` gathers every problem it can find, each with its
line (`model.toml_lines`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from localsrv.base.errors import ConfigError
from localsrv.model.integrations import ASK_MEMBERS, NAME, Ask, parse_ask
from localsrv.model.schema import APP_ID, Collection
from localsrv.model.schema_parse import parse_collection
from localsrv.model.schema_refusals import nearest
from localsrv.model.schema_relations import resolve_relations
from localsrv.model.toml_lines import key_lines, nearest_line

FILE_NAME = "app.toml"

_SETTINGS = ("id", "title", "version", "description", "ui", "collections", "integrations")
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
    integrations: Mapping[str, Ask] = field(default_factory=dict)


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
        integrations = self._integrations(value.get("integrations", {}))
        if self.problems:
            return Manifest("")
        return Manifest(
            value["id"],
            value.get("title"),
            value.get("version"),
            value.get("description"),
            ui,
            collections,
            integrations,
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

    def _integrations(self, value: object) -> Mapping[str, Ask]:
        if not isinstance(value, Mapping):
            self.add("integrations", "`integrations` must be tables such as [integrations.weather].")
            return {}
        out: dict[str, Ask] = {}
        for name, asked in value.items():
            place = f"integrations.{name}"
            if not NAME.match(name):
                hint = "Use a-z, 0-9, - and _, starting with a letter, at most 41."
                self.add(place, f"`{name}` is no name of an integration.", hint)
            elif not isinstance(asked, Mapping):
                self.add(place, f"`{place}` must be a table.")
            else:
                self._unknown(asked, ASK_MEMBERS, place)
                found = parse_ask(
                    name, asked, lambda member, *told, at=place: self.add(_below(at, member), *told)
                )
                if found is not None:
                    out[name] = found
        return out


def _below(place: str, member: str) -> str:
    return f"{place}.{member}" if member else place


def _toml_line(text: str, error: tomllib.TOMLDecodeError) -> int:
    line = getattr(error, "lineno", None)  # from Python 3.14 on; before, the text alone has it
    if isinstance(line, int):
        return line
    found = re.search(r"at line (\d+)", str(error))
    return int(found.group(1)) if found else text.count("\n") + 1

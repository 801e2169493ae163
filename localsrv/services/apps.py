"""The apps on this machine: which there are, their databases, and the folders that they came in.

An app's folder holds `app.db`, `blobs/` and, when it has pages, `bundle/` (`app.toml` and `ui/`, copied from
the folder it was added from, and the kit if it asks for it). A bundle is replaced by two renames, after
everything that can fail has been done; what a crash between them leaves is put right at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from localsrv.base.errors import BadRequest, ConfigError, Conflict, LocalsrvError, NotFound, StorageError
from localsrv.model.integrations import Ask
from localsrv.model.manifest import FILE_NAME, Manifest, UiSettings, parse_manifest
from localsrv.model.schema import APP_ID
from localsrv.store.database import Database, StoreOptions
from localsrv.store.system import AppRow, System

if TYPE_CHECKING:
    from localsrv.services.grants import Grants

DEFAULT_APP = "default"
BUNDLE = "bundle"
UI = "ui"
KIT = "kit"
KIT_FOLDER = Path(__file__).resolve().parents[1] / "web" / "ui" / KIT
"""What the first page is made of too: one source for both."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """What is served on an app's own origin: its UI's folder, or None when it has no pages."""

    app: str
    title: str | None
    ui: Path | None
    settings: UiSettings
    integrations: Mapping[str, Ask] = field(default_factory=dict)
    """What its manifest asks for."""


@dataclass(frozen=True, slots=True)
class App:
    """An app whose database is open."""

    id: str
    row: AppRow
    database: Database


@dataclass(frozen=True, slots=True)
class Change:
    """What adding or updating an app did; `texts` say it to a person."""

    id: str
    created: bool
    texts: list[str]


class Apps:
    """Create it with `start`. `generation` grows whenever an app comes, goes or changes its pages."""

    def __init__(self, system: System, folder: Path, grants: Grants, options: StoreOptions) -> None:
        self._system = system
        self._folder = folder
        self._grants = grants
        self._options = options
        self._rows: dict[str, AppRow] = {}
        self._hosted: dict[str, Hosted] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._changing = asyncio.Lock()
        self.opened: dict[str, App] = {}
        self.on_open: list[Callable[[str, Database], None]] = []
        """Called with each app's id and database when that was opened."""
        self.on_remove: list[Callable[[str], Awaitable[None]]] = []
        """Called with the id of an app that goes, while its database is open still."""
        self.on_delete: list[Callable[[str], Awaitable[None]]] = []
        """As `on_remove` and before it, for an app that goes with its data."""
        self.generation = 0

    @classmethod
    async def start(
        cls, system: System, folder: Path, grants: Grants, options: StoreOptions | None = None
    ) -> Apps:
        """The registry as the system file has it; `default` is made if it is missing. Opens no database."""
        apps = cls(system, folder, grants, options or StoreOptions())
        apps._rows = {row.id: row for row in await system.apps()}
        if DEFAULT_APP not in apps._rows:
            await apps._register(DEFAULT_APP, "Default", None)
        await asyncio.to_thread(apps._load_bundles)
        return apps

    async def close(self) -> None:
        """Closes every database, each checkpointed."""
        opened, self.opened = self.opened, {}
        await asyncio.gather(*(app.database.close() for app in opened.values()))

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def exists(self, app: str) -> bool:
        return app in self._rows

    @property
    def ids(self) -> list[str]:
        return sorted(self._rows)

    def row(self, app: str) -> AppRow:
        """Raises NotFound."""
        try:
            return self._rows[app]
        except KeyError:
            raise NotFound(
                f"There is no app `{app}`.", code="app-not-found", details=app, hint="See localsrv app list."
            ) from None

    def hosted(self, app: str) -> Hosted:
        """What to serve on the app's origin. Raises NotFound."""
        row = self.row(app)
        return self._hosted.get(app) or Hosted(app, row.title, None, UiSettings())

    async def open(self, app: str) -> App:
        """The app with its database open. Raises NotFound, or StorageError when the file refuses."""
        if (found := self.opened.get(app)) is not None:
            return found
        async with self._lock(app):
            if (found := self.opened.get(app)) is not None:
                return found
            row = self.row(app)
            home = self._folder / app
            await asyncio.to_thread(_make_folder, home)
            database = await Database.open(home / "app.db", home / "blobs", self._options)
            found = self.opened[app] = App(app, row, database)
            for called in self.on_open:
                called(app, database)
            return found

    async def size_bytes(self, app: str) -> int:
        """What the app takes on disk, in bytes."""
        return await asyncio.to_thread(_folder_size, self._folder / app)

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, app: str, title: str | None) -> Change:
        """An empty app. Raises BadRequest for an id that is none, Conflict when it exists."""
        if not APP_ID.match(app):
            raise BadRequest(
                f"`{app}` is not an app id.",
                code="invalid-value",
                details="id",
                hint="Use a-z, 0-9 and -, starting with a letter, at most 41 characters.",
            )
        async with self._changing:
            if self.exists(app):
                raise Conflict(f"The app `{app}` exists already.", code="app-exists", details=app)
            await self._register(app, title, None)
            await self.open(app)
        return Change(app, True, ["created"])

    async def add(self, source: Path) -> Change:
        """Adds the app whose `app.toml` lies in `source`, or updates it: the schema migrates, the data stays.

        Raises:
            ManifestError: nothing was changed. ConfigError: the folder or a change of the schema is refused.
        """
        manifest = await asyncio.to_thread(read_manifest, source)
        async with self._changing:
            return await self._add(source, manifest)

    async def _add(self, source: Path, manifest: Manifest) -> Change:
        app = manifest.id
        created = not self.exists(app)
        home = self._folder / app
        staged = await asyncio.to_thread(_stage_bundle, source, home, manifest.ui.kit)
        try:
            if created:
                await self._register(app, manifest.title, manifest.version)
            texts = ["created"] if created else []
            try:
                database = (await self.open(app)).database
                if manifest.collections:
                    texts += await database.define(dict(manifest.collections))
            except LocalsrvError:
                if created:
                    await self._unregister(app)
                raise
            await asyncio.to_thread(_swap_bundle, home, staged)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, staged, True)
            raise
        if not created:
            await self._register(app, manifest.title, manifest.version)
        self._host(manifest, home)
        return Change(app, created, texts)

    async def remove(self, app: str, *, delete_data: bool) -> None:
        """Removes an app with its pages and its keys. Its data stays in its folder unless told otherwise.

        Raises:
            NotFound, or Conflict for `default`, which always exists.
        """
        if app == DEFAULT_APP:
            raise Conflict("The app `default` always exists.", code="app-required", details=app)
        async with self._changing, self._lock(app):
            self.row(app)
            for leave in (*(self.on_delete if delete_data else ()), *self.on_remove):
                await leave(app)
            opened = self.opened.pop(app, None)
            await self._unregister(app)
            if opened is not None:
                await opened.database.close()
            home = self._folder / app
            await asyncio.to_thread(_remove_folder, home if delete_data else home / BUNDLE)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _lock(self, app: str) -> asyncio.Lock:
        return self._locks.setdefault(app, asyncio.Lock())

    async def _register(self, app: str, title: str | None, version: str | None) -> None:
        now = int(time.time())
        known = self._rows.get(app)
        row = AppRow(app, title, version, known.created_at if known else now, now)
        await self._system.put_app(row)
        self._rows[app] = row
        if app in self.opened:
            self.opened[app] = replace(self.opened[app], row=row)
        self.generation += 1

    async def _unregister(self, app: str) -> None:
        await self._system.delete_app(app)
        self._rows.pop(app, None)
        self._hosted.pop(app, None)
        self._grants.forget_app(app)
        self.generation += 1

    def _host(self, manifest: Manifest, home: Path) -> None:
        ui = home / BUNDLE / UI
        self._hosted[manifest.id] = Hosted(
            manifest.id, manifest.title, ui if ui.is_dir() else None, manifest.ui, manifest.integrations
        )
        self.generation += 1

    def _load_bundles(self) -> None:
        for app in self._rows:
            home = self._folder / app
            _recover_bundle(home)
            if not (home / BUNDLE / FILE_NAME).is_file():
                continue
            # One broken bundle must not keep the server from starting; its app's data stays reachable.
            with contextlib.suppress(ConfigError, StorageError):
                self._host(read_manifest(home / BUNDLE), home)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`. Raises ManifestError, or ConfigError when there is none to read."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8.", details=str(path)) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.",
            code="manifest-missing",
            details=str(path),
            hint="An app is a folder with an app.toml in it.",
        ) from error
    return parse_manifest(text, str(path))


def _stage_bundle(source: Path, home: Path, with_kit: bool) -> Path:
    """Copies what is served to a folder beside the bundle, durable on return, and returns it.

    Links are refused: a page must not reach what lies outside its folder.
    """
    if with_kit and (source / UI / KIT).exists():
        raise ConfigError(
            f"{source / UI / KIT} is there, and `kit` in app.toml asks for localsrv's own.",
            details=str(source / FILE_NAME),
            hint="Rename the folder, or take `kit = true` away.",
        )
    _make_folder(home)
    staged = home / f"{BUNDLE}.new-{secrets.token_hex(4)}"
    staged.mkdir(mode=0o700)
    try:
        shutil.copyfile(source / FILE_NAME, staged / FILE_NAME)
        if (source / UI).is_dir():
            for link in (p for p in (source / UI).rglob("*") if p.is_symlink()):
                raise ConfigError(
                    f"{link} is a link; an app's pages must be files.",
                    details=str(link),
                    hint="Copy the file there.",
                )
            shutil.copytree(source / UI, staged / UI)
        if with_kit:
            shutil.copytree(KIT_FOLDER, staged / UI / KIT)
        for path in (*staged.rglob("*"), staged):
            _sync(path)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise StorageError(
            f"The app's files cannot be copied: {error.strerror or error}.",
            code="storage",
            details=str(source),
        ) from error
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return staged


def _swap_bundle(home: Path, staged: Path) -> None:
    bundle, old = home / BUNDLE, home / f"{BUNDLE}.old"
    shutil.rmtree(old, ignore_errors=True)
    if bundle.exists():
        bundle.rename(old)
    staged.rename(bundle)
    _sync(home)
    shutil.rmtree(old, ignore_errors=True)


def _recover_bundle(home: Path) -> None:
    """What a crash in `_swap_bundle` or `_stage_bundle` left: the old bundle returns, half copies go."""
    bundle, old = home / BUNDLE, home / f"{BUNDLE}.old"
    if old.exists() and not bundle.exists():
        old.rename(bundle)
    for left in (old, *home.glob(f"{BUNDLE}.new-*")):
        shutil.rmtree(left, ignore_errors=True)


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be removed: {error.strerror}.", code="storage", details=str(folder)
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made: {error.strerror}.", code="storage-read-only", details=str(folder)
        ) from error


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    flags = os.O_RDWR if os.name == "nt" else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folder_size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # files come and go while this counts
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
    return total

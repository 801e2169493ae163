"""All replications of this server: those of `_replicator` documents, and those asked for in passing.

The documents of an app's `_replicator` database are what replications are; `system.db` says how they fare;
jobs do them. Whoever writes such a document goes through `prepare` before, which takes the secrets out, and
`noticed` after, which starts and stops jobs to match.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from localsrv.base.errors import Conflict, InvalidValue, LocalsrvError, NotFound, VaultError
from localsrv.model.replication import SIDES, Credentials, Endpoint, Replication, Side, parse_replication
from localsrv.outbound.couch_peer import CouchPeer
from localsrv.outbound.network import NetworkWatch
from localsrv.services.apps import Apps
from localsrv.services.design import Design
from localsrv.services.replication.job import Job, Key, told, with_hint
from localsrv.services.replication.local_peer import LocalPeer
from localsrv.services.replication.news import News
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.rules import AppRules, check_filter
from localsrv.services.replication.secrets import Secrets, Vault, entries_of
from localsrv.store.database import Database
from localsrv.store.editing import Edit
from localsrv.store.listing import AllDocs
from localsrv.store.replications import LogEntry, ReplicationRow, ReplicationStore

_log = logging.getLogger(__name__)

DATABASE = "_replicator"
ENDED_KEPT = 100
"""Replications asked for in passing that are remembered after their end."""


class Duplicate(Conflict):
    """Another document says the same replication already. CouchDB fails the second one too."""

    code = "replication-duplicate"


class Replicator:
    """Create it with `start`."""

    def __init__(
        self, apps: Apps, store: ReplicationStore, vault: Vault, design: Design, device: str
    ) -> None:
        self._design = design
        self._apps = apps
        self._store = store
        self._secrets = Secrets(vault)
        self._device = device
        self._jobs: dict[Key, Job] = {}
        self._given: dict[Key, Mapping[Side, Credentials]] = {}
        """The credentials of replications that are asked for in passing."""
        self._rows: dict[tuple[str, str], ReplicationRow] = {}
        self.news = News()
        self._definitions: dict[tuple[str, str], Replication] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._network = NetworkWatch(self._network_changed)
        self._waking: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, apps: Apps, store: ReplicationStore, vault: Vault, design: Design, device: str
    ) -> Replicator:
        """Begins what is stored, in the background: a start does not wait for files of apps to open."""
        made = cls(apps, store, vault, design, device)
        apps.on_remove.append(made.forget_app)
        made._rows = {(row.app, row.document): row for row in await store.all()}
        if made._rows:
            made._waking = asyncio.create_task(made._wake(), name="replications wake up")
        return made

    async def close(self) -> None:
        """Ends every job, each with a checkpoint."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
        self._network.stop()
        jobs, self._jobs = self._jobs, {}
        await asyncio.gather(*(job.stop() for job in jobs.values()))

    async def _wake(self) -> None:
        for app in sorted({app for app, _ in self._rows}):
            if not self._apps.exists(app):
                await self.forget_app(app)
                continue
            try:
                await self.noticed(app)
            except LocalsrvError as error:
                _log.warning("replications did not start", extra={"fields": {"app": app, "code": error.code}})
            except Exception:  # one app's trouble is not the others'
                _log.exception("replications did not start", extra={"fields": {"app": app}})

    # ── asked for in passing: POST /_replicate ─────────────────────────────────────────────────────────────

    async def begin(self, app: str, body: Mapping[str, Any]) -> Job:
        """Starts what `_replicate` was asked for, or joins the one that runs already, which goes on with
        the credentials that were given last. They are held in memory. Raises InvalidValue."""
        definition, credentials = parse_replication(body)
        check_filter(definition)
        self._refuse_own(definition)
        key = Key(app, definition.id(self._device, app))
        found, known = self._jobs.get(key), self._given.get(key)
        self._given[key] = credentials
        if found is not None and not found.is_over:
            if known != credentials:
                found.now()
            return found
        job = self._make(key, definition, is_persistent=False)
        self._jobs[key] = job
        self._forget_ended()
        job.start()
        return job

    async def cancel(self, app: str, body: Mapping[str, Any]) -> str:
        """Ends a replication that was asked for in passing, named by its id or by the same request.
        Raises NotFound, InvalidValue."""
        named = next((body[n] for n in ("_local_id", "replication_id", "id") if body.get(n)), None)
        ident = named if isinstance(named, str) else parse_replication(body)[0].id(self._device, app)
        job = self._jobs.get(Key(app, ident.replace(" ", "+")))
        if job is None or job.is_over:
            raise NotFound("There is no such replication.", code="no-replication", details=ident[:100])
        await job.stop()
        del self._jobs[job.key]
        self._given.pop(job.key, None)
        return job.key.id

    def _forget_ended(self) -> None:
        ended = [key for key, job in self._jobs.items() if job.is_over and key.document is None]
        for key in ended[:-ENDED_KEPT]:
            del self._jobs[key]
            self._given.pop(key, None)

    # ── stored: documents of `_replicator` ─────────────────────────────────────────────────────────────────

    async def prepare(self, app: str, edit: Edit) -> Edit:
        """The edit of a `_replicator` document as it may be stored: without secrets, which go to the
        vault. Raises InvalidValue, VaultError."""
        if edit.deleted or edit.id.startswith("_"):
            return edit
        definition, credentials = parse_replication(edit.document)
        check_filter(definition)
        self._refuse_own(definition)
        kept = await self._secrets.keep(definition, credentials)
        sides: dict[str, Any] = {side: kept.endpoint(side).as_json() for side in SIDES}
        if (app, edit.id) not in self._rows:  # so that a crash now is noticed at the next start
            await self._put(ReplicationRow(app, edit.id, None, "initializing"))
        return replace(edit, document={**edit.document, **sides})

    async def store(
        self, app: str, edits: Sequence[Edit], *, new_edits: bool = True
    ) -> list[str | Exception]:
        """Writes documents of `_replicator`, each for itself, and starts and stops what they say."""
        database = (await self._apps.open(app)).database
        results: list[str | Exception] = []
        for edit in edits:
            try:
                prepared = await self.prepare(app, edit)
            except LocalsrvError as error:
                results.append(error)
                continue
            (result,) = await database.put_many(DATABASE, [prepared], new_edits=new_edits)
            if isinstance(result, Exception) and not prepared.deleted:
                await self._secrets.drop(*_both(prepared.document, edit.document))
            results.append(result)
        await self.noticed(app)
        return results

    @staticmethod
    def _refuse_own(definition: Replication) -> None:
        for endpoint in (definition.source, definition.target):
            if endpoint.database is not None and endpoint.database.startswith("_"):
                raise InvalidValue(f"`{endpoint.database[:80]}` is not replicated.", details="source")

    async def noticed(self, app: str) -> None:
        """Makes the app's jobs match its documents. Called whenever those may have changed."""
        async with self._locks.setdefault(app, asyncio.Lock()):
            database = (await self._apps.open(app)).database
            there = await _definitions(database)
            known = [document for a, document in self._rows if a == app]
            for document in known:
                if document not in there:
                    await self._remove(app, document)
            for document, (revision, body) in there.items():
                await self._learn(app, document, body)
                row = self._rows.get((app, document))
                if row is None or row.revision != revision:
                    await self._replace(app, document, revision, body)
                elif row.state not in ("completed", "failed") and not row.is_paused:
                    await self._begin_stored(app, document, row, body)

    async def _learn(self, app: str, document: str, body: Mapping[str, Any]) -> None:
        """Remembers what a document says, and drops the secrets that it no longer refers to."""
        with contextlib.suppress(InvalidValue):
            now = parse_replication(body)[0]
            before = self._definitions.get((app, document))
            self._definitions[app, document] = now
            if before is not None and before != now:
                await self._secrets.drop(before, now)

    async def _replace(self, app: str, document: str, revision: str, body: Mapping[str, Any]) -> None:
        old = next(
            (job for key, job in self._jobs.items() if (key.app, key.document) == (app, document)), None
        )
        if old is not None:
            await old.stop()
            self._jobs.pop(old.key, None)
        row = ReplicationRow(app, document, revision, "initializing", started_at=int(time.time()))
        previous = self._rows.get((app, document))
        if previous is not None and previous.is_paused:
            row = replace(row, is_paused=True, state="paused")
        await self._put(row)
        if not row.is_paused:
            await self._begin_stored(app, document, row, body)

    async def _begin_stored(
        self, app: str, document: str, row: ReplicationRow, body: Mapping[str, Any]
    ) -> None:
        if any((key.app, key.document) == (app, document) for key in self._jobs):
            return
        try:
            definition, credentials = parse_replication(body)
            if any(credentials.values()):
                raise InvalidValue("The document holds credentials that no vault took.")
            ident = definition.id(self._device, app)
            self._refuse_duplicate(app, document, ident)
            job = self._make(Key(app, ident, document), definition, is_persistent=True)
        except LocalsrvError as error:
            await self._put(replace(row, state="failed", errors=1, info=told(error)))
            await self._store.note(app, document, "failed", with_hint(error))
            return
        self._jobs[job.key] = job
        job.start()

    def _refuse_duplicate(self, app: str, document: str, ident: str) -> None:
        for key in self._jobs:
            if (key.app, key.id) == (app, ident) and key.document not in (None, document):
                raise Duplicate(
                    f"Replication `{ident}` specified by document `{document}` already started, "
                    f"triggered by document `{key.document}` from db `{DATABASE}`"
                )

    async def _remove(self, app: str, document: str) -> None:
        job = self.job_of(app, document)
        if job is not None:
            await job.stop()
            self._jobs.pop(job.key, None)
        if (definition := self._definitions.pop((app, document), None)) is not None:
            await self._secrets.drop(definition)
        self._rows.pop((app, document), None)
        self.news.tell(app)
        await self._store.forget(app, document)

    async def forget_app(self, app: str) -> None:
        """Ends and forgets everything of an app that goes."""
        for key in [key for key in self._jobs if key.app == app]:
            await self._jobs.pop(key).stop()
            self._given.pop(key, None)
        self._rows = {k: row for k, row in self._rows.items() if k[0] != app}
        self._definitions = {k: known for k, known in self._definitions.items() if k[0] != app}
        await self._store.forget(app)

    async def forget_credentials(self, app: str) -> None:
        """Removes the credentials of an app that goes with its data."""
        for key, definition in list(self._definitions.items()):
            if key[0] == app:
                await self._secrets.drop(definition)

    async def entries(self) -> list[str]:
        """The names in the vault that stored replications refer to."""
        if self._waking is not None:
            await asyncio.gather(self._waking, return_exceptions=True)
        return [name for known in self._definitions.values() for name in entries_of(known)]

    # ── what a person does ─────────────────────────────────────────────────────────────────────────────────

    async def create(self, app: str, document: str, body: Mapping[str, Any]) -> None:
        """Stores a definition and starts it. Raises InvalidValue, Conflict, VaultError."""
        await self.ensure_database(app)
        (result,) = await self.store(app, [Edit(document, dict(body))])
        if isinstance(result, Conflict) and not isinstance(result, Duplicate):
            raise Conflict(
                f"There is a replication `{document[:80]}` already.",
                details=document[:80],
                hint="Give this one another name, or remove that one first.",
            )
        if isinstance(result, Exception):
            raise result

    async def update(self, app: str, document: str, body: Mapping[str, Any]) -> None:
        """Replaces a definition. Credentials that do not come again stay, for the same address and user.
        Raises NotFound, InvalidValue, VaultError."""
        database = (await self._apps.open(app)).database
        before = parse_replication(await self.definition(app, document))[0]
        given, credentials = parse_replication(body)
        sides: dict[str, Any] = {}
        for side in SIDES:
            was, now = before.endpoint(side), given.endpoint(side)
            same = (was.origin, was.username) == (now.origin, now.username or was.username)
            if not credentials[side] and now.secret is None and was.secret is not None and same:
                sides[side] = replace(now, username=was.username, secret=was.secret).as_json()
        found = database.get_document(DATABASE, document)
        parent = None if found is None else found.rev
        (result,) = await self.store(app, [Edit(document, {**body, **sides}, parent)])
        if isinstance(result, Exception):
            raise result

    async def ensure_database(self, app: str) -> None:
        """Makes `_replicator` if it is missing."""
        database = (await self._apps.open(app)).database
        if DATABASE not in database.collections:
            with contextlib.suppress(Conflict):
                await database.create_database(DATABASE)

    async def delete(self, app: str, document: str) -> None:
        """Removes a definition; what was replicated stays. Raises NotFound."""
        database = (await self._apps.open(app)).database
        found = database.get_document(DATABASE, document) if DATABASE in database.collections else None
        if found is None or found.deleted:
            raise _unknown(document)
        await database.put(DATABASE, Edit(document, {}, found.rev, deleted=True))
        await self.noticed(app)

    async def pause(self, app: str, document: str, *, is_paused: bool) -> None:
        """Stops a stored replication until it is resumed; stays so over a restart. Raises NotFound.

        Resuming one that is not paused changes nothing.
        """
        if not is_paused and not self.row(app, document).is_paused:
            return
        state = "paused" if is_paused else "initializing"
        await self._put(replace(self.row(app, document), is_paused=is_paused, state=state, errors=0))
        job = self.job_of(app, document)
        if is_paused and job is not None:
            await job.stop()
            self._jobs.pop(job.key, None)
        await self._store.note(app, document, "paused" if is_paused else "resumed", "")
        if not is_paused:
            await self.noticed(app)

    async def now(self, app: str, document: str) -> None:
        """Tries at once; one that completed or failed runs again. Raises NotFound."""
        row = self.row(app, document)
        job = self.job_of(app, document)
        if job is not None and not job.is_over:
            job.now()
            return
        if job is not None:
            self._jobs.pop(job.key, None)
        await self._put(replace(row, state="initializing", is_paused=False, errors=0))
        await self.noticed(app)

    async def log(self, app: str, document: str, limit: int) -> list[LogEntry]:
        """The newest entries, newest first. Raises NotFound."""
        self.row(app, document)
        return await self._store.log(app, document, limit)

    # ── looking ────────────────────────────────────────────────────────────────────────────────────────────

    def jobs(self, app: str) -> list[Job]:
        """Jobs that are not over, by id."""
        found = [job for key, job in self._jobs.items() if key.app == app and not job.is_over]
        return sorted(found, key=lambda job: job.key.id)

    def job_of(self, app: str, document: str) -> Job | None:
        return next(
            (job for key, job in self._jobs.items() if (key.app, key.document) == (app, document)), None
        )

    def rows(self, app: str) -> list[ReplicationRow]:
        """How the stored replications of an app fare, by the ids of their documents."""
        return sorted((r for r in self._rows.values() if r.app == app), key=lambda row: row.document)

    def row(self, app: str, document: str) -> ReplicationRow:
        """Raises NotFound."""
        found = self._rows.get((app, document))
        if found is None:
            raise _unknown(document)
        return found

    async def definition(self, app: str, document: str) -> dict[str, Any]:
        """A stored definition, which holds no secret. Raises NotFound."""
        database = (await self._apps.open(app)).database
        found = database.get_document(DATABASE, document) if DATABASE in database.collections else None
        if found is None or found.deleted or found.body is None:
            raise _unknown(document)
        body = orjson.loads(found.body)
        assert isinstance(body, dict)
        return body

    async def shown(self, app: str, document: str) -> dict[str, Any]:
        """As `definition`; empty when it went a moment ago, and without anything that might be a secret even
        when somebody wrote one past the replicator."""
        try:
            body = await self.definition(app, document)
            definition, credentials = parse_replication(body)
        except (NotFound, InvalidValue):
            return {}
        return definition.as_document() if any(credentials.values()) else body

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _make(self, key: Key, definition: Replication, *, is_persistent: bool) -> Job:
        """A job that looks for its credentials at each try: where they were given, or in the vault."""

        async def open_peers() -> tuple[Peer, Peer]:
            found = self._given[key] if key.document is None else await self._secrets.find(definition)
            database = (await self._apps.open(key.app)).database
            return tuple(  # type: ignore[return-value] # two sides, two peers
                self._peer(database, definition, definition.endpoint(side), found[side]) for side in SIDES
            )

        base_id = definition.base_id(self._device, key.app)
        return Job(key, definition, base_id, open_peers, self, is_persistent=is_persistent)

    def _peer(
        self, database: Database, definition: Replication, endpoint: Endpoint, credentials: Credentials
    ) -> Peer:
        if endpoint.database is None:
            return CouchPeer(endpoint, credentials, definition)
        return LocalPeer(database, endpoint, definition, AppRules(definition, database, self._design))

    async def changed(self, job: Job, kind: str, text: str) -> None:
        """A job's own news: kept, logged, and a reason to listen for the network."""
        fields = {"replication": job.key.id, "app": job.key.app, "text": text}
        _log.info("replication %s", kind, extra={"fields": fields})
        if job.is_offline or job.status.state == "crashing":
            self._network.start()
        elif not any(other.status.state == "crashing" for other in self._jobs.values()):
            self._network.stop()
        if job.key.document is None:
            return
        row = self._rows.get((job.key.app, job.key.document))
        if row is None or row.is_paused:  # it is being stopped
            return
        status = job.status
        info = told(status.error) if status.error else job.progress.info()
        for refusal in list(job.progress.refusals) if kind in ("completed", "crashed") else ():
            reason = f"{refusal.id} {refusal.rev}: {refusal.error}: {refusal.reason}"
            await self._store.note(job.key.app, job.key.document, "refused", reason[:500])
        job.progress.refusals.clear()
        await self._store.note(job.key.app, job.key.document, kind, text)
        await self._put(replace(row, state=status.state, errors=status.errors, info=info))

    def moved(self, job: Job) -> None:
        self.news.tell(job.key.app)

    async def _put(self, row: ReplicationRow) -> None:
        row = replace(row, updated_at=int(time.time()))
        self._rows[row.app, row.document] = row
        self.news.tell(row.app)
        await self._store.put(row)

    def retry(self) -> None:
        """The vault was unlocked: tries at once what waits for it."""
        for job in self._jobs.values():
            if job.is_waiting and isinstance(job.status.error, VaultError):
                job.now()

    def _network_changed(self) -> None:
        for job in self._jobs.values():
            if job.is_waiting:
                job.now()


def _both(stored: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Replication, Replication]:
    return parse_replication(stored)[0], parse_replication(given)[0]


def _unknown(document: str) -> NotFound:
    return NotFound(
        f"There is no replication `{document[:80]}`.",
        code="no-replication",
        details=document[:80],
        hint="See localsrv sync list --app APP.",
    )


async def _definitions(database: Database) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every definition by its document's id, with its revision."""
    if DATABASE not in database.collections:
        return {}
    page = await database.all_docs(DATABASE, AllDocs(with_bodies=True))
    return {
        row.id: (row.rev, orjson.loads(row.body))
        for row in page.rows
        if row.body is not None and not row.id.startswith("_")
    }

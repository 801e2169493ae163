"""Every call of the admin API as a method."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from http.client import HTTPResponse
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode

from localsrv.base.server_file import RunningServer
from localsrv.client import shapes
from localsrv.client.connection import Connection, path

MOVING_S = 3600.0
"""How long moving every secret may take: some 60 ms for each in a keyring."""


class Client:
    """Methods raise ApiError when the server refuses, NotRunning when it is gone. One thread at a time."""

    def __init__(self, server: RunningServer, *, timeout_s: float = 60.0) -> None:
        self.server = server
        self.connection = Connection(server, timeout_s=timeout_s)
        self._timeout_s = timeout_s

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def _get(self, *segments: str) -> Any:
        return self.connection.json("GET", path(*segments))

    # ── the server ─────────────────────────────────────────────────────────────────────────────────────────

    def health(self) -> dict[str, str]:
        """`status` is `ok`, `version` the server's."""
        return cast("dict[str, str]", self._get("health"))

    def status(self) -> shapes.Status:
        return cast(shapes.Status, self._get("status"))

    def stop(self) -> None:
        """Asks the server to leave. It does so after this returned: see `starting.wait_until_stopped`."""
        self.connection.json("POST", path("stop"))

    def openapi(self, app: str | None = None) -> dict[str, Any]:
        """The OpenAPI document of the server, or of one app's collections."""
        segments = ("openapi.json",) if app is None else ("apps", app, "openapi.json")
        return cast("dict[str, Any]", self._get(*segments))

    # ── apps and collections ───────────────────────────────────────────────────────────────────────────────

    def apps(self) -> list[shapes.AppInfo]:
        return cast("list[shapes.AppInfo]", self._get("apps")["apps"])

    def app(self, app: str) -> shapes.AppInfo:
        return cast(shapes.AppInfo, self._get("apps", app))

    def add_app(self, folder: str) -> shapes.AppInfo:
        """Adds or updates the app of an absolute folder with `app.toml`; `changes` say what it did."""
        return cast(shapes.AppInfo, self.connection.json("POST", path("apps"), {"path": folder}))

    def create_app(self, app: str, title: str | None = None) -> shapes.AppInfo:
        """An empty app."""
        return cast(shapes.AppInfo, self.connection.json("POST", path("apps"), {"id": app, "title": title}))

    def remove_app(self, app: str, *, delete_data: bool = False) -> shapes.Removed:
        query = "?data=delete" if delete_data else ""
        return cast(shapes.Removed, self.connection.json("DELETE", path("apps", app) + query))

    def give_port(self, app: str, port: int | None = None) -> shapes.AppInfo:
        """Gives an app a port of its own: this one, or the one it had, or a free one."""
        return cast(shapes.AppInfo, self.connection.json("PUT", path("apps", app, "port"), {"port": port}))

    def take_port(self, app: str) -> shapes.AppInfo:
        """Takes an app's own port away."""
        return cast(shapes.AppInfo, self.connection.json("DELETE", path("apps", app, "port")))

    def collections(self, app: str) -> list[shapes.CollectionInfo]:
        found = self._get("apps", app, "collections")["collections"]
        return cast("list[shapes.CollectionInfo]", found)

    def define(self, app: str, definitions: Mapping[str, Any]) -> shapes.CollectionsChange:
        """Creates or migrates collections together, so that relations between them resolve."""
        answer = self.connection.json("PUT", path("apps", app, "collections"), dict(definitions))
        return cast(shapes.CollectionsChange, answer)

    def define_one(self, app: str, collection: str, definition: Mapping[str, Any]) -> shapes.CollectionChange:
        answer = self.connection.json("PUT", path("apps", app, "collections", collection), dict(definition))
        return cast(shapes.CollectionChange, answer)

    def drop(self, app: str, collection: str) -> None:
        self.connection.json("DELETE", path("apps", app, "collections", collection))

    # ── documents ──────────────────────────────────────────────────────────────────────────────────────────

    def import_documents(
        self, app: str, collection: str, documents: bytes | Iterable[Mapping[str, Any]]
    ) -> shapes.ImportResult:
        """Stores documents as they are. `documents`: mappings, or NDJSON ready made.

        Sending the same again changes nothing, so a broken connection is simply tried again by the caller.
        """
        body = documents if isinstance(documents, bytes) else b"".join(_lines(documents))
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self.connection.send(
            "POST", path("apps", app, "collections", collection, "import"), body, headers
        )
        return cast(shapes.ImportResult, answer)

    def documents(self, app: str, collection: str, *, page: int = 1000) -> Iterator[dict[str, Any]]:
        """All documents in the order of their ids, with `_id`, `_rev` and stubs of attachments."""
        after: str | None = None
        while True:
            query = {"limit": str(page)} | ({} if after is None else {"after": after})
            address = path("apps", app, "collections", collection, "documents") + "?" + urlencode(query)
            found = cast(shapes.DocumentPage, self.connection.json("GET", address))
            yield from found["documents"]
            after = found["next"]
            if after is None:
                return

    def attachment(self, app: str, collection: str, document: str, name: str) -> bytes:
        """An attachment's bytes, in memory; `connection.open` of `attachment_path` streams a large one."""
        with self.connection.open("GET", attachment_path(app, collection, document, name)) as answer:
            return answer.read()

    def put_attachment(
        self,
        app: str,
        collection: str,
        document: str,
        name: str,
        content: bytes | BinaryIO,
        content_type: str,
    ) -> dict[str, Any]:
        """Stores an attachment; a file is streamed."""
        answer = self.connection.send(
            "PUT", attachment_path(app, collection, document, name), content, {"Content-Type": content_type}
        )
        return cast("dict[str, Any]", answer)

    def query(
        self, app: str, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, limit: int | None = None
    ) -> shapes.QueryResult:
        """Read-only SQL on the app's file."""
        sent = dict(params) if isinstance(params, Mapping) else list(params)
        body: dict[str, Any] = {"sql": sql, "params": sent} | ({} if limit is None else {"limit": limit})
        return cast(shapes.QueryResult, self.connection.json("POST", path("apps", app, "query"), body))

    def changes(
        self,
        app: str,
        collections: Sequence[str],
        *,
        since: str | None = None,
        include_row: bool = False,
        filter: str | None = None,  # noqa: A002 - the API's own word
    ) -> Iterator[shapes.Event]:
        """The live feed, on a connection of its own, until the caller stops or the server does.

        Without `since` from now on. The first event is `ready`. Ends quietly when the server leaves.
        """
        query = {"collections": ",".join(collections)}
        query |= {} if since is None else {"since": since}
        query |= {"include": "row"} if include_row else {}
        query |= {} if filter is None else {"filter": filter}
        address = path("apps", app, "changes") + "?" + urlencode(query)
        # The server sends a heartbeat every 25 s, so that silence means it is gone.
        with (
            Connection(self.server, timeout_s=self._timeout_s) as connection,
            connection.open("GET", address, headers={"Accept": "text/event-stream"}) as answer,
        ):
            for data in events(answer):
                yield cast(shapes.Event, json.loads(data))

    # ── replications ───────────────────────────────────────────────────────────────────────────────────────

    def replications(self, app: str) -> list[shapes.Replication]:
        return cast("list[shapes.Replication]", self._get("apps", app, "replications")["replications"])

    def replication(self, app: str, name: str) -> shapes.Replication:
        return cast(shapes.Replication, self._get("apps", app, "replications", name))

    def create_replication(
        self, app: str, definition: Mapping[str, Any], name: str | None = None
    ) -> shapes.Replication:
        """Stores and starts a replication; see docs/sync.md for its form. Credentials go to the vault."""
        body = {**definition, **({} if name is None else {"id": name})}
        answer = self.connection.json("POST", path("apps", app, "replications"), body)
        return cast(shapes.Replication, answer)

    def update_replication(self, app: str, name: str, definition: Mapping[str, Any]) -> shapes.Replication:
        answer = self.connection.json("PUT", path("apps", app, "replications", name), dict(definition))
        return cast(shapes.Replication, answer)

    def remove_replication(self, app: str, name: str) -> None:
        self.connection.json("DELETE", path("apps", app, "replications", name))

    def replicate_now(self, app: str, name: str) -> shapes.Replication:
        answer = self.connection.json("POST", path("apps", app, "replications", name, "now"))
        return cast(shapes.Replication, answer)

    def pause_replication(self, app: str, name: str) -> shapes.Replication:
        answer = self.connection.json("POST", path("apps", app, "replications", name, "pause"))
        return cast(shapes.Replication, answer)

    def resume_replication(self, app: str, name: str) -> shapes.Replication:
        answer = self.connection.json("POST", path("apps", app, "replications", name, "resume"))
        return cast(shapes.Replication, answer)

    def replication_log(self, app: str, name: str, limit: int = 50) -> list[shapes.ReplicationEntry]:
        """What happened, newest first."""
        address = path("apps", app, "replications", name, "log") + f"?limit={limit}"
        return cast("list[shapes.ReplicationEntry]", self.connection.json("GET", address)["entries"])

    # ── conflicts ──────────────────────────────────────────────────────────────────────────────────────────

    def conflicts(self, app: str, collection: str | None = None) -> Iterator[shapes.Conflict]:
        """Documents in conflict, of one collection or all; see docs/api.md."""
        query = {} if collection is None else {"collection": collection}
        while True:
            page = self.connection.json("GET", path("apps", app, "conflicts") + f"?{urlencode(query)}")
            yield from page["conflicts"]
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def conflict(self, app: str, collection: str, document: str) -> shapes.Conflict | None:
        """One document's conflict; None when it is in none."""
        query = urlencode({"collection": collection, "id": document})
        found = self.connection.json("GET", path("apps", app, "conflicts") + f"?{query}")["conflicts"]
        return cast(shapes.Conflict, found[0]) if found else None

    def resolve_conflict(self, app: str, body: Mapping[str, Any]) -> shapes.Resolved:
        """Settles a conflict: `collection`, `id`, `leaves`, and `choose` or `document`."""
        return cast(shapes.Resolved, self.connection.json("POST", path("apps", app, "conflicts"), body))

    # ── keys and codes ─────────────────────────────────────────────────────────────────────────────────────

    def keys(self) -> list[shapes.Key]:
        return cast("list[shapes.Key]", self._get("keys")["keys"])

    def create_key(
        self,
        name: str,
        app: str,
        scopes: Sequence[str],
        *,
        origin: str | None = None,
        expires_in: int | None = None,
        publishable: bool = False,
    ) -> shapes.Key:
        """A key with its `token`, which cannot be seen again. `expires_in` in seconds."""
        body = {
            "name": name,
            "app": app,
            "scopes": list(scopes),
            "origin": origin,
            "expires_in": expires_in,
            "publishable": publishable,
        }
        return cast(shapes.Key, self.connection.json("POST", path("keys"), body))

    def revoke_key(self, key: str) -> None:
        self.connection.json("DELETE", path("keys", key))

    def grants(self, *, kind: str | None = None, app: str | None = None) -> list[shapes.GrantInfo]:
        """Everyone who has access, or those of one kind or app."""
        query = urlencode({name: value for name, value in (("kind", kind), ("app", app)) if value})
        found = self.connection.json("GET", path("grants") + (f"?{query}" if query else ""))
        return cast("list[shapes.GrantInfo]", found["grants"])

    def revoke_grant(self, grant: str) -> None:
        self.connection.json("DELETE", path("grants", grant))

    def requests(self, *, version: int | None = None, wait: int = 0) -> shapes.PairingRequests:
        """Who waits for being let in. With the `version` that is known, the answer comes when it is another,
        or after `wait` seconds, at most 60."""
        query = "" if version is None else f"?version={version}&wait={wait}"
        return cast(shapes.PairingRequests, self.connection.json("GET", path("requests") + query))

    def approve_request(
        self,
        request: str,
        *,
        app: str | None = None,
        scopes: Sequence[str] | None = None,
        once: bool = False,
        expires_in: int | None = None,
    ) -> shapes.Decided:
        """Allows what waits with this id or code, or less than that."""
        body: dict[str, Any] = {"once": once, "expires_in": expires_in}
        body |= {} if app is None else {"app": app}
        body |= {} if scopes is None else {"scopes": list(scopes)}
        answer = self.connection.json("POST", path("requests", request, "approve"), body)
        return cast(shapes.Decided, answer)

    def refuse_request(self, request: str) -> shapes.Decided:
        """Refuses it; `muted` says whether its client is not heard for an hour now."""
        return cast(shapes.Decided, self.connection.json("POST", path("requests", request, "refuse")))

    def create_code(self, app: str | None = None) -> shapes.Code:
        """A one-time code and the address that carries it: of an app, or of the dashboard."""
        return cast(shapes.Code, self.connection.json("POST", path("codes"), {"app": app}))

    # ── the audit log ──────────────────────────────────────────────────────────────────────────────────────

    def audit(self, *, event: str | None = None, limit: int = 100) -> list[shapes.AuditEntry]:
        """The newest entries, newest first; `limit` up to 1,000."""
        query = {"limit": limit, **({} if event is None else {"event": event})}
        answer = self.connection.json("GET", f"{path('audit')}?{urlencode(query)}")
        return cast("list[shapes.AuditEntry]", answer["entries"])

    def audit_export(self, event: str | None = None) -> AbstractContextManager[HTTPResponse]:
        """All of it as a stream of NDJSON, newest first."""
        query = "" if event is None else "?" + urlencode({"event": event})
        return self.connection.open("GET", path("audit", "export") + query)

    # ── integrations ───────────────────────────────────────────────────────────────────────────────────────

    def integrations(self, app: str) -> list[shapes.Integration]:
        """What an app asks for and what the owner set up."""
        return cast("list[shapes.Integration]", self._get("apps", app, "integrations")["integrations"])

    def set_integration(self, app: str, name: str, settings: Mapping[str, Any]) -> shapes.Integration:
        """Sets one up or changes it; see docs/integrations.md. `secret` goes to the vault."""
        answer = self.connection.json("PUT", path("apps", app, "integrations", name), dict(settings))
        return cast(shapes.Integration, answer)

    def remove_integration(self, app: str, name: str) -> None:
        self.connection.json("DELETE", path("apps", app, "integrations", name))

    def clear_integration(self, app: str, name: str) -> int:
        """Forgets the answers that were kept; how many there were."""
        return int(
            self.connection.json("DELETE", path("apps", app, "integrations", name, "cache"))["cleared"]
        )

    def test_integration(self, app: str, name: str, where: str = "") -> shapes.Tried:
        """One GET of the service, `where` below its base."""
        answer = self.connection.json(
            "POST", path("apps", app, "integrations", name, "test"), {"path": where}
        )
        return cast(shapes.Tried, answer)

    # ── secrets and the vault ──────────────────────────────────────────────────────────────────────────────

    def secrets(self, app: str | None = None) -> list[shapes.Secret]:
        """The names of an app's secrets, or without one of all."""
        found = self._get(*_of_app(app), "secrets")["secrets"]
        return cast("list[shapes.Secret]", found)

    def set_secret(self, name: str, value: str, app: str | None = None) -> None:
        """Stores or replaces a secret of an app, or without one of the server."""
        self.connection.json("PUT", path(*_of_app(app), "secrets", name), {"value": value})

    def remove_secret(self, name: str, app: str | None = None) -> None:
        self.connection.json("DELETE", path(*_of_app(app), "secrets", name))

    def vault(self) -> shapes.Vaults:
        return cast(shapes.Vaults, self._get("vault"))

    def unlock_vault(self, passphrase: str, *, create: bool = False) -> shapes.Vaults:
        """Unlocks the sealed file, or with `create` makes it."""
        body = {"passphrase": passphrase, "create": create}
        return cast(shapes.Vaults, self.connection.json("POST", path("vault", "unlock"), body))

    def lock_vault(self) -> shapes.Vaults:
        return cast(shapes.Vaults, self.connection.json("POST", path("vault", "lock")))

    def change_passphrase(self, old: str, new: str) -> shapes.Vaults:
        body = {"old": old, "new": new}
        return cast(shapes.Vaults, self.connection.json("POST", path("vault", "passphrase"), body))

    def move_secrets(self, to: str) -> shapes.MovedSecrets:
        """Moves every secret to the vault `os_keyring` or `sealed_file`; a keyring takes its time."""
        with Connection(self.server, timeout_s=MOVING_S) as connection:
            answer = connection.json("POST", path("vault", "move"), {"to": to})
        return cast(shapes.MovedSecrets, answer)


def _of_app(app: str | None) -> tuple[str, ...]:
    return () if app is None else ("apps", app)


def attachment_path(app: str, collection: str, document: str, name: str) -> str:
    return path("apps", app, "collections", collection, "documents", document, "attachments", name)


def _lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for document in documents:
        yield json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def events(lines: Iterable[bytes]) -> Iterator[str]:
    """The data of each server-sent event. <https://html.spec.whatwg.org/multipage/server-sent-events.html>"""
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8").rstrip("\r\n")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))

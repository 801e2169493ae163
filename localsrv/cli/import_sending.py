"""Sending an import to the server: the app, the definitions, then the documents in bounded batches."""

from __future__ import annotations

from typing import Any

from localsrv.base.errors import LocalsrvError, TooLarge
from localsrv.cli.import_progress import Listener
from localsrv.client import ApiError, Client, NotRunning
from localsrv.client.connection import path
from localsrv.importing.documents import Batch, batches, documents
from localsrv.importing.merging import merged
from localsrv.importing.plans import ImportPlan, TablePlan
from localsrv.importing.tables import Source
from localsrv.model.schema_json import as_json
from localsrv.model.schema_parse import parse_collection

LISTED = 100


def send(
    client: Client, source: Source, plan: ImportPlan, app: str, title: str | None, listener: Listener
) -> dict[str, Any]:
    """Does what the plan says; the result as `--json` prints it.

    Nothing that is stored already is written again, so doing it twice, or once more after an interruption,
    is the same as doing it once.

    Raises:
        ApiError: the server refuses. TooLarge: one row is more than it takes. NotRunning: it went away.
    """
    created = _ensure_app(client, app, title)
    changes = _define(client, plan, app)
    listener.app(app, created, changes)
    try:
        counted = [_send_table(client, source, table, app, listener) for table in plan.tables]
    except NotRunning as error:
        raise NotRunning(
            error.message, details=error.details, hint="What was sent is kept: run the import again."
        ) from error
    # Only now is every document there that another may refer to.
    for table, entry in zip(plan.tables, counted, strict=True):
        _list_violations(client, app, table, entry)
    return {
        "dry_run": False,
        "app": app,
        "created_app": created,
        "changes": changes,
        "collections": counted,
        "notices": list(plan.notices),
    }


def known_keys(client: Client, app: str) -> dict[str, tuple[str, ...]]:
    """The keys of the collections that the app has; none if there is no such app."""
    try:
        there = client.collections(app)
    except ApiError as error:
        if error.http_status != 404:
            raise
        return {}
    return {c["name"]: tuple(c["definition"].get("key", ())) for c in there}


def _ensure_app(client: Client, app: str, title: str | None) -> bool:
    """True if the app had to be created."""
    try:
        client.app(app)
    except ApiError as error:
        if error.http_status != 404:
            raise
    else:
        return False
    try:
        client.create_app(app, title)
    except ApiError as error:
        if error.code != "app-exists":  # another import was faster
            raise
        return False
    return True


def _define(client: Client, plan: ImportPlan, app: str) -> list[str]:
    there = {c["name"]: c["definition"] for c in client.collections(app)}
    wanted = {}
    for name, collection in plan.collections.items():
        if name in there:
            collection = merged(parse_collection(name, there[name]), collection)
        definition = as_json(collection)
        if definition != there.get(name):
            wanted[name] = definition
    return client.define(app, wanted)["changes"] if wanted else []


def _send_table(
    client: Client, source: Source, table: TablePlan, app: str, listener: Listener
) -> dict[str, Any]:
    name = table.collection.name
    entry: dict[str, Any] = {"collection": name, "table": table.table.name}
    entry |= {"created": 0, "updated": 0, "unchanged": 0, "violations": [], "violation_count": 0}
    done = 0
    for batch in batches(documents(source, table)):
        result = _send_batch(client, app, table, batch, source.format)
        for count in ("created", "updated", "unchanged", "violation_count"):
            entry[count] += result[count]
        entry["violations"] = [*entry["violations"], *result["violations"]][:LISTED]
        done += batch.documents
        listener.progress(name, done, table.rows)
    return entry


def _send_batch(client: Client, app: str, table: TablePlan, batch: Batch, kind: str) -> Any:
    try:
        return client.import_documents(app, table.collection.name, batch.lines)
    except ApiError as error:
        word = "row" if kind == "sqlite" else "line"
        place = (
            f"{word} {batch.first}" if batch.first == batch.last else f"{word}s {batch.first} to {batch.last}"
        )
        where = f"Table `{table.table.name}`, {place}"
        if error.http_status == 413 and batch.documents == 1:
            raise TooLarge(
                f"{where}: with its BLOBs it is {len(batch.lines) >> 20} MB, more than the server takes.",
                details=place,
                hint="Raise max_body_mb in the server's settings and run the import again.",
            ) from error
        raise _placed(error, where) from error


def _placed(error: ApiError, where: str) -> LocalsrvError:
    body = {**error.as_dict(), "message": f"{where}: {error.message}"}
    return ApiError(error.http_status, body)


def _list_violations(client: Client, app: str, table: TablePlan, entry: dict[str, Any]) -> None:
    """Replaces what batches said by what is so now: rows that referred to later ones have found them."""
    definition = table.collection
    if not entry["violation_count"] and not entry["unchanged"]:
        return
    if not (definition.relations or definition.unique or entry["violation_count"]):
        return
    try:
        address = path("apps", app, "collections", definition.name, "violations")
        found = client.connection.json("GET", f"{address}?limit={LISTED}")
    except ApiError as error:
        if error.code != "query-timeout":
            raise
        return  # too many to look through in time: what the batches said stands
    entry["violations"], entry["violation_count"] = found["violations"], found["violation_count"]

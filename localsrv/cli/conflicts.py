"""`localsrv conflicts list|resolve`."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import click

from localsrv.base.errors import Conflict as ConflictError
from localsrv.base.errors import NotFound
from localsrv.cli import output

if TYPE_CHECKING:
    from localsrv.client.shapes import Conflict

_app = click.option("--app", default="default", show_default=True, help="The app.")


@click.group()
def conflicts() -> None:
    """Show and settle documents that were changed in two places at once."""


@conflicts.command("list")
@click.argument("collection", required=False)
@_app
@output.json_option
def list_all(collection: str | None, app: str, as_json: bool) -> None:
    """List documents in conflict, of COLLECTION or of all, and what differs."""
    with output.client() as client:
        found = list(client.conflicts(app, collection))
    if as_json:
        output.print_json(found)
    elif not found:
        click.echo("There are no conflicts.")
    else:
        columns = ["collection", "id", "field", "before", "winner", "other", "other's revision"]
        output.print_table(columns, [row for one in found for row in _rows(one)])


def _rows(conflict: Conflict) -> list[list[Any]]:
    """A row for each field and each side that is not the winner's."""
    place = [conflict["collection"], conflict["id"]]
    return [
        [
            *place,
            ".".join(field["path"]),
            _value(field, "ancestor"),
            _value(winner),
            _value(other),
            other["rev"],
        ]
        for field in conflict["differences"]
        for winner, *others in [field["sides"]]
        for other in others
    ]


def _value(holder: Any, name: str = "value") -> str:
    return json.dumps(holder[name], ensure_ascii=False) if name in holder else "-"


@conflicts.command()
@click.argument("collection")
@click.argument("document_id", metavar="ID")
@_app
@click.option("--choose", metavar="REVISION", help="The side that stands, or how its revision begins.")
@click.option("--document", "file", type=click.File("rb"), help="A JSON file to store instead; - is stdin.")
@output.json_option
def resolve(
    collection: str, document_id: str, app: str, choose: str | None, file: IO[bytes] | None, as_json: bool
) -> None:
    """Settle the conflict of the document ID in COLLECTION."""
    if (choose is None) == (file is None):
        raise click.UsageError("Give either --choose or --document.")
    decided: dict[str, Any] = {} if file is None else {"document": _document(file)}
    with output.client() as client:
        found = client.conflict(app, collection, document_id)
        if found is None:
            raise NotFound(
                f"`{document_id}` in `{collection}` is in no conflict.", hint="See localsrv conflicts list."
            )
        leaves = [side["rev"] for side in found["sides"]]
        if choose is not None:
            decided = {"choose": _chosen(leaves, choose)}
        body = {"collection": collection, "id": document_id, "leaves": leaves, **decided}
        done = client.resolve_conflict(app, body)
    if as_json:
        output.print_json(done)
    else:
        click.echo(f"Settled: {done['rev']} stands.")


def _document(file: IO[bytes]) -> dict[str, Any]:
    try:
        found = json.loads(file.read())
    except ValueError as error:
        raise click.UsageError(f"--document is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise click.UsageError("--document must be a JSON object.")
    return found


def _chosen(leaves: list[str], beginning: str) -> str:
    fitting = [leaf for leaf in leaves if leaf.startswith(beginning)]
    if len(fitting) != 1:
        raise ConflictError(
            f"{'No' if not fitting else 'More than one'} revision in conflict begins with `{beginning}`.",
            details=", ".join(leaves),
            hint="See localsrv conflicts list.",
        )
    return fitting[0]

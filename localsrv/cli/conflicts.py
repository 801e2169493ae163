"""`localsrv conflicts list|resolve`."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import click

from localsrv.base.errors import Conflict as ConflictError
from localsrv.base.errors import NotFound
from localsrv.cli import output
from localsrv.cli.arguments import Group

if TYPE_CHECKING:
    from localsrv.client.shapes import Conflict

LONGEST = 300
"""How much of a value is shown; --json has all of it."""

_app = click.option("--app", default="default", show_default=True, help="The app.")


@click.group(cls=Group)
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
        click.echo(f"There are no conflicts in {app}.")
    else:
        for one in found:
            _tell(one)
        option = "" if app == "default" else f" --app {app}"
        output.say(
            "", f"Settle one: localsrv conflicts resolve COLLECTION ID{option} --choose REVISION", indent=4
        )


def _tell(conflict: Conflict) -> None:
    """The sides' revisions, and each field that differs: what it was before, and on each side."""
    output.say("", f"{conflict['collection']}  {conflict['id']}")
    names = {side["rev"]: _name(at) for at, side in enumerate(conflict["sides"])}
    for revision, name in names.items():
        click.echo(f"  {name:<8}{revision}")
    for field in conflict["differences"]:
        output.say("  ", ".".join(field["path"]))
        if "ancestor" in field:
            _tell_value("before", field["ancestor"])
        for side in field["sides"]:
            if "value" in side:
                _tell_value(names[side["rev"]], side["value"])
            else:
                output.say(f"    {names[side['rev']]:<8}", "(not there)")
    click.echo()


def _name(at: int) -> str:
    return "winner" if at == 0 else "other" if at == 1 else f"other {at}"


def _tell_value(name: str, value: Any) -> None:
    text = output.shortened(output.shown(json.dumps(value, ensure_ascii=False)), LONGEST)
    output.say(f"    {name:<8}", text, may_break=True)


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

"""`localsrv requests|approve|refuse`: who asks for access, and what you decide."""

from __future__ import annotations

import click

from localsrv.cli import output
from localsrv.cli.keys import seconds
from localsrv.client.shapes import PairingRequest

_WAIT_S = 30


@click.command()
@click.option("--watch", is_flag=True, help="Stay, and show each request when it comes.")
@output.json_option
def requests(watch: bool, as_json: bool) -> None:
    """List the programs and pages that wait for being let in."""
    with output.client() as client:
        found = client.requests()
        _show(found["requests"], as_json, is_first=True)
        known = {request["id"] for request in found["requests"]}
        while watch:
            found = client.requests(version=found["version"], wait=_WAIT_S)
            new = [request for request in found["requests"] if request["id"] not in known]
            known = {request["id"] for request in found["requests"]}
            if new:
                _show(new, as_json, is_first=False)


def _show(found: list[PairingRequest], as_json: bool, *, is_first: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    if not found and is_first:
        click.echo("Nobody waits.")
    for request in found:
        described(request)


def described(request: PairingRequest) -> None:
    """Prints what is claimed, and apart from it what the browser says."""
    shown = output.shown
    click.echo(f"{request['code'] or request['id']}  calls itself “{shown(request['name'])}”")
    click.echo(f"  from     {_source(request)}")
    if request["sent_by"] is not None:
        click.echo(f"  sent by  {shown(request['sent_by'])}")
    click.echo(f"  app      {request['app'] or 'left to you: --app'}")
    for at, words in enumerate(request["words"]):
        click.echo(f"  {'wants to ' if at == 0 else '         '}{shown(words)}")
    click.echo(f"  scopes   {' '.join(request['scopes'])}")


def _source(request: PairingRequest) -> str:
    if request["origin"] is not None:
        return f"the page {output.shown(request['origin'])}, as the browser says"
    if request["answer_to"] is not None:
        return f"a program; the answer goes to {output.shown(request['answer_to'])}"
    return "a program on this computer; nothing proves which"


@click.command()
@click.argument("request", metavar="CODE")
@click.option("--app", "app", metavar="APP", help="The app it is let into; `*` is all.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="Allow only this of what it asks for; several times.",
)
@click.option("--once", is_flag=True, help="For an hour, without renewal.")
@click.option(
    "--expires", metavar="TIME", help="For how long: 90s, 15m, 12h, 30d, 8w. Default: until you revoke it."
)
@output.json_option
def approve(
    request: str, app: str | None, scopes: tuple[str, ...], once: bool, expires: str | None, as_json: bool
) -> None:
    """Let in what waits with this CODE (or id). Compare the code with what the program shows."""
    expires_in = None if expires is None else seconds(expires)
    with output.client() as client:
        done = client.approve_request(
            request, app=app, scopes=scopes or None, once=once, expires_in=expires_in
        )
    if as_json:
        output.print_json(done)
        return
    where = "every app" if done["app"] == "*" else done["app"]
    click.echo(f"“{output.shown(done['name'])}” may, in {where}{', for an hour' if once else ''}:")
    for words in done["words"]:
        click.echo(f"  {output.shown(words)}")
    click.echo("End it with: localsrv grants list, localsrv grants revoke ID", err=True)


@click.command()
@click.argument("request", metavar="CODE")
@output.json_option
def refuse(request: str, as_json: bool) -> None:
    """Refuse what waits with this CODE (or id). Who is refused twice is not heard for an hour."""
    with output.client() as client:
        done = client.refuse_request(request)
    if as_json:
        output.print_json(done)
        return
    muted = " It is not heard for an hour." if done["muted"] else ""
    click.echo(f"Refused “{output.shown(done['name'])}”.{muted}")

"""HTTP to the running server, on one kept connection, with its errors as errors of the tree."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from localsrv.base.errors import LocalsrvError
from localsrv.base.proof import proof
from localsrv.base.server_file import RunningServer

Body = bytes | Iterable[bytes] | BinaryIO

_CHUNK = 1 << 16
_LONGEST_PROOF = 1000


class NotRunning(LocalsrvError):
    """No server runs, or the one that ran went away."""

    status = 503
    code = "not-running"


class Stranger(LocalsrvError):
    """Who listens at the server's port does not know the owner token: it was sent nothing but a question."""

    status = 503
    code = "stranger"


class ApiError(LocalsrvError):
    """The server refused. `status` is its HTTP status; code, message, details and hint are its own."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(
            str(body.get("message") or f"The server answered with status {status}."),
            code=str(body.get("code") or "unexpected-answer"),
            details=body.get("details"),
            hint=body.get("hint"),
        )
        self.http_status = status


class Connection:
    """Requests to one server. Not for several threads at once. Close it, or use it as a context manager."""

    def __init__(self, server: RunningServer, *, timeout_s: float = 60.0) -> None:
        self.server = server
        self._timeout_s = timeout_s
        self._kept: http.client.HTTPConnection | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. `body` is sent as JSON unless it is None. Raises ApiError, NotRunning."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        headers = {} if data is None else {"Content-Type": "application/json"}
        return self.send(method, path, data, headers)

    def send(
        self, method: str, path: str, body: Body | None, headers: Mapping[str, str], *, repeat: bool = True
    ) -> Any:
        """The JSON that answers a body of bytes, or of a stream that is sent as it comes."""
        with self.open(method, path, body, headers, repeat=repeat) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeat: bool = True,
    ) -> Iterator[http.client.HTTPResponse]:
        """A successful answer, to be read as a stream. Raises ApiError for any other, NotRunning.

        A connection that the server closed while it was idle is replaced once, if the body can be sent again.
        """
        can_repeat = repeat and (body is None or isinstance(body, bytes)) and self._kept is not None
        try:
            answer = self._request(method, path, body, headers or {})
        except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
            self.close()
            if not can_repeat:
                raise _gone(self.server) from None
            try:
                answer = self._request(method, path, body, headers or {})
            except (OSError, http.client.HTTPException):
                self.close()
                raise _gone(self.server) from None
        except TimeoutError:
            self.close()
            raise _late(self.server, self._timeout_s) from None
        try:
            if answer.status >= 400:
                raise _refusal(answer)
            yield answer
        except (ConnectionError, http.client.IncompleteRead):
            self.close()
            raise _gone(self.server) from None
        except TimeoutError:
            self.close()
            raise _late(self.server, self._timeout_s) from None
        finally:
            if not answer.isclosed():  # not read to its end: the connection cannot be used again
                self.close()

    def _request(
        self, method: str, path: str, body: Body | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        if self._kept is not None and self._kept.sock is None:  # the answer before was the connection's last
            self._kept = None
        kept = self._kept = self._kept or self._connect()
        sent = {
            "Authorization": f"Bearer {self.server.token}",
            "Host": urlsplit(self.server.url).netloc,
            **headers,
        }
        try:
            kept.request(method, path, body=body, headers=sent)
        except (BrokenPipeError, ConnectionResetError) as error:
            # A server that refuses a large body answers before it has read it, and closes the connection.
            try:
                return kept.getresponse()
            except (OSError, http.client.HTTPException):
                raise error from None
        return kept.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        """To the addresses that the server itself listens on, never to what a name resolves to."""
        for host in self.server.hosts:
            connection = http.client.HTTPConnection(
                host, self.server.port, timeout=self._timeout_s, blocksize=_CHUNK
            )
            try:
                connection.connect()
            except OSError:
                connection.close()
                continue
            assert connection.sock is not None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.auto_open = 0  # one that it opens itself would not be asked for its proof
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        raise _gone(self.server)

    def _check(self, connection: http.client.HTTPConnection) -> None:
        """Has the other end prove that it knows the owner token, which it was not sent yet (`base.proof`).

        Raises Stranger.
        """
        host, port = connection.sock.getpeername()[:2]
        nonce = secrets.token_urlsafe(24)
        try:
            connection.request(
                "GET",
                path("challenge") + f"?nonce={nonce}",
                headers={"Host": urlsplit(self.server.url).netloc},
            )
            answer = connection.getresponse()
            given = json.loads(answer.read(_LONGEST_PROOF) or b"null")
            known = given["proof"] if isinstance(given, dict) else None
        except ConnectionError:  # it is going away; http.client's own class for that is an HTTPException too
            raise
        except (ValueError, KeyError, http.client.HTTPException):
            known = None
        if not isinstance(known, str) or not hmac.compare_digest(
            known.encode("utf-8", "replace"), proof(self.server.token, nonce, host, port).encode()
        ):
            raise Stranger(
                f"Another program answers at {self.server.url}.",
                hint="Nothing was sent to it. End it, then start localsrv again: localsrv serve",
            )


def _refusal(answer: http.client.HTTPResponse) -> ApiError:
    try:
        body = json.loads(answer.read())
    except ValueError:
        body = {}
    return ApiError(answer.status, body if isinstance(body, dict) else {})


def _gone(server: RunningServer) -> NotRunning:
    return NotRunning(f"The server at {server.url} does not answer.", hint="Start it with `localsrv serve`.")


def _late(server: RunningServer, limit: float) -> LocalsrvError:
    return LocalsrvError(f"The server at {server.url} did not answer within {limit:g} s.", code="late-answer")


def path(*segments: str) -> str:
    """`/api/v1/…` with every segment encoded."""
    return "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)

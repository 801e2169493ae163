"""The client's connection, against a server of raw bytes: what it keeps, repeats and refuses."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from localsrv.base.proof import proof
from localsrv.base.server_file import RunningServer
from localsrv.client import ApiError, Connection, NotRunning, Stranger
from localsrv.client.api import events

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


TOKEN = "lsk_x"


def prove(connection: socket.socket, token: str = TOKEN, host: str = "127.0.0.1") -> bytes:
    """Answers a challenge as a server that knows `token` and believes to be at `host`; the question."""
    question = _request(connection)
    nonce = question.split()[1].partition(b"?nonce=")[2].decode()
    body = json.dumps({"proof": proof(token, nonce, host, connection.getsockname()[1])}).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return question


class Script:
    """Proves itself on each connection, answers it with the next list of answers, one per request, and closes
    it then."""

    def __init__(self, connections: list[list[bytes]]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections = connections
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for answers in self._connections:
            connection, _ = self._listener.accept()
            with connection:
                assert TOKEN.encode() not in prove(connection)
                for answer in answers:
                    self.requests.append(_request(connection))
                    connection.sendall(answer)

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def script() -> Iterator[Callable[..., tuple[Script, Connection]]]:
    made: list[tuple[Script, Connection]] = []

    def make(*connections: list[bytes]) -> tuple[Script, Connection]:
        server = Script(list(connections))
        running = RunningServer(f"http://localhost:{server.port}", server.port, 1, "0", TOKEN, ("127.0.0.1",))
        made.append((server, Connection(running, timeout_s=5)))
        return made[-1]

    yield make
    for server, connection in made:
        connection.close()
        server.close()


Make = Callable[..., tuple[Script, Connection]]


def test_one_connection_for_many_requests(script: Make) -> None:
    server, connection = script([OK, OK])
    assert connection.json("GET", "/a") == {}
    assert connection.json("POST", "/b", {"é": 1}) == {}
    first, second = server.requests
    assert first.startswith(b"GET /a HTTP/1.1\r\n")
    assert b"Authorization: Bearer lsk_x\r\n" in first
    assert f"Host: localhost:{server.port}\r\n".encode() in first
    assert second.endswith('\r\n\r\n{"é": 1}'.encode())


def test_a_connection_closed_while_idle_is_replaced(script: Make) -> None:
    server, connection = script([OK], [OK])
    connection.json("GET", "/a")
    connection.json("POST", "/b", [1])
    assert [request.split()[1] for request in server.requests] == [b"/a", b"/b"]


def test_a_stream_is_never_sent_twice(script: Make) -> None:
    server, connection = script([OK], [])
    connection.json("GET", "/a")
    with pytest.raises(NotRunning):
        connection.send("POST", "/b", iter([b"1", b"2"]), {"Content-Length": "2"})
    assert len(server.requests) == 1
    with pytest.raises(NotRunning):
        connection.json("GET", "/c")


def test_nobody_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        connection = Connection(RunningServer("http://localhost:1", port, 1, "0", "lsk_x", ("127.0.0.1",)))
        with pytest.raises(NotRunning):
            connection.json("GET", "/a")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"code":"app-not-found","message":"No.","hint":"Look."}', "app-not-found", "No."),
        (b"<html>", "unexpected-answer", "The server answered with status 404."),
        (b"[1]", "unexpected-answer", "The server answered with status 404."),
    ],
)
def test_refusals_are_errors(script: Make, body: bytes, code: str, message: str) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
    _, connection = script([head + body, OK])
    with pytest.raises(ApiError) as caught:
        connection.json("GET", "/a")
    assert (caught.value.http_status, caught.value.code, caught.value.message) == (404, code, message)
    assert connection.json("GET", "/b") == {}


def test_an_answer_that_breaks_off(script: Make) -> None:
    _, connection = script([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
    with pytest.raises(NotRunning):
        connection.json("GET", "/a")


def test_an_early_refusal_of_a_large_body_is_told() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 22\r\nConnection: close\r\n\r\n"
    refusal += b'{"code": "too-large"}\r\n'[:22]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                prove(connection)
                connection.recv(1000)
                connection.sendall(refusal)
                connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=refuse)
        thread.start()
        port = listener.getsockname()[1]
        running = RunningServer(f"http://localhost:{port}", port, 1, "0", "lsk_x", ("127.0.0.1",))
        with Connection(running, timeout_s=5) as connection, pytest.raises((ApiError, NotRunning)) as caught:
            connection.send("POST", "/a", bytes(50_000_000), {})
        thread.join(10)
    # The operating system may drop the answer with the connection; when it keeps it, it is told.
    assert caught.value.code in ("too-large", "not-running")


def _says(body: bytes) -> Callable[[socket.socket], bytes]:
    def say(connection: socket.socket) -> bytes:
        question = _request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return question

    return say


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda c: prove(c, "lsk_another"), id="it knows another token"),
        pytest.param(lambda c: prove(c, host="::1"), id="it passes on what was proven at another address"),
        pytest.param(_says(b'{"proof": ""}'), id="an empty proof"),
        pytest.param(_says(b'{"proof": 1}'), id="a proof that is no text"),
        pytest.param(_says(b"<html>"), id="HTML"),
        pytest.param(_says(b"[]"), id="another JSON"),
        pytest.param(_says(b'{"proof": "' + b"x" * 100_000), id="an answer without end"),
    ],
)
def test_a_stranger_at_the_port_is_sent_nothing(answer: Callable[[socket.socket], bytes]) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                received.append(answer(connection))
                connection.settimeout(10)
                while more := connection.recv(65536):
                    received.append(more)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        running = RunningServer(f"http://localhost:{port}", port, 1, "0", TOKEN, ("127.0.0.1",))
        with Connection(running, timeout_s=5) as connection, pytest.raises(Stranger) as caught:
            connection.json("POST", "/a", {"secret": "hush"})
        thread.join(10)
    everything = b"".join(received)
    assert b"challenge" in everything
    assert TOKEN.encode() not in everything
    assert b"hush" not in everything
    assert "Another program answers" in caught.value.message


def test_who_closes_instead_of_proving_is_gone_and_no_stranger() -> None:
    """A server that is stopping does so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            connection, _ = listener.accept()
            with connection:
                _request(connection)

        thread = threading.Thread(target=close)
        thread.start()
        port = listener.getsockname()[1]
        running = RunningServer(f"http://localhost:{port}", port, 1, "0", TOKEN, ("127.0.0.1",))
        with Connection(running, timeout_s=5) as connection, pytest.raises(NotRunning):
            connection.json("GET", "/a")
        thread.join(10)


def test_every_connection_is_asked_anew(script: Make) -> None:
    """Also the one that follows an answer with `Connection: close`, which the library would make itself."""
    last = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    server, connection = script([last], [OK])
    connection.json("GET", "/a")
    connection.json("POST", "/b", [1])
    assert [request.split()[1] for request in server.requests] == [b"/a", b"/b"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"id: 1\n", b"data: a\n", b"\n"], ["a"]),
        ([b": ping\n", b"\n", b"data:a\r\n", b"data: b\r\n", b"\r\n"], ["a\nb"]),
        ([b"data: a\n", b"\n", b"data: not finished\n"], ["a"]),
    ],
)
def test_events(lines: list[bytes], expected: list[str]) -> None:
    assert list(events(lines)) == expected

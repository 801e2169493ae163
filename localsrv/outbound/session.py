"""Requests to one peer: credentials, limits, time limits, and one error for whatever goes wrong.

Redirects are never followed: the credentials belong to the origin they were given for. No cookies are kept,
no proxy is taken from the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from localsrv import __version__
from localsrv.base.errors import LocalsrvError
from localsrv.model.json_text import parse_marking
from localsrv.model.replication import Credentials
from localsrv.outbound import errors

MOST_BYTES = 64 << 20
"""The largest JSON answer that is read."""

CONNECTIONS = 12
CONNECT_S = 15.0
SILENCE_S = 60.0
TRIES = 3
_CHUNK = 1 << 16

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""A request's body; a stream is a function, since a repeated request needs it again."""


@functools.cache
def trust() -> ssl.SSLContext:
    """The authorities that this computer trusts. Read when first needed: it takes time and memory."""
    return ssl.create_default_context()


class Session:
    """A client of one origin. `sent` and `received` count the bytes of bodies."""

    def __init__(self, base: str, credentials: Credentials) -> None:
        """`base` is the address of a database, without a slash at its end."""
        self.base = base
        parts = URL(base)
        self.where = f"{parts.host}:{parts.port}"
        self.sent = self.received = 0
        self._headers = {
            "User-Agent": f"localsrv/{__version__}",
            "Accept": "application/json",
            **credentials.request_headers(),
        }
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _open(self) -> aiohttp.ClientSession:
        verified = await asyncio.to_thread(trust) if self.base.startswith("https:") else False
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=verified),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=None, sock_connect=CONNECT_S, sock_read=SILENCE_S
                ),
                read_bufsize=1 << 20,
            )
        return self._client

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        auto_decompress: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request whose answer is 2xx; its body is the caller's to read. `path` is encoded already.

        Raises:
            PeerError: of any kind; also what goes wrong while the caller reads.
        """
        data = body() if callable(body) else body
        url = URL(self.base + path, encoded=True)
        if query:
            url = url.with_query(query)
        try:
            client = await self._open()
            async with client.request(
                method,
                url,
                data=data,
                headers=headers,
                allow_redirects=False,
                auto_decompress=auto_decompress,
            ) as response:
                if not 200 <= response.status < 300:
                    raise errors.from_status(
                        response.status,
                        await self._error_body(response),
                        self.where,
                        response.headers.get("Retry-After"),
                    )
                if isinstance(data, bytes):
                    self.sent += len(data)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, LocalsrvError):  # our own body could not be read
                raise error.__cause__ from error
            raise errors.from_client(error, self.where) from error

    async def json(
        self,
        method: str,
        path: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        tries: int = TRIES,
    ) -> Any:
        """The JSON of an answer. A passing failure is tried again, `tries` times in all: every request made
        here may safely be repeated.

        Raises:
            PeerError: see `stream`; PeerGarbage when the answer is not JSON, PeerTooLarge when it has no end.
        """
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers
        for left in range(tries - 1, -1, -1):
            try:
                async with self.stream(method, path, query=query, body=body, headers=sent) as response:
                    return self._parsed(await self._read(response))
            except errors.PeerError as error:
                if not error.is_passing or not left or (error.after_s or 0) > 5:
                    raise
                pause = error.after_s or 0.2 * 4 ** (tries - 1 - left) * (0.5 + random.random())  # noqa: S311
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MOST_BYTES:
                raise errors.PeerTooLarge(
                    f"{self.where} answers more than {MOST_BYTES >> 20} MB at once.",
                    code="peer-answer-too-large",
                )
            parts.append(chunk)
        self.received += size
        return b"".join(parts)

    def _parsed(self, data: bytes) -> Any:
        try:
            return parse_marking(data)
        except RecursionError:
            raise errors.PeerGarbage(f"{self.where} answers JSON that nests too deep.") from None
        except orjson.JSONDecodeError:
            kind = "HTML" if data.lstrip()[:1] == b"<" else "something that is not JSON"
            raise errors.PeerGarbage(f"{self.where} answers {kind}.", hint=errors.NO_COUCHDB) from None

    async def _error_body(self, response: aiohttp.ClientResponse) -> Any:
        """The JSON of a refusal, if it has any; at most one chunk of it is looked at."""
        try:
            return orjson.loads(await response.content.read(_CHUNK))
        except (orjson.JSONDecodeError, aiohttp.ClientError, TimeoutError):
            return None

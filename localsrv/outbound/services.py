"""One request to an outside service, streamed both ways, and what can go wrong with it.

Nothing of an answer's body or of a request is put into an error or a log: either may hold a secret.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from localsrv.base.errors import LocalsrvError
from localsrv.model.integration_addresses import host_and_port
from localsrv.model.integration_headers import Headers, value_of
from localsrv.model.integrations import Limits
from localsrv.outbound.guarded import Outside, refused_address
from localsrv.outbound.session import trust

EVENT_STREAM = "text/event-stream"

Stream = Callable[[], AsyncIterator[bytes]]


class ServiceError(LocalsrvError):
    """Something about an outside service. `is_passing`: the service may answer another time."""

    status = 502
    code = "integration-failed"
    is_passing = True


class ServiceUnreachable(ServiceError):
    """No connection: no network, no such host, nobody listens. Nothing was sent."""

    code = "integration-unreachable"


class ServiceSilent(ServiceError):
    """It took longer than a limit allows. `details` names the limit."""

    status = 504
    code = "integration-timeout"


class ServiceTooLarge(ServiceError):
    """Its answer is larger than the limit."""

    code = "integration-answer-too-large"
    is_passing = False


class AddressForbidden(ServiceError):
    """Its host leads to an address that is not public, or to this server."""

    code = "integration-address-refused"
    is_passing = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request. `url` is encoded already; a `body` that is a stream can be sent once."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes | Stream | None = None


class Incoming:
    """An answer whose headers are there. Close it, whatever happens."""

    def __init__(
        self, response: aiohttp.ClientResponse, where: str, limits: Limits, deadline: float, *, whole: bool
    ) -> None:
        self.status = response.status
        self.headers: Headers = tuple(
            (name.decode("ascii", "replace"), value.decode("utf-8", "replace"))
            for name, value in response.raw_headers
        )
        self._response = response
        self._where = where
        self._limits = limits
        self._deadline = deadline
        self.is_events = (value_of(self.headers, "content-type") or "").lower().startswith(EVENT_STREAM)
        self.is_whole = False
        """Whether the body was read to its end."""
        self._is_head = not whole

    @property
    def length(self) -> int | None:
        """The body's length in bytes as it was told."""
        return None if self._is_head else self._response.content_length

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, encoded as it came.

        Raises:
            ServiceTooLarge, ServiceSilent, ServiceError: it broke off.
        """
        most = int(self._limits.response_mb * (1 << 20))
        left = most
        loop = asyncio.get_running_loop()
        try:
            while True:
                until = loop.time() + self._limits.silence_s
                is_late = until > self._deadline and not self.is_events
                async with asyncio.timeout_at(self._deadline if is_late else until):
                    chunk = await self._response.content.readany()
                if not chunk:
                    break
                left -= len(chunk)
                if left < 0 and not self.is_events:
                    raise self._too_large()
                yield chunk
        except TimeoutError as error:
            raise _silent(self._where, "total_s" if is_late else "silence_s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceError(f"{self._where} broke off its answer.") from error
        self.is_whole = True

    def check_length(self) -> None:
        """Raises ServiceTooLarge for a body that is said to be larger than the limit."""
        if not self.is_events and (self.length or 0) > int(self._limits.response_mb * (1 << 20)):
            raise self._too_large()

    def close(self) -> None:
        """Gives the connection back, or cuts it when the answer was not read to its end."""
        if self.is_whole:
            self._response.release()
        else:
            self._response.close()

    def _too_large(self) -> ServiceTooLarge:
        return ServiceTooLarge(
            f"{self._where} answers more than {self._limits.response_mb:g} MB.",
            details="response_mb",
            hint="The owner can raise the limit `response_mb` of this integration.",
        )


async def send(
    outside: Outside, outgoing: Outgoing, limits: Limits, *, is_named: bool, deadline: float | None = None
) -> Incoming:
    """Sends a request and returns when its answer begins. Redirects are not followed.

    `deadline` is when all must be over, on the loop's clock; after `total_s` unless given.

    Raises:
        ServiceError: of any kind. LocalsrvError: what reading the request's own body raised.
    """
    where = _where(outgoing.url)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limits.total_s if deadline is None else deadline
    patience = max(0.0, deadline - loop.time())
    is_late = True
    if not callable(outgoing.body):  # one that is still on its way may take longer to be answered
        is_late = patience < limits.connect_s + limits.first_byte_s
        patience = min(patience, limits.connect_s + limits.first_byte_s)
    verified = await asyncio.to_thread(trust) if outgoing.url.startswith("https:") else True
    try:
        async with asyncio.timeout(patience):
            response = await outside.session(is_named=is_named).request(
                outgoing.method,
                URL(outgoing.url, encoded=True),
                headers=list(outgoing.headers),
                data=outgoing.body() if callable(outgoing.body) else outgoing.body,
                allow_redirects=False,
                ssl=verified,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s),
            )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise _translated(error, where, "total_s" if is_late else "first_byte_s") from error
    if response.status < 200:  # 101, after which anything may come that is no answer's body
        response.close()
        raise ServiceError(f"{where} does not speak HTTP.")
    incoming = Incoming(response, where, limits, deadline, whole=outgoing.method != "HEAD")
    try:
        incoming.check_length()
    except ServiceTooLarge:
        incoming.close()
        raise
    return incoming


def _translated(error: BaseException, where: str, limit: str) -> LocalsrvError:
    if isinstance(error.__cause__, LocalsrvError):  # our own body could not be read
        return error.__cause__
    if (kind := refused_address(error)) is not None:
        return _forbidden(where, kind)
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return ServiceUnreachable(
            f"{where} has no certificate that this computer trusts.",
            code="integration-certificate",
            hint="Use the name that the certificate was made for.",
        )
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ServiceUnreachable(f"{where} cannot be reached in time.", details="connect_s")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ServiceUnreachable(
            f"{where} cannot be reached.", hint="Is there a network, and is the address right?"
        )
    if isinstance(error, TimeoutError):
        return _silent(where, limit)
    if isinstance(error, aiohttp.InvalidURL):
        return _forbidden(where, "malformed")
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        return ServiceError(f"{where} does not speak HTTP.")
    return ServiceError(f"The connection to {where} broke.")


def _silent(where: str, limit: str) -> ServiceSilent:
    return ServiceSilent(
        f"{where} takes too long to answer.",
        details=limit,
        hint=f"The owner can raise the limit `{limit}` of this integration.",
    )


def _forbidden(where: str, kind: str) -> AddressForbidden:
    if kind == "self":
        return AddressForbidden(
            f"{where} is this server itself.", details=kind, hint="An integration is for outside services."
        )
    return AddressForbidden(
        f"{where} leads to an address that is not public ({kind}).",
        details=kind,
        hint="If it should, the owner names the host: localsrv integration set NAME --allow-host HOST.",
    )


def _where(url: str) -> str:
    host, port = host_and_port(url)
    return host if port in (80, 443) else f"{host}:{port}"

"""What an app gets of a call: an answer that is streamed, or one that was kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from localsrv.base.errors import LocalsrvError
from localsrv.model.integration_headers import Headers, to_return
from localsrv.outbound.services import Incoming, ServiceError
from localsrv.services.integrations.kept import Gathering, KeptAnswers, Storing
from localsrv.services.integrations.kept_rules import Kept, is_unchanged

_SHORTEST_SECRET = 8
"""Shorter texts stand in headers by chance."""


class Answer:
    """What the app gets. `chunks` once; close it, whatever happens. `length` in bytes, None if not known."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        *,
        length: int | None = None,
        is_events: bool = False,
        body: bytes = b"",
        incoming: Incoming | None = None,
        storing: Storing | None = None,
        kept: KeptAnswers | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = len(body) if incoming is None else length
        self.is_events = is_events
        self._body = body
        self._incoming = incoming
        self._storing = storing
        self._kept = kept
        self.on_failure: Callable[[LocalsrvError], None] | None = None
        """Told when the body breaks off."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises ServiceError when it breaks off. One that may be kept is kept at its end."""
        if self._incoming is None:
            if self._body:
                yield self._body
            return
        gathering = None if self._storing is None or self._kept is None else Gathering(self._kept)
        try:
            async with aclosing(self._incoming.chunks()) as chunks:
                async for chunk in chunks:
                    if gathering is not None:
                        gathering.add(chunk)
                    yield chunk
            if gathering is not None and self._storing is not None:
                await gathering.store(self._storing)
        except ServiceError as error:
            if self.on_failure is not None:
                self.on_failure(error)
            raise
        finally:
            if gathering is not None:
                gathering.end()

    def close(self) -> None:
        if self._incoming is not None:
            self._incoming.close()


def without(headers: Headers, hidden: tuple[str, ...]) -> Headers:
    """Headers without those that repeat one of these texts."""
    texts = [text for text in hidden if len(text) >= _SHORTEST_SECRET]
    return tuple((name, value) for name, value in headers if not any(text in value for text in texts))


def streamed(
    incoming: Incoming,
    hidden: tuple[str, ...],
    storing: Kept | Storing | None = None,
    kept: KeptAnswers | None = None,
) -> Answer:
    """An answer that is still coming; `hidden` are texts that no client may be shown."""
    return Answer(
        incoming.status,
        without(to_return(incoming.headers), hidden),
        length=incoming.length,
        is_events=incoming.is_events,
        incoming=incoming,
        storing=storing if isinstance(storing, Storing) else None,
        kept=kept,
    )


def told(answer: Kept, headers: Headers) -> Answer:
    """A kept answer, or that the client has it already."""
    if is_unchanged(headers, answer):
        return Answer(304, tuple((n, v) for n, v in answer.headers if not n.startswith("content-")))
    return Answer(answer.status, answer.headers, body=answer.body)

"""Which form an answer takes: `Accept`, by quality and then by order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from localsrv.base.errors import NotAcceptable

JSON = "application/json"
OBJECT = "application/vnd.pgrst.object+json"
ARRAY = "application/vnd.pgrst.array+json"
CSV = "text/csv"


@dataclass(frozen=True)
class Form:
    """The chosen form. `strips_nulls` leaves null members out of objects."""

    media_type: str = JSON
    strips_nulls: bool = False

    @property
    def is_object(self) -> bool:
        return self.media_type == OBJECT

    @property
    def is_csv(self) -> bool:
        return self.media_type == CSV

    @cached_property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        nulls = ";nulls=stripped" if self.strips_nulls else ""
        return f"{self.media_type}{nulls}; charset=utf-8"


PLAIN = Form()
_OFFERED = {
    JSON: PLAIN,
    "*/*": PLAIN,
    "application/*": PLAIN,
    OBJECT: Form(OBJECT),
    "application/vnd.pgrst.object": Form(OBJECT),
    ARRAY: Form(ARRAY),
    "application/vnd.pgrst.array": Form(ARRAY),
    CSV: Form(CSV),
    "text/*": Form(CSV),
}


@lru_cache(maxsize=256)
def negotiate(accept: str | None) -> Form:
    """The best form that the header accepts; JSON without one.

    Raises:
        NotAcceptable: nothing that the header names is offered.
    """
    if not accept or accept == "*/*":
        return PLAIN
    ranked: list[tuple[float, int, Form]] = []
    for place, part in enumerate(accept.split(",")):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        options = dict(p.split("=", 1) for p in parameters if "=" in p)
        form = _OFFERED.get(media_type)
        if form is None:
            continue
        if options.get("nulls") == "stripped" and form.media_type in (OBJECT, ARRAY):
            form = Form(form.media_type, strips_nulls=True)
        try:
            quality = float(options.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            ranked.append((-quality, place, form))
    if not ranked:
        raise NotAcceptable(
            f"None of these media types are available: {accept[:200]}",
            hint=f"Offered are {JSON}, {OBJECT}, {ARRAY} and {CSV}.",
        )
    return min(ranked, key=lambda r: r[:2])[2]

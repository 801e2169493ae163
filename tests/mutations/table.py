"""Every defence, by who is kept out."""

from __future__ import annotations

from tests.mutations import browsers, keeping, outside, pairing, requests

DEFENCES = (
    *browsers.DEFENCES,
    *requests.DEFENCES,
    *pairing.DEFENCES,
    *outside.DEFENCES,
    *keeping.DEFENCES,
)

"""What a vault is: secrets by name, and words for the person about where they lie.

Names and secrets are checked here, alike for every implementation, so that what one vault took another takes
too when secrets move. Nothing in this package puts a secret into an error, a log or a `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from localsrv.base.errors import InvalidValue, VaultError

Kind = Literal["os_keyring", "sealed_file"]
"""Which implementation, in the words of the setting `vault`."""

State = Literal["unused", "ok", "locked", "absent", "refused", "silent", "failing", "damaged", "too-new"]
"""`unused`: nothing was asked of it yet. `absent`: no keyring here, or no sealed file yet. `refused`: only
keyrings that keep no secrets. `silent`: it does not answer in time. `failing`: it answers with errors or
does not give back what was written. `damaged`, `too-new`: the sealed file cannot be read, or not by this
version."""

MAX_SECRET = 1 << 20
"""Bytes of one secret in UTF-8."""

MAX_NAME = 300
"""Characters of a name. Names are made by this program: `secret:shop:openai`."""


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """`backend`: the keyring's own name, or `sealed file`; None when there is none."""

    kind: Kind
    backend: str | None
    state: State

    @property
    def words(self) -> str:
        """Which vault is in use and how it is, for a person."""
        subject, states = _WORDS[self.kind]
        name = f" ({self.backend})" if self.backend and self.kind == "os_keyring" else ""
        return f"{subject}{name}{states.get(self.state, f', {self.state}')}"


_WORDS: dict[Kind, tuple[str, dict[State, str]]] = {
    "os_keyring": (
        "the keyring of your desktop",
        {
            "unused": ", not used so far",
            "ok": ", unlocked",
            "locked": ", locked: unlock it",
            "absent": ", but this session has none",
            "refused": ", but the one here keeps no secret safe",
            "silent": ", which does not answer in time",
            "failing": ", which answers with errors",
        },
    ),
    "sealed_file": (
        "a sealed file",
        {
            "ok": ", unlocked",
            "locked": ", locked: unlock it with localsrv vault unlock",
            "absent": ", which is not made yet (localsrv vault unlock --create makes it; "
            "localsrv secrets move --to sealed_file makes and uses it)",
            "damaged": ", which is damaged",
            "too-new": ", which a newer localsrv wrote",
            "failing": ", which cannot be read or written",
        },
    ),
}


class Vault(Protocol):
    """Secrets by name. All methods belong to one event loop; every one raises VaultError when the vault
    refuses.

    A vault cannot list what it holds: keyrings cannot either. Whoever keeps secrets keeps a list of names
    (`services.vaults`).
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def status(self) -> VaultStatus:
        """How it is, as far as that is known. Costs nothing and never waits."""

    async def get(self, name: str) -> str | None:
        """The secret, or None if there is none."""

    async def set(self, name: str, secret: str) -> None:
        """Stores a secret of 1 to `MAX_SECRET` bytes; durable when this returns. One that was there under the
        name is replaced, and stays whole when this fails. Raises InvalidValue for what no vault takes."""

    async def delete(self, name: str) -> bool:
        """Removes a secret; False if there was none."""

    async def probe(self) -> VaultStatus:
        """Finds out whether secrets can be kept now. Never raises, never opens a dialog."""


def check_name(name: str) -> None:
    """Raises InvalidValue for a name that some keyring would not keep apart from another."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidValue(
            "This cannot be the name of a secret.",
            code="bad-secret-name",
            details=f"{len(name)} characters",
            hint=f"A name has 1 to {MAX_NAME} printable characters.",
        )


def check_secret(secret: str) -> None:
    """Raises InvalidValue for a text that is empty, too long, or no Unicode; its content is not told."""
    try:
        size = len(secret.encode())
    except UnicodeEncodeError:
        raise InvalidValue(
            "A secret must be Unicode text.", code="bad-secret", hint="Half a surrogate pair is none."
        ) from None
    if not 0 < size <= MAX_SECRET:
        raise InvalidValue(
            "A secret cannot be empty." if not size else "This secret is too long.",
            code="bad-secret",
            details=f"{size} bytes",
            hint=f"A secret has 1 to {MAX_SECRET} bytes.",
        )


def damaged(what: str, hint: str) -> VaultError:
    """An error that says that something sealed cannot be opened though the key is right."""
    return VaultError(what, code="vault-damaged", hint=hint)


def too_new(what: str) -> VaultError:
    """An error for what a newer version sealed."""
    return VaultError(
        f"{what} was written by a newer localsrv.",
        code="vault-too-new",
        hint="Install that version again. Nothing was changed.",
    )

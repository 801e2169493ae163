"""Which keyring of this machine may hold secrets.

`keyring` chooses by priority among what is installed, and that may be a plain text file (`keyrings.alt`), a
backend that forgets everything (`null`) or one that always fails (`fail`, its way to say «none found»).
None of them may ever look like a vault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localsrv.base.errors import VaultError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

NO_KEYRING_HINT = (
    "Log in to a desktop session with a keyring (GNOME Keyring, KWallet or KeePassXC), or start one; or keep "
    "secrets in a file under a passphrase: localsrv secrets move --to sealed_file"
)


def choose() -> KeyringBackend:
    """The keyring that this person configured or that suits the machine best.

    Blocks: backends talk to the session bus. Raises VaultError `vault-absent` when there is none and
    `vault-refused` when there are only ones that keep no secrets.
    """
    import keyring

    chosen = keyring.get_keyring()
    candidates: list[KeyringBackend] = list(
        getattr(chosen, "backends", [chosen])
    )  # the chainer holds several
    for candidate in candidates:
        if not _fails(candidate) and not keeps_no_secret(candidate):
            return candidate
    refused = [name(candidate) for candidate in candidates if not _fails(candidate)]
    if refused:
        raise VaultError(
            f"The keyring {refused[0]} does not keep secrets, so none is given to it.",
            code="vault-refused",
            details=", ".join(refused),
            hint=NO_KEYRING_HINT,
        )
    raise VaultError("This session has no keyring.", code="vault-absent", hint=NO_KEYRING_HINT)


def name(backend: KeyringBackend) -> str:
    """A backend as status shows it: `SecretService`, `Windows`, `macOS`, `keyrings.alt.file`."""
    module = type(backend).__module__
    return module.removeprefix("keyring.backends.")


def keeps_no_secret(backend: KeyringBackend) -> bool:
    """Whether it (or what it extends) writes plain text, forgets, or asks for a passphrase on a terminal."""
    return any(
        kind.__module__ == "keyring.backends.null" or kind.__module__.split(".")[:2] == ["keyrings", "alt"]
        for kind in type(backend).__mro__
    )


def _fails(backend: KeyringBackend) -> bool:
    return type(backend).__module__ == "keyring.backends.fail"


def is_locked(backend: KeyringBackend) -> bool:
    """Whether its collection waits to be unlocked, found out without opening a dialog.

    Only a Secret Service can tell; others answer False. Blocks, for ever if the service hangs. Raises what
    SecretStorage raises.
    """
    if not type(backend).__module__.endswith((".SecretService", ".libsecret")):
        return False
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        return bool(secretstorage.get_default_collection(connection).is_locked())
    finally:
        connection.close()

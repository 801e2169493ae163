"""What keeps secrets where they belong: the vault, its file, and what is written down."""

from __future__ import annotations

from tests.mutations.defence import Defence

BACKENDS = "localsrv/vault/backends.py"
KEYRING = "localsrv/vault/os_keyring.py"
FORMAT = "localsrv/vault/sealed_format.py"
SEALING = "localsrv/vault/sealing.py"
OS = "tests/vault/test_os_keyring.py"
FILE = "tests/vault/test_sealed_file.py"

DEFENCES = (
    Defence(
        "a keyring that keeps plain text",
        BACKENDS,
        "if not _fails(candidate) and not keeps_no_secret(candidate):",
        "if not _fails(candidate):",
        (f"{OS}::test_backends",),
    ),
    Defence(
        "a keyring that always fails",
        BACKENDS,
        "if not _fails(candidate) and not keeps_no_secret(candidate):",
        "if not keeps_no_secret(candidate):",
        (f"{OS}::test_backends",),
    ),
    Defence(
        "a keyring that hangs",
        "localsrv/vault/calls.py",
        "                async with asyncio.timeout(self._limit_s):",
        "                async with asyncio.timeout(60):",
        (f"{OS}::test_a_hung_call_does_not_pile_up_threads",),
    ),
    Defence(
        "a keyring that hangs again and again",
        "localsrv/vault/calls.py",
        "            if self._why is not None and self._thread is not None and self._thread.is_alive():",
        "            if False:",
        (f"{OS}::test_a_hung_call_does_not_pile_up_threads",),
    ),
    Defence(
        "a keyring that loses an entry",
        KEYRING,
        "            return None if entry is None else self._large.secret(name, entry)",
        '            return "" if entry is None else self._large.secret(name, entry)',
        (f"{OS}::test_a_lost_entry",),
    ),
    Defence(
        "a keyring that refuses, in words that quote the secret",
        KEYRING,
        "            raise failure from None  # the cause may quote the secret",
        "            raise failure from error",
        (f"{OS}::test_a_failure_that_quotes_the_secret",),
    ),
    Defence(
        "a keyring that forgets what is written",
        KEYRING,
        "        return found == value",
        "        return True",
        (f"{OS}::test_backends",),
    ),
    Defence(
        "a sealed file that was changed",
        SEALING,
        "        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)",
        "        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes\n"
        "        start = sealed[:NONCE_BYTES] + b'\\0\\0\\0\\2'\n"
        "        return Cipher(algorithms.AES(key), modes.CTR(start)).decryptor()"
        ".update(sealed[NONCE_BYTES:-16])",
        (f"{FILE}::test_every_flipped_byte_is_noticed", "tests/vault/test_sealing.py::test_sealed_is_bound"),
    ),
    Defence(
        "two sealed secrets that were swapped",
        "localsrv/vault/large.py",
        "    return _FIRST_LINE + name.encode()",
        "    return _FIRST_LINE",
        (f"{OS}::test_two_files_cannot_be_swapped",),
    ),
    Defence(
        "a wrong passphrase",
        FORMAT,
        "    if not hmac.compare_digest(_check(derived), sealed.check):\n        return None\n",
        "",
        (f"{FILE}::test_locked_until_its_passphrase_comes",),
    ),
    Defence(
        "a header that asks for all memory",
        SEALING,
        "        if self.memory_kib > _MOST_MEMORY_KIB or self.rounds > 64 or self.lanes > 64:",
        "        if self.rounds > 64 or self.lanes > 64:",
        (f"{FILE}::test_a_header_cannot_ask_for_everything[all memory]",),
    ),
    Defence(
        "a passphrase that is cheap to guess",
        SEALING,
        'ARGON2ID = Cost("argon2id", 64 * 1024, 3, 4)',
        'ARGON2ID = Cost("argon2id", 8 * 1024, 1, 1)',
        ("tests/vault/test_sealing.py::test_what_new_files_cost",),
    ),
    Defence(
        "passphrases are guessed by the API",
        "localsrv/services/unlocking.py",
        "                    if self._failures >= FREE:",
        "                    if False:",
        ("tests/services/test_unlocking.py::test_failures_cost_ever_more",),
    ),
    Defence(
        "the use of a secret is in no list",
        "localsrv/services/secrets.py",
        "        self._audit.note(SECRET_USED, grant=grant, app=app, subject=name)\n",
        "",
        ("tests/services/test_secrets.py::test_set_list_use_remove",),
    ),
    Defence(
        "a secret is read back",
        "localsrv/web/admin/secrets.py",
        'return json_answer({"name": name, "app": app}, status=201 if is_new else 200)',
        'return json_answer({"name": name, "app": app, **body}, status=201 if is_new else 200)',
        ("tests/web/test_secrets.py",),
    ),
    Defence(
        "another app's secrets",
        "localsrv/web/admin/secrets.py",
        '    *_routes("/api/v1/apps/{app}/secrets", SECRETS_USE, "the app"),',
        '    *_routes("/api/v1/apps/{app}/secrets", "any", "the app"),',
        ("tests/web/test_secrets.py",),
    ),
    Defence(
        "a failed sign-in is in no list",
        "localsrv/web/dispatch.py",
        '        self._services.audit.note(SIGN_IN_FAILED, origin=origin, details={"why": error.code})\n',
        "",
        ("tests/web/test_audit.py::test_failed_sign_ins_are_noted_without_the_token",),
    ),
    Defence(
        "who has no access pushes everything else out of the audit log",
        "localsrv/store/audit.py",
        "                if any(entry.event in OF_ANYBODY for entry in entries):",
        "                if False:",
        ("tests/services/test_audit.py::test_what_anybody_can_cause_pushes_nothing_else_out",),
    ),
    Defence(
        "a failed sign-in by a WebSocket is in no list",
        "localsrv/web/live.py",
        "        raise services(request).sign_in_failed(request, error) from None",
        "        raise error from None",
        ("tests/web/test_audit.py::test_failed_sign_ins_of_sockets_are_noted_and_counted",),
    ),
    Defence(
        "ids in the log",
        "localsrv/web/dispatch.py",
        "request.method, _shown(request), error.message, error.code)",
        "request.method, request.path, error.message, error.code)",
        ("tests/e2e/test_no_secret_anywhere.py",),
    ),
    Defence(
        "tokens in the log",
        "localsrv/base/log.py",
        '    (re.compile(r"\\b(ls[akr]_)[A-Za-z0-9_-]+"), r"\\1***"),\n',
        "",
        ("tests/base/test_log.py::test_redaction",),
    ),
    Defence(
        "the texts of errors in the log",
        "localsrv/base/log.py",
        '        "type": type(error).__qualname__,\n',
        '        "type": type(error).__qualname__,\n        "text": str(error),\n',
        ("tests/base/test_log.py::test_exceptions_leave_their_texts_out",),
    ),
)

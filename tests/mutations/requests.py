"""What keeps programs out, whatever bytes they send: tokens, scopes, paths, limits, and the log."""

from __future__ import annotations

from tests.mutations.defence import Defence

DISPATCH = "localsrv/web/dispatch.py"
AUTH = "localsrv/web/auth.py"
GRANTS = "localsrv/services/grants.py"
ROUTES = "localsrv/web/routes.py"
LIVE = "localsrv/web/live.py"
ADMIN = "tests/web/test_admin.py"
GUARD = "tests/web/test_guard.py"
MALFORMED = f"{GUARD}::test_malformed_requests_are_answered_and_never_a_crash"
ATTACKS = f"{GUARD}::test_attacks_are_refused"
LIMITS = "tests/web/test_limits.py"

DEFENCES = (
    # ── tokens and scopes ──────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a token that nobody gave out",
        AUTH,
        "        if found is None:\n            raise _unknown()\n        check(found, request, site, app",
        "        if found is None:\n            found = self._grants.by_id('owner')\n"
        "        check(found, request, site, app",
        (f"{ATTACKS}[unknown token]", "tests/web/oauth/test_tokens.py::test_truncated_and_misplaced_tokens"),
    ),
    Defence(
        "a key does what its scopes do not say",
        AUTH,
        "    elif not grant.allows(app, scope):",
        "    elif False:",
        (f"{GUARD}::test_scopes",),
    ),
    Defence(
        "a key of one app is used for another",
        "localsrv/model/scopes.py",
        "return self.app in (ALL, app) and implies(self.scopes, scope)",
        "return implies(self.scopes, scope)",
        (f"{GUARD}::test_scopes", "tests/model/test_scopes.py::test_what_a_grant_covers"),
    ),
    Defence(
        "the same where any scope will do",
        AUTH,
        "        if app is not None and grant.app not in (ALL, app):",
        "        if False:",
        ("tests/web/test_live.py::test_a_token_of_another_app_or_origin_closes",),
    ),
    Defence(
        "a page uses the cookie that another page signed in for",
        AUTH,
        '    return sessions.find(value, other_page(request, site)), "cookie"',
        '    return sessions.find(value), "cookie"',
        ("tests/web/couch/test_port.py::test_a_cookie_is_of_the_page_that_signed_in",),
    ),
    Defence(
        "`*:read` reaches definitions of replications",
        "localsrv/model/scopes.py",
        'if scope.startswith("_"):',
        "if False:",
        ("tests/model/test_scopes.py::test_what_a_grant_covers",),
    ),
    Defence(
        "an app's host serves the administration and other apps",
        DISPATCH,
        '    return site.app is None or params.get("app") == site.app or route.path in _ON_APP_HOSTS',
        "    return True",
        (f"{ATTACKS}[admin face on an app's host]", f"{ATTACKS}[another app on an app's host]"),
    ),
    Defence(
        "a token that was revoked",
        GRANTS,
        "        for digest in record.digests:\n            self._by_digest.pop(digest, None)\n"
        "        self._used.pop(ident, None)",
        "        self._used.pop(ident, None)",
        (f"{GUARD}::test_an_origin_that_holds_a_grant_may_read_until_it_is_revoked",),
    ),
    Defence(
        "a token that has expired",
        GRANTS,
        "if now >= held.ends or (held.deadline != inf and time.monotonic() >= held.deadline):",
        "if held.deadline != inf and time.monotonic() >= held.deadline:",
        (f"{GUARD}::test_a_token_ends_when_it_expires",),
    ),
    Defence(
        "a clock that is set back gives a token more time",
        GRANTS,
        "if now >= held.ends or (held.deadline != inf and time.monotonic() >= held.deadline):",
        "if now >= held.ends:",
        ("tests/web/oauth/test_device.py::test_the_wall_clock_may_jump",),
    ),
    Defence(
        "tokens in the data files",
        GRANTS,
        "        rows = [TokenRow(token_digest(token), grant.id, created_at=grant.created_at)]\n"
        '        await self.add(grant, rows, token if kind == "publishable" else None)',
        "        rows = [TokenRow(token_digest(token), grant.id, created_at=grant.created_at)]\n"
        "        await self.add(grant, rows, token)",
        (f"{ADMIN}::test_keys_are_shown_once_and_never_again",),
    ),
    Defence(
        "feeds go on after their grant was revoked",
        "localsrv/web/endings.py",
        "        with services(request).grants.watch(holder, ending.revoke):\n            yield ending",
        "        yield ending",
        (
            "tests/web/test_live.py::test_revoking_the_key_ends_its_feeds",
            "tests/web/test_live.py::test_revoking_the_key_closes_its_sockets",
        ),
    ),
    Defence(
        "downloads go on after their grant was revoked",
        DISPATCH,
        "call.grant.id == ident:",
        "False:",
        ("tests/web/test_revocation.py::test_downloads", "tests/web/test_revocation.py::test_uploads"),
    ),
    # ── one-time codes and signed URLs ─────────────────────────────────────────────────────────────────────
    Defence(
        "a page's code works twice",
        "localsrv/services/codes.py",
        "self._codes.pop(_digest(code), None)",
        "self._codes.get(_digest(code))",
        ("tests/services/test_codes.py::test_a_code_works_once", f"{ADMIN}::test_a_code_is_for_one_page"),
    ),
    Defence(
        "a page's code works for ever",
        "localsrv/services/codes.py",
        "found is None or found.expires_at <= self._clock():",
        "found is None:",
        ("tests/services/test_codes.py::test_a_code_lives_two_minutes",),
    ),
    Defence(
        "a page redeems another page's code",
        "localsrv/web/admin/codes.py",
        "    if origin is None or origin not in origins:",
        "    if False:",
        (f"{ADMIN}::test_a_code_is_for_one_page", f"{ADMIN}::test_a_code_without_an_origin_is_worth_nothing"),
    ),
    Defence(
        "a signed URL that nobody signed",
        "localsrv/services/signing.py",
        "if not any(hmac.compare_digest(_mac(k, path, expires, ident).encode(), given) for k in self._keys):",
        "if False:",
        ("tests/services/test_signing.py::test_forgeries",),
    ),
    Defence(
        "a signed URL for another path",
        "localsrv/services/signing.py",
        '"\\n".join(("GET", path, expires, ident))',
        '"\\n".join(("GET", expires, ident))',
        ("tests/services/test_signing.py::test_another_path",),
    ),
    Defence(
        "a signed URL works for ever",
        "localsrv/services/signing.py",
        "if int(expires) <= self._clock():",
        "if False:",
        ("tests/services/test_signing.py::test_time",),
    ),
    # ── paths ──────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "absolute-form targets",
        ROUTES,
        '    if not path.startswith("/"):',
        "    if False:",
        (f"{MALFORMED}[absolute target]",),
    ),
    Defence(
        "NUL in a path",
        ROUTES,
        '        if any("\\0" in s for s in segments):',
        "        if False:",
        (f"{ATTACKS}[NUL]",),
    ),
    Defence(
        "an encoded slash begins a new segment",
        ROUTES,
        '    segments = path[1:].split("/")\n    if "%" in path or not path.isascii():',
        '    segments = path[1:].replace("%2F", "/").replace("%2f", "/").split("/")\n'
        '    if "%" in path or not path.isascii():',
        (f"{ADMIN}::test_names_with_slashes_and_signs",),
    ),
    Defence(
        "path traversal: links out of an app's folder",
        "localsrv/web/hosting.py",
        "        if not path.is_relative_to(root.resolve()):\n            return None\n",
        "",
        ("tests/web/test_hosting.py::test_what_is_never_served",),
    ),
    Defence(
        "path traversal: encoded slashes, dotfiles, drive names",
        "localsrv/web/hosting.py",
        '    return not (name.startswith(".") or name.endswith((" ", ".")) '
        "or any(c in name for c in '/\\\\:\\0<>|\"?*'))",
        "    return True",
        ("tests/web/test_hosting.py::test_what_is_never_served",),
    ),
    Defence(
        "stored HTML and SVG run as the app",
        "localsrv/web/admin/attachments.py",
        "\"Content-Security-Policy\": \"sandbox; default-src 'none'; frame-ancestors 'none'\",",
        "",
        (f"{ADMIN}::test_stored_pages_are_downloads",),
    ),
    Defence(
        "the same on the sync face",
        "localsrv/web/couch/attachments.py",
        '"Content-Security-Policy": "sandbox; frame-ancestors \'none\'",',
        "",
        ("tests/web/couch/test_attachments.py::test_what_was_put_comes_back",),
    ),
    # ── malformed requests ─────────────────────────────────────────────────────────────────────────────────
    Defence(
        "what cannot be read is quoted in the log",
        "localsrv/web/protocol.py",
        'log.info("a request that cannot be read", extra={"fields": {"kind": type(exc).__name__}})',
        'log.info("a request that cannot be read", exc_info=exc)',
        (f"{GUARD}::test_the_log_of_what_cannot_be_read_has_no_content",),
    ),
    Defence(
        "transfer codings that somebody else would read otherwise",
        DISPATCH,
        '(coding is None or (coding.lower() == "chunked" and version.minor >= 1)):',
        "True:",
        ("tests/web/test_smuggling.py::test_what_is_read_in_two_ways_is_refused",),
    ),
    Defence(
        "versions of HTTP that are not spoken here",
        DISPATCH,
        "    if version.major == 1 and (coding",
        "    if (coding",
        ("tests/web/test_smuggling.py::test_what_is_read_in_two_ways_is_refused",),
    ),
    Defence(
        "a head of a megabyte",
        "localsrv/web/protocol.py",
        "        if self._head_bytes > MOST_HEAD_BYTES:",
        "        if False:",
        ("tests/web/test_smuggling.py::test_a_head_is_bounded_as_a_whole",),
    ),
    # ── limits ─────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "trying tokens without end",
        "localsrv/web/attempts.py",
        "return None if count < MOST_FAILURES else TooMany",
        "return None if True else TooMany",
        (
            f"{LIMITS}::test_failures_are_counted_by_source_and_forgotten",
            f"{LIMITS}::test_who_fails_too_often_is_told_to_wait",
        ),
    ),
    Defence(
        "so many connections that nobody else gets in",
        "localsrv/web/protocol.py",
        "if isinstance(manager, Server) and len(manager.connections) > manager.most_connections:",
        "if False:",
        (f"{LIMITS}::test_strangers_make_room_for_who_comes", f"{LIMITS}::test_who_holds_a_grant_stays"),
    ),
    Defence(
        "strangers push out who holds a grant",
        DISPATCH,
        "request.protocol.is_trusted = True",
        "request.protocol.is_trusted = False",
        (f"{LIMITS}::test_who_holds_a_grant_stays",),
    ),
    Defence(
        "a body that hardly comes",
        "localsrv/web/patience.py",
        "if is_waiting and content.total_bytes - self._before < LEAST_BYTES:",
        "if False:",
        (f"{LIMITS}::test_a_body_that_hardly_comes_is_ended",),
    ),
    Defence(
        "a body that is too large, in pieces",
        "localsrv/web/app.py",
        "client_max_size=services.max_body",
        "client_max_size=0",
        (f"{GUARD}::test_bodies_over_the_limit",),
    ),
    Defence(
        "a body that is too large is invited",
        DISPATCH,
        "if length is not None and length > self._services.max_body:",
        "if False:",
        ("tests/e2e/test_bad_bodies.py::test_a_body_over_the_limit_is_refused_before_it_is_sent",),
    ),
    Defence(
        "a body that becomes too large",
        "localsrv/web/incoming.py",
        "        if length > limit:",
        "        if False:",
        (
            f"{GUARD}::test_a_compressed_body_counts_by_what_it_becomes",
            "tests/web/test_incoming.py::test_what_becomes_too_large_is_refused",
        ),
    ),
    Defence(
        "a refused request is asked for its body",
        DISPATCH,
        "                await self._admit(request, place)\n        except",
        "                pass\n        except",
        (f"{GUARD}::test_a_refused_request_is_not_asked_for_its_body",),
    ),
    Defence(
        "very long messages on a live feed",
        LIVE,
        "max_msg_size=LONGEST_MESSAGE",
        "max_msg_size=0",
        ("tests/web/test_live.py::test_a_message_that_is_too_long_closes",),
    ),
    Defence(
        "compressed messages on a live feed",
        LIVE,
        "compress=False",
        "compress=True",
        ("tests/web/test_live_floods.py::test_compression_is_not_agreed_to",),
    ),
    Defence(
        "one grant opens feeds without end",
        "localsrv/web/endings.py",
        "    if services(request).grants.watching(holder) >= MOST_OF_ONE:",
        "    if False:",
        ("tests/web/test_live_floods.py::test_one_grant_has_so_many_feeds_and_others_have_theirs",),
    ),
    Defence(
        "a socket that never says who it is",
        LIVE,
        "timeout=TOKEN_SECONDS",
        "timeout=None",
        ("tests/web/test_live.py::test_a_socket_without_a_token_is_closed_in_time",),
    ),
    Defence(
        "a reader that never reads",
        LIVE,
        "        async with asyncio.timeout(SEND_SECONDS):\n            await response.write(frame)",
        "        await response.write(frame)",
        ("tests/web/test_live.py::test_a_reader_that_takes_nothing_is_dropped",),
    ),
    # ── who listens at our port ────────────────────────────────────────────────────────────────────────────
    Defence(
        "a stranger at our port is sent the owner's token",
        "localsrv/client/connection.py",
        "                self._check(connection)\n",
        "                pass\n",
        ("tests/client/test_connection.py::test_a_stranger_at_the_port_is_sent_nothing",),
    ),
    Defence(
        "a proof that is passed on by somebody at another address",
        "localsrv/base/proof.py",
        '("localsrv-owner-1", nonce, host, str(port))',
        '("localsrv-owner-1", nonce)',
        ("tests/client/test_connection.py::test_a_stranger_at_the_port_is_sent_nothing",),
    ),
)

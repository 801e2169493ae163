"""What keeps access with those whom the person let in: requests, codes, and tokens that turn."""

from __future__ import annotations

from tests.mutations.defence import Defence

PAIRING = "localsrv/services/pairing.py"
LIMITS = "localsrv/services/pairing_limits.py"
TOKENS = "localsrv/services/tokens.py"
STORE = "localsrv/store/grants.py"
AUTHORIZE = "localsrv/web/oauth/authorize.py"
REDIRECTS = "localsrv/model/redirect_uris.py"
DEVICE = "tests/web/oauth/test_device.py"
WINDOW = "tests/web/oauth/test_authorize.py"
TURNING = "tests/web/oauth/test_tokens.py"
URIS = "tests/model/test_redirect_uris.py"

DEFENCES = (
    # ── codes ──────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "user codes are guessed",
        LIMITS,
        "if len(self._recent_wrong()) >= WRONG_CODES:",
        "if False:",
        (f"{DEVICE}::test_guessed_codes",),
    ),
    Defence(
        "what could be guessed goes on waiting",
        LIMITS,
        "return len(self._wrong) >= WRONG_CODES",
        "return False",
        (f"{DEVICE}::test_guessed_codes",),
    ),
    Defence(
        "a code is replayed",
        PAIRING,
        '        request.status = "done"  # before anything waits: whoever comes second is too late',
        "",
        (f"{DEVICE}::test_a_device_code_works_once", f"{WINDOW}::test_a_replayed_code_ends_what_it_gave"),
    ),
    Defence(
        "what a replayed code gave goes on",
        PAIRING,
        "            if request.grant_id is not None:\n"
        "                await self._tokens.end_by_id(request.grant_id)\n",
        "",
        (f"{DEVICE}::test_a_device_code_works_once", f"{WINDOW}::test_a_replayed_code_ends_what_it_gave"),
    ),
    Defence(
        "a device code is redeemed by another client or page",
        PAIRING,
        "if (found.asked.client_id, found.asked.origin) != (client_id, origin):",
        "if False:",
        (f"{DEVICE}::test_a_code_is_for_one_client", f"{DEVICE}::test_a_pages_code_is_no_programs"),
    ),
    Defence(
        "a code is stolen from the address by who has no verifier",
        PAIRING,
        'elif not hmac.compare_digest(_challenge(verifier), (asked.challenge or "").encode()):',
        "elif False:",
        (f"{WINDOW}::test_a_wrong_try_spends_the_code[another verifier]",),
    ),
    Defence(
        "a code is redeemed by another client",
        PAIRING,
        "elif asked.client_id != client_id or redirect.uri != redirect_uri:",
        "elif False:",
        (
            f"{WINDOW}::test_a_wrong_try_spends_the_code[another client]",
            f"{WINDOW}::test_a_wrong_try_spends_the_code[another redirect]",
        ),
    ),
    Defence(
        "a code is redeemed by another page",
        PAIRING,
        "elif not redirect.may_redeem(origin):",
        "elif False:",
        (f"{WINDOW}::test_a_wrong_try_spends_the_code[a page of another origin]",),
    ),
    Defence(
        "a code is tried again and again",
        PAIRING,
        '            self._waiting.settle(request, "expired")\n\n    def _failed',
        "            pass\n\n    def _failed",
        (f"{WINDOW}::test_a_wrong_try_spends_the_code", f"{DEVICE}::test_a_code_is_for_one_client"),
    ),
    Defence(
        "an old code",
        PAIRING,
        "if self._waiting.clock() >= found.code_ends:",
        "if False:",
        (f"{WINDOW}::test_a_code_is_good_for_a_minute",),
    ),
    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "who was refused asks on and on",
        LIMITS,
        "if len(refusals) >= REFUSALS else 0.0",
        "if False else 0.0",
        (f"{DEVICE}::test_who_is_refused_twice_is_muted_for_an_hour",),
    ),
    Defence(
        "requests without number",
        LIMITS,
        "            own >= MOST_OF_ONE\n",
        "            False\n",
        (f"{DEVICE}::test_too_many_requests",),
    ),
    Defence(
        "programs that change their name for each request",
        LIMITS,
        "or (asked.is_programs and programs >= MOST_OF_PROGRAMS)",
        "or False",
        (f"{DEVICE}::test_too_many_requests",),
    ),
    Defence(
        "a page that calls itself by another page's address",
        "localsrv/web/oauth/parameters.py",
        'if f"{parts.scheme}://{parts.netloc}" != origin:',
        "if False:",
        (f"{DEVICE}::test_a_page_cannot_call_itself_by_anothers_address",),
    ),
    Defence(
        "a parameter that comes twice",
        "localsrv/web/oauth/parameters.py",
        "    if twice := doubled(pairs):",
        "    if twice := []:",
        (f"{WINDOW}::test_what_comes_twice_is_no_request",),
    ),
    Defence(
        "a page asks by an image or a frame",
        AUTHORIZE,
        'if headers.get(_DEST, "document") != "document" or headers.get(_MODE, "navigate") != "navigate":',
        "if False:",
        (f"{WINDOW}::test_only_a_window_asks",),
    ),
    Defence(
        "a page asks in another page's name",
        AUTHORIZE,
        'if redirect.where == "web" and origin is not None and origin not in (redirect.origin, *own):',
        "if False:",
        (f"{WINDOW}::test_a_page_asks_for_itself_alone",),
    ),
    Defence(
        "the answer goes to our own pages",
        AUTHORIZE,
        "    if redirect.origin in services(request).addresses.origins:",
        "    if False:",
        (f"{WINDOW}::test_the_servers_own_pages_get_no_answer",),
    ),
    Defence(
        "a challenge that is no PKCE with S256",
        AUTHORIZE,
        'if form.get("code_challenge_method") != "S256" or not _CHALLENGE.match(challenge):',
        "if False:",
        (f"{WINDOW}::test_errors_that_go_back[a plain challenge]",),
    ),
    Defence(
        "the answer goes to a foreign address",
        REDIRECTS,
        '    if scheme == "http":\n        raise _bad(text, "Only',
        '    if False:\n        raise _bad(text, "Only',
        (f"{URIS}::test_where_no_answer_goes", f"{WINDOW}::test_what_is_never_redirected"),
    ),
    Defence(
        "the answer goes to an address with a user in it",
        REDIRECTS,
        'if "@" in parts.netloc or not _HOST.match(netloc):',
        "if False:",
        (f"{URIS}::test_where_no_answer_goes", f"{WINDOW}::test_what_is_never_redirected[a user]"),
    ),
    Defence(
        "the answer goes to javascript: or file:",
        REDIRECTS,
        "    if not (_OWN_SCHEME.match(scheme) or scheme in _APP_SCHEMES):",
        "    if False:",
        (f"{URIS}::test_where_no_answer_goes", f"{WINDOW}::test_what_is_never_redirected[javascript]"),
    ),
    # ── deciding ───────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a decision gives more than was asked for",
        PAIRING,
        "        narrowed(asked.scopes, decision.scopes)\n",
        "",
        (f"{DEVICE}::test_decisions_narrow_and_never_widen",),
    ),
    Defence(
        "a decision gives another app than was asked for",
        PAIRING,
        "        if asked.app is not None and decision.app != asked.app:",
        "        if False:",
        (f"{DEVICE}::test_another_app_than_asked_for_is_refused",),
    ),
    Defence(
        "two decisions at once",
        PAIRING,
        '        if request.status != "waiting":\n            was',
        "        if False:\n            was",
        (f"{DEVICE}::test_of_two_decisions_one_wins",),
    ),
    Defence(
        "a request that nobody decided about is allowed hours later",
        "localsrv/services/waiting.py",
        'if request.status == "waiting" and now >= request.ends:',
        "if False:",
        (f"{DEVICE}::test_nobody_decides",),
    ),
    Defence(
        "a key that is not the owner's decides",
        "localsrv/web/admin/requests.py",
        '"/api/v1/requests/{request}/approve",\n        approve,\n        ADMIN,',
        '"/api/v1/requests/{request}/approve",\n        approve,\n        "any",',
        (f"{DEVICE}::test_only_the_owner_decides",),
    ),
    # ── tokens ─────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a refresh asks for more",
        TOKENS,
        "if scopes is not None and not all(implies(grant.scopes, scope) for scope in scopes):",
        "if False:",
        (f"{TURNING}::test_scopes_never_grow",),
    ),
    Defence(
        "a spent refresh token goes on",
        STORE,
        "            if spent_at is not None:\n",
        "            if False:\n",
        (f"{TURNING}::test_a_spent_token_ends_the_grant",),
    ),
    Defence(
        "what a thief got goes on after the copy was noticed",
        TOKENS,
        '        if done.outcome == "spent":\n            await self._reused(grant)\n',
        "",
        (
            f"{TURNING}::test_a_spent_token_ends_the_grant",
            f"{TURNING}::test_a_thief_who_comes_first_is_found_out",
        ),
    ),
    Defence(
        "one refresh token has two successors",
        TOKENS,
        "self._grants.replace_tokens(grant, row, done.ended)",
        "self._grants.replace_tokens(grant, row, ())",
        (f"{TURNING}::test_two_refreshes_at_once", f"{TURNING}::test_a_lost_answer_locks_nobody_out"),
    ),
    Defence(
        "a refresh token works for ever",
        STORE,
        "            if expires_at is not None and expires_at <= now:\n",
        "            if False:\n",
        (f"{TURNING}::test_tokens_end",),
    ),
    Defence(
        "another page renews a page's access",
        TOKENS,
        "    return origin == grant.origin",
        "    return True",
        (f"{TURNING}::test_a_pages_refresh_token_is_its_own",),
    ),
    Defence(
        "who has a key ends it",
        TOKENS,
        'if grant is None or grant.id == OWNER or grant.kind not in ("paired", "page"):',
        "if grant is None or grant.id == OWNER:",
        (f"{TURNING}::test_keys_are_not_ended_by_who_has_them",),
    ),
)

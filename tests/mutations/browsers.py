"""What keeps web pages out: Host, Origin, Sec-Fetch-Site, content types, and the headers of answers."""

from __future__ import annotations

from tests.mutations.defence import Defence

GUARD = "localsrv/web/guard.py"
ADDRESSES = "localsrv/web/addresses.py"
HEADERS = "localsrv/web/headers.py"
AUTH = "localsrv/web/auth.py"
HOSTING = "localsrv/web/hosting.py"

ATTACKS = "tests/web/test_guard.py::test_attacks_are_refused"
MALFORMED = "tests/web/test_guard.py::test_malformed_requests_are_answered_and_never_a_crash"
PAGE = "tests/e2e/test_foreign_page.py"

DEFENCES = (
    # ── names ──────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "DNS rebinding: a foreign name in Host",
        GUARD,
        "        if found is None or (found.app is not None and not self.is_app(found.app)):",
        "        found = found or Site(None, self.addresses.url)\n"
        "        if found.app is not None and not self.is_app(found.app):",
        (
            f"{ATTACKS}[foreign host]",
            f"{ATTACKS}[rebound host with our port]",
            f"{PAGE}::test_a_name_that_is_bound_to_us_afterwards",
        ),
    ),
    Defence(
        "our name at another port in Host",
        ADDRESSES,
        '        if number != ("" if self.port == 80 else str(self.port)) '
        'and not (self.port == 80 and number == "80"):',
        "        if False:",
        (f"{ATTACKS}[own name, other port]", f"{ATTACKS}[own name, no port]"),
    ),
    Defence(
        "the host of an app that is not there",
        GUARD,
        "(found.app is not None and not self.is_app(found.app)):\n            raise Misdirected",
        "False:\n            raise Misdirected",
        (f"{ATTACKS}[app that is not there]",),
    ),
    Defence(
        "no Host at all",
        GUARD,
        "        if host is None:\n            raise BadRequest",
        '        host = host or f"localhost:{self.addresses.port}"\n'
        "        if host is None:\n            raise BadRequest",
        (f"{MALFORMED}[HTTP/1.0 without a host]",),
    ),
    Defence(
        "another app's port answers for its neighbour",
        ADDRESSES,
        'if own == port and f"http://{host}" in origins(port):',
        "if own == port:",
        ("tests/web/test_app_ports.py::test_names_of_loopback_are_answered_and_nothing_else",),
    ),
    Defence(
        "0.0.0.0, which leads to this machine too",
        ADDRESSES,
        "if name in LOOPBACK_NAMES or name in self.names:\n            return",
        'if name in (*LOOPBACK_NAMES, "0.0.0.0") or name in self.names:\n            return',
        ("tests/web/test_smuggling.py::test_other_spellings_of_this_machine[0.0.0.0]",),
    ),
    # ── origins ────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "fetch, EventSource, WebSocket, preflight of a foreign origin",
        GUARD,
        "        if any_origin and _is_origin(origin):\n            return origin\n"
        "        raise _foreign(origin)",
        "        return origin",
        (
            f"{ATTACKS}[foreign origin reads]",
            f"{ATTACKS}[foreign origin writes]",
            f"{ATTACKS}[cross-origin form]",
            f"{ATTACKS}[foreign WebSocket]",
            f"{ATTACKS}[preflight of a foreign origin]",
            f"{ATTACKS}[foreign origin at the code exchange]",
            f"{PAGE}::test_what_a_foreign_page_tries",
            f"{PAGE}::test_a_form_that_the_person_is_made_to_send",
        ),
    ),
    Defence(
        "`Origin: null`, though somebody listed it",
        GUARD,
        'origin != "null" and (origin in self.allowed_origins or self.holds_grant(origin))',
        "origin in self.allowed_origins or self.holds_grant(origin)",
        ("tests/web/test_guard.py::test_null_is_never_granted_anything",),
    ),
    Defence(
        "`Origin: null` where every other origin may ask",
        GUARD,
        "if any_origin and _is_origin(origin):",
        "if any_origin:",
        ("tests/web/oauth/test_device.py::test_origins_that_are_none",),
    ),
    Defence(
        "our origin in another spelling",
        GUARD,
        "        if origin == site.origin:",
        "        if origin.lower() == site.origin:",
        ("tests/web/test_smuggling.py::test_an_origin_is_compared_to_the_letter",),
    ),
    Defence(
        "another site names our origin as its own (Sec-Fetch-Site)",
        GUARD,
        '            if fetch_site is None or fetch_site == "same-origin":\n                return None\n'
        "            raise",
        "            return None\n            raise",
        (f"{ATTACKS}[own origin, cross-site]",),
    ),
    Defence(
        "a change that another site asks for without an Origin",
        GUARD,
        '            raise _foreign("another site")',
        "            return None",
        (
            f"{ATTACKS}[cross-site write without an origin]",
            f"{ATTACKS}[same-site write without an origin]",
        ),
    ),
    Defence(
        "a WebSocket of another site without an Origin",
        GUARD,
        " and hdrs.UPGRADE not in headers",
        "",
        (f"{ATTACKS}[cross-site WebSocket without an origin]",),
    ),
    Defence(
        "an origin whose grant has ended",
        "localsrv/services/grants.py",
        "return any(self.by_id(ident) is not None for ident in self._origins.get(origin, ()))",
        "return origin in self._origins",
        ("tests/services/test_grants.py::test_expired_grants_are_refused_and_then_removed",),
    ),
    Defence(
        "a page uses a token that it got from another page",
        AUTH,
        "    elif origin is not None and origin != grant.origin:",
        "    elif False:",
        (
            "tests/web/test_guard.py::test_a_token_of_one_origin_is_refused_from_another",
            "tests/web/test_app_ports.py::test_attacks_at_an_apps_port",
        ),
    ),
    Defence(
        "the same by a request of the page's own site, which has no Origin",
        AUTH,
        'if origin is None and request.headers.get(SEC_FETCH_SITE, "none") != "none":',
        "if False:",
        ("tests/web/test_guard.py::test_a_token_of_one_origin_is_refused_from_another",),
    ),
    Defence(
        "a publishable key in another page",
        AUTH,
        "        if origin not in services_of(request).addresses.app_origins(grant.app):",
        "        if False:",
        ("tests/web/test_sessions_of_pages.py::test_a_publishable_key_works_in_the_apps_own_pages",),
    ),
    Defence(
        "a preflight's own text comes back in a header",
        GUARD,
        "if asked and _HEADER_LIST.issuperset(asked):",
        "if asked:",
        ("tests/web/test_guard.py::test_a_preflight_is_told_names_of_headers_alone",),
    ),
    Defence(
        "answers for credentials that a browser adds by itself",
        HEADERS,
        "    if cors.with_credentials:",
        "    if True:",
        ("tests/web/test_guard.py::test_an_origin_that_holds_a_grant_may_read_until_it_is_revoked",),
    ),
    # ── content types and places for tokens ────────────────────────────────────────────────────────────────
    Defence(
        "no-cors POST and forms: a body that needs no permission to be sent",
        "localsrv/web/body.py",
        '    if media_type != "application/json" and not media_type.endswith("+json"):',
        "    if False:",
        (f"{ATTACKS}[JSON called text]", f"{ATTACKS}[form with the owner's token]"),
    ),
    Defence(
        "a token in the address",
        AUTH,
        "        elif route.late_token and is_websocket(request):",
        '        elif (token := request.query.get("token")) is not None:\n'
        "            found = self._grants.find(token)\n"
        "        elif route.late_token and is_websocket(request):",
        (f"{ATTACKS}[token in the query]",),
    ),
    Defence(
        "a token in a cookie, which browsers add by themselves",
        AUTH,
        "        elif route.late_token and is_websocket(request):",
        '        elif (token := request.cookies.get("token")) is not None:\n'
        "            found = self._grants.find(token)\n"
        "        elif route.late_token and is_websocket(request):",
        (f"{ATTACKS}[token in a cookie]",),
    ),
    Defence(
        "the sync face's cookie at the server's own port",
        AUTH,
        "services.extra.get(Sessions) if site.is_couch else None",
        "services.extra.get(Sessions)",
        ("tests/web/couch/test_port.py::test_a_cookie_holds_at_its_port_alone",),
    ),
    Defence(
        "the browser's own password box",
        "localsrv/web/dispatch.py",
        "response.status == 401 and not _is_browsers(request):",
        "response.status == 401:",
        ("tests/web/couch/test_server.py::test_signing_in",),
    ),
    # ── answers ────────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "image, script and stylesheet tags",
        HEADERS,
        '    headers.setdefault(RESOURCE_POLICY, "same-origin")',
        '    headers.setdefault(RESOURCE_POLICY, "cross-origin")',
        (
            "tests/web/test_limits.py::test_every_answer_has_its_policies",
            f"{PAGE}::test_what_a_foreign_page_tries",
        ),
    ),
    Defence(
        "an answer that is taken for another kind than it is",
        HEADERS,
        '    headers[NOSNIFF] = "nosniff"',
        "",
        ("tests/web/test_limits.py::test_every_answer_has_its_policies",),
    ),
    Defence(
        "an answer that is opened as a page",
        HEADERS,
        "    headers.setdefault(CONTENT_POLICY, NOTHING)",
        "",
        ("tests/web/test_limits.py::test_every_answer_has_its_policies",),
    ),
    Defence(
        "a window that opened us keeps a hold of ours",
        HEADERS,
        '    headers.setdefault(OPENER_POLICY, "same-origin")',
        "",
        ("tests/web/test_limits.py::test_every_answer_has_its_policies",),
    ),
    Defence(
        "the same for pages",
        HOSTING,
        '        "Cross-Origin-Opener-Policy": "same-origin",\n',
        '        "Cross-Origin-Opener-Policy": "unsafe-none",\n',
        (
            "tests/web/test_limits.py::test_a_page_may_not_be_framed",
            f"{PAGE}::test_a_window_that_a_foreign_page_opens_is_out_of_its_reach",
        ),
    ),
    Defence(
        "our pages in a frame",
        HOSTING,
        '    "frame-ancestors": ("\'none\'",),\n',
        "",
        ("tests/web/test_limits.py::test_a_page_may_not_be_framed",),
    ),
    Defence(
        "our pages in a frame, in a browser that does not know the policy",
        HOSTING,
        '        "X-Frame-Options": "DENY",\n',
        "",
        ("tests/web/test_limits.py::test_a_page_may_not_be_framed",),
    ),
    Defence(
        "a page that loads scripts from elsewhere, or inline",
        HOSTING,
        '    "script-src": ("\'self\'",),\n',
        '    "script-src": ("\'self\'", "\'unsafe-inline\'"),\n',
        ("tests/web/test_hosting.py::test_the_policy_is_strict_but_for_what_the_manifest_adds",),
    ),
)

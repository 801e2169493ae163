"""What keeps integrations to what the owner allowed, and their secrets with the service they are for."""

from __future__ import annotations

from tests.mutations.defence import Defence

GUARDED = "localsrv/outbound/guarded.py"
SERVICES = "localsrv/outbound/services.py"
REDIRECTS = "localsrv/model/redirects.py"
SENT = "localsrv/model/integration_headers.py"
PATHS = "localsrv/model/integration_paths.py"
CALLS = "localsrv/services/integrations/calls.py"
EXCHANGE = "localsrv/services/integrations/exchange.py"
ANSWER = "localsrv/services/integrations/answer.py"
NETWORK = "tests/web/integrations/test_network.py"
CALLED = "tests/web/integrations/test_calls.py"
SETTINGS = "tests/web/integrations/test_settings.py"
SIGNED_IN = "tests/web/integrations/test_oauth.py"
LEADING = f"{NETWORK}::test_redirects_that_are_refused"

DEFENCES = (
    # ── addresses ──────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a name that leads to a private address, where the socket is made",
        GUARDED,
        "        why = refuse(address[0])\n",
        "        why = None\n",
        (
            f"{NETWORK}::test_addresses_in_the_place_of_names",
            f"{NETWORK}::test_the_address_is_looked_at_once_more_where_the_socket_is_made",
        ),
    ),
    Defence(
        "a name that leads to a private address, in any spelling",
        GUARDED,
        "self._open(_nothing if is_named else self._refuse)",
        "self._open(_nothing)",
        (
            f"{NETWORK}::test_names_that_lead_to_no_public_address",
            f"{NETWORK}::test_other_spellings_of_loopback",
            f"{NETWORK}::test_a_name_that_leads_elsewhere_the_second_time",
        ),
    ),
    Defence(
        "an integration calls this server itself",
        GUARDED,
        "if why is None and is_this_machine(address[0]) and address[1] in self._own_ports():",
        "if False:",
        (f"{NETWORK}::test_this_server_itself_is_never_called",),
    ),
    Defence(
        "an IPv4 address inside an IPv6 one",
        "localsrv/model/public_addresses.py",
        "        inner = found.ipv4_mapped or (IPv4Address(int(found) & 0xFFFFFFFF) "
        "if found in _NAT64 else None)",
        "        inner = None\n        if found.ipv4_mapped or found in _NAT64:\n            return None",
        ("tests/model/test_public_addresses.py::test_only_public_addresses_pass",),
    ),
    Defence(
        "a proxy of the environment sees what is sent",
        GUARDED,
        "trust_env=False",
        "trust_env=True",
        (f"{NETWORK}::test_no_proxy_of_the_environment_is_used",),
    ),
    Defence(
        "an app's own administrator names inner hosts",
        "localsrv/web/admin/integrations.py",
        "    if grant(request).allows(None, ADMIN):",
        "    if True:",
        (f"{SETTINGS}::test_hosts_that_are_not_public_are_named_by_who_owns_the_server",),
    ),
    Defence(
        "the server's secret is sent where an app's administrator wants",
        "localsrv/services/secrets.py",
        "        known = (app,) if name.lower().startswith(OF_INTEGRATIONS) else (app, None)",
        "        known = (app, None)",
        (f"{SETTINGS}::test_a_secret_of_the_server_never_stands_in",),
    ),
    Defence(
        "a new secret goes to the old token endpoint",
        "localsrv/services/integrations/credentials.py",
        "        self._require_current(key, integration)  # what was read may be for another place\n",
        "",
        (f"{SIGNED_IN}::test_a_new_secret_never_goes_to_the_old_token_endpoint",),
    ),
    Defence(
        "tokens outlive the locking of the vault",
        "localsrv/services/integrations/credentials.py",
        "        vault.on_change.append(self.forget_remembered)\n",
        "",
        (f"{SIGNED_IN}::test_a_vault_that_is_locked_takes_the_tokens_along",),
    ),
    Defence(
        "a 101 of the service makes the rest of its answer the next one",
        SERVICES,
        "    if response.status < 200:",
        "    if False:",
        (f"{NETWORK}::test_a_service_that_speaks_no_http",),
    ),
    # ── redirects ──────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a redirect to file: or javascript:",
        REDIRECTS,
        'if parts.scheme not in ("http", "https") or not parts.hostname:',
        "if False:",
        ("tests/model/test_integrations.py::test_redirects_that_are_refused",),
    ),
    Defence(
        "a redirect to an address with credentials",
        REDIRECTS,
        "if parts.username is not None or parts.password is not None:",
        "if False:",
        (f"{LEADING}[http://user:pass@api.example.org/-integration-redirect-refused]",),
    ),
    Defence(
        "a redirect from https to http",
        REDIRECTS,
        'if parts.scheme == "http" and here.url.startswith("https:") and not integration.names_host(url):',
        "if False:",
        ("tests/model/test_integrations.py::test_redirects_that_are_refused",),
    ),
    Defence(
        "a redirect to what the owner did not allow",
        REDIRECTS,
        "            require_allowed(path.removeprefix(base), integration.paths)\n",
        "",
        ("tests/model/test_integrations.py::test_redirects_that_are_refused",),
    ),
    Defence(
        "a redirect out of the base path",
        REDIRECTS,
        '            if path != base and not path.startswith(f"{base}/"):',
        "            if False:",
        ("tests/model/test_integrations.py::test_redirects_that_are_refused",),
    ),
    Defence(
        "redirects in a circle",
        EXCHANGE,
        "for _ in range(redirects.MOST + 1):",
        "for _ in range(1000):",
        (f"{LEADING}[/v1/x-integration-redirect-refused]",),
    ),
    Defence(
        "a redirect takes the secret elsewhere",
        EXCHANGE,
        "        if not hop.is_home:\n            return Signed()\n",
        "",
        (f"{NETWORK}::test_redirects_to_another_host_go_without_secret_and_headers",),
    ),
    Defence(
        "a redirect takes headers elsewhere",
        EXCHANGE,
        "sent = headers if hop.is_home else to_another_origin(headers)",
        "sent = headers",
        (f"{NETWORK}::test_redirects_to_another_host_go_without_secret_and_headers",),
    ),
    # ── what is sent and told ──────────────────────────────────────────────────────────────────────────────
    Defence(
        "header injection through an integration",
        SENT,
        "if not _NAME.match(name) or not _VALUE.match(value):\n            raise",
        "if False:\n            raise",
        ("tests/model/test_integrations.py::test_a_header_that_would_be_two",),
    ),
    Defence(
        "an app says who it is in the service's eyes",
        SENT,
        "if _same(name) not in dropped and not _same(name).startswith(_FORBIDDEN_PREFIXES):",
        "if True:",
        (f"{CALLED}::test_what_the_client_says_of_itself_stays_here",),
    ),
    Defence(
        "a service's cookies and rules come to our origin",
        SENT,
        "        if name.lower() not in dropped\n",
        "        if True\n",
        (f"{CALLED}::test_what_comes_back_is_harmless_here",),
    ),
    Defence(
        "a service's page runs as ours",
        "localsrv/web/integrations.py",
        "    response.headers[CONTENT_POLICY] = \"sandbox; default-src 'none'; frame-ancestors 'none'\"\n",
        "",
        (f"{CALLED}::test_what_comes_back_is_harmless_here",),
    ),
    Defence(
        "a service that repeats the secret in a header",
        ANSWER,
        " if not any(text in value for text in texts)",
        "",
        (f"{CALLED}::test_what_comes_back_is_harmless_here",),
    ),
    Defence(
        "methods that the owner did not allow",
        CALLS,
        "    if not integration.may_use(asked.method):",
        "    if False:",
        (f"{CALLED}::test_only_what_the_owner_allowed",),
    ),
    Defence(
        "paths that the owner did not allow",
        CALLS,
        "    require_allowed(path, integration.paths)\n",
        "",
        (f"{CALLED}::test_only_what_the_owner_allowed",),
    ),
    Defence(
        "path traversal at the service: encoded slashes, twice encoded dots",
        PATHS,
        'if part.partition(";")[0].strip() in ("", ".", ".."):',
        'if part == "":',
        (f"{CALLED}::test_only_what_the_owner_allowed",),
    ),
    Defence(
        "line breaks in a path",
        PATHS,
        "        if any(ord(c) < 32 or ord(c) == 127 for c in seen):",
        "        if False:",
        (f"{CALLED}::test_only_what_the_owner_allowed",),
    ),
    Defence(
        "a response of endless bytes",
        SERVICES,
        "                if left < 0 and not self.is_events:",
        "                if False:",
        (f"{NETWORK}::test_an_answer_without_end_is_cut",),
    ),
    Defence(
        "a service that falls silent",
        SERVICES,
        "until = loop.time() + self._limits.silence_s",
        "until = loop.time() + 1000",
        (f"{NETWORK}::test_a_service_that_falls_silent",),
    ),
    Defence(
        "a request of endless bytes to a service",
        "localsrv/web/integrations.py",
        "                    if left < 0:\n",
        "                    if False:\n",
        (f"{NETWORK}::test_a_request_that_is_too_large",),
    ),
    Defence(
        "an integration of another app, or without the scope",
        "localsrv/web/integrations.py",
        '_SCOPE = "integrations:{name}:use"',
        '_SCOPE = "any"',
        ("tests/web/integrations/test_settings.py::test_who_may_call",),
    ),
    # ── replication ────────────────────────────────────────────────────────────────────────────────────────
    Defence(
        "a peer that redirects to collect credentials",
        "localsrv/outbound/session.py",
        "allow_redirects=False",
        "allow_redirects=True",
        ("tests/outbound/test_couch_peer.py",),
    ),
    Defence(
        "credentials of a peer are sent to another address",
        "localsrv/model/replication.py",
        'if not isinstance(found, dict) or found.get("o") != origin:',
        "if not isinstance(found, dict):",
        ("tests/web/couch/test_replicate.py::test_credentials_stay_with_their_address",),
    ),
)

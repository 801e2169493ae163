"""The parts put together: which implementation each service gets, and in which order they open and close.

Nothing else knows every implementation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial

from localsrv.base import config_file, names
from localsrv.base.config import Settings
from localsrv.base.device import device_id
from localsrv.base.paths import Paths
from localsrv.base.proof import proof
from localsrv.base.server_file import RunningServer
from localsrv.javascript.pool import JavaScript
from localsrv.server.listening import Listening
from localsrv.server.outside import CacheLimits, open_outside
from localsrv.server.status import Status
from localsrv.server.vaults import open_vaults
from localsrv.services.apps import Apps
from localsrv.services.audit import Audit
from localsrv.services.codes import Codes
from localsrv.services.conflicts import Conflicts
from localsrv.services.design import Design
from localsrv.services.grants import Grants
from localsrv.services.imports import Imports, program
from localsrv.services.moving import Moving
from localsrv.services.pairing import Pairing
from localsrv.services.ports import AppPorts
from localsrv.services.replication.replicator import Replicator
from localsrv.services.secrets import Secrets
from localsrv.services.sessions import Sessions
from localsrv.services.signing import Signer
from localsrv.services.tokens import Tokens
from localsrv.services.vaults import Vaults
from localsrv.services.views import Views
from localsrv.store.audit import AuditStore
from localsrv.store.database import StoreOptions
from localsrv.store.replications import ReplicationStore
from localsrv.store.system import System
from localsrv.vault import SealedFile
from localsrv.web.context import Services


async def open_services(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    paths: Paths,
    running: RunningServer,
    listening: Listening,
    stop: Callable[[], None],
    sealed: SealedFile | None = None,
) -> Services:
    """Opens the files and makes the services; `stack` closes them in the opposite order.

    `stop` asks the process to leave; `sealed` is the vault's file, if the start unlocked it. Raises
    StorageError.
    """
    device = device_id(paths.device_file)
    system = await System.open(paths.system_file)
    stack.push_async_callback(system.close)
    audit = Audit(AuditStore(system))
    stack.push_async_callback(audit.close)
    vaults = await open_vaults(settings, paths, device, system, audit, sealed)
    secrets, signer = Secrets(vaults, audit), Signer(vaults)
    grants = await Grants.open(system, running.token, audit)
    stack.push_async_callback(grants.close)
    apps = await Apps.start(system, paths.data / "apps", grants, _store_options(settings))
    stack.push_async_callback(apps.close)
    conflicts = Conflicts()
    stack.push_async_callback(conflicts.close)
    apps.on_open.append(conflicts.follow)
    ports = _app_ports(settings, paths, apps, grants, running.port, listening)
    imports = Imports(paths.data / "uploads", os.environ)
    stack.push_async_callback(imports.close)
    javascript = JavaScript(program())
    stack.push_async_callback(javascript.close)
    design, views = Design(javascript), Views(javascript)
    stack.push_async_callback(views.close)
    replicator = await Replicator.start(apps, ReplicationStore(system), vaults, design, device)
    stack.push_async_callback(replicator.close)
    own_ports = partial(_own_ports, running.port, listening)
    outside = await open_outside(
        stack, system, apps, secrets, vaults, audit, own_ports, paths.data / "cache", limits=_limits(settings)
    )
    apps.on_delete += [secrets.forget_app, replicator.forget_credentials]
    vaults.on_unlock += [signer.retry, replicator.retry]
    tokens = Tokens(grants, audit)
    pairing = Pairing(tokens, audit)
    stack.callback(pairing.close)
    apps.on_remove.append(pairing.forget_app)
    return Services(
        addresses=listening.addresses,
        apps=apps,
        ports=ports,
        grants=grants,
        audit=audit,
        codes=Codes(),
        signer=signer,
        status=Status(running, device, paths, vaults, listening, ports),
        prove=partial(proof, running.token),
        stop=stop,
        allowed_origins=frozenset(settings.allowed_origins),
        max_body=settings.max_body_bytes,
        max_upload=settings.max_upload_bytes,
        extra={
            Imports: imports,
            Design: design,
            Views: views,
            Replicator: replicator,
            Tokens: tokens,
            Pairing: pairing,
            Vaults: vaults,
            Secrets: secrets,
            Moving: Moving(vaults, audit),
            **outside,
            **({Sessions: Sessions(grants)} if settings.couchdb_cookie else {}),
        },
    )


def _store_options(settings: Settings) -> StoreOptions:
    return StoreOptions(
        query_timeout_s=settings.query_timeout_s,
        query_row_limit=settings.query_row_limit,
        retention_s=settings.revision_retention_days * 86_400.0,
        revs_limit=settings.revs_limit,
    )


def _limits(settings: Settings) -> CacheLimits:
    return CacheLimits(
        settings.integration_cache_mb << 20, settings.cache_mb << 20, is_persisted=settings.cache_persisted
    )


def _own_ports(main: int, listening: Listening) -> frozenset[int]:
    """The ports that are this server's, whichever are served now."""
    couch = listening.addresses.couch
    return frozenset({main, *listening.app_ports.values(), *([couch.port] if couch else [])})


def _app_ports(
    settings: Settings, paths: Paths, apps: Apps, grants: Grants, main: int, listening: Listening
) -> AppPorts:
    return AppPorts(
        apps,
        grants,
        dict(settings.app_ports),
        main,
        listening.app_ports,
        open_port=listening.open_port,
        keep=partial(config_file.write_app_port, paths.config_file),
        resolves=names.leads_here,
    )

"""Where localsrv keeps its things.

Data, configuration, logs and run-time files follow the desktop's conventions (platformdirs), or lie
together under `LOCALSRV_HOME`. The run-time folder holds `server.json` with the owner token, so it is never
a folder that other users can reach: platformdirs falls back to one under /tmp when XDG_RUNTIME_DIR is unset,
and to caches that the system may clean on macOS and Windows; the data folder holds it then.

The lock lies in the data folder, because that is what it guards. A session may have another run-time folder
than the one before (or none, in a cron job), and two servers must not open the same files for that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localsrv.base.errors import ConfigError
from localsrv.base.files import make_owner_folder

NAME = "localsrv"
HOME_VARIABLE = "LOCALSRV_HOME"


@dataclass(frozen=True, slots=True)
class Paths:
    """The four folders, and the files whose places others rely on."""

    data: Path
    config: Path
    logs: Path
    runtime: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, *, create: bool = True) -> Paths:
        """The folders of this user, created for the owner alone unless `create` is False.

        Raises ConfigError for an empty LOCALSRV_HOME, StorageError for a folder that cannot be made.
        """
        environ = os.environ if environ is None else environ
        home = environ.get(HOME_VARIABLE)
        paths = _desktop(environ) if home is None else cls.below(home)
        if create:
            paths.create()
        return paths

    @classmethod
    def below(cls, home: str | Path) -> Paths:
        """Everything under one folder, as LOCALSRV_HOME and `serve --home` ask."""
        if not str(home).strip():
            raise ConfigError(
                f"{HOME_VARIABLE} is empty.", details=HOME_VARIABLE, hint="Unset it, or name a folder."
            )
        root = Path(home).expanduser().absolute()
        return cls(root / "data", root / "config", root / "logs", root / "runtime")

    def create(self) -> None:
        """Makes the folders with mode 0700."""
        for folder in (self.data, self.config, self.logs, self.runtime):
            make_owner_folder(folder)

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def log_file(self) -> Path:
        return self.logs / "server.jsonl"

    @property
    def lock_file(self) -> Path:
        return self.data / "server.lock"

    @property
    def server_file(self) -> Path:
        return self.runtime / "server.json"

    @property
    def system_file(self) -> Path:
        return self.data / "system.db"

    @property
    def device_file(self) -> Path:
        return self.data / "device-id"

    @property
    def vault_file(self) -> Path:
        """The sealed file, where the person chose it."""
        return self.data / "vault" / "secrets.sealed"

    @property
    def sealed_folder(self) -> Path:
        """Secrets that are too long for a keyring, sealed with keys that it holds."""
        return self.data / "vault" / "large"

    def app(self, app: str) -> Path:
        """The folder of one app: `app.db`, `blobs/`, `bundle/`."""
        return self.data / "apps" / app


def _desktop(environ: Mapping[str, str]) -> Paths:
    from platformdirs import PlatformDirs

    folders = PlatformDirs(NAME, appauthor=False)
    data = folders.user_data_path
    if folders.user_config_path == data:  # macOS and Windows: one folder for both
        return Paths(data, data / "config", folders.user_log_path, data / "runtime")
    runtime = _session_folder(environ) or data / "runtime"
    return Paths(data, folders.user_config_path, folders.user_log_path, runtime)


def _session_folder(environ: Mapping[str, str]) -> Path | None:
    """The login session's own folder, if there is one and it is really ours alone (XDG base directories)."""
    named = environ.get("XDG_RUNTIME_DIR", "")
    if sys.platform in ("win32", "darwin") or not named.startswith("/"):
        return None
    try:
        state = os.stat(named)  # noqa: PTH116 - a symlink is followed on purpose
    except OSError:
        return None
    if state.st_uid != os.geteuid() or state.st_mode & 0o077:
        return None
    return Path(named) / NAME

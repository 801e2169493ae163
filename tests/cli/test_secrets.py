"""`localsrv secrets` and `localsrv vault` against real servers, without a keyring and with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from localsrv.base import server_file
from localsrv.base.paths import Paths
from localsrv.vault import SealedFile
from tests.support.commands import ROOT, Ended, environment, run
from tests.support.leaks import secret
from tests.support.secret_service import secret_service
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

Servers = Callable[..., RunningServer]
PASSPHRASE, OTHER = "correct horse battery", "another passphrase"


def names(home: Path) -> list[tuple[str | None, str]]:
    return [(found["app"], found["name"]) for found in run(home, "secrets", "list", "--json").json()]


def move(home: Path, to: str, passphrase: str = "") -> Ended:
    return run(home, "secrets", "move", "--to", to, "--passphrase-fd", "0", stdin=f"{passphrase}\n")


def vault(home: Path, command: str, *lines: str, options: tuple[str, ...] = ()) -> Ended:
    given = "".join(f"{line}\n" for line in lines)
    return run(home, "vault", command, *options, "--passphrase-fd", "0", stdin=given)


def held(home: Path, passphrase: str = PASSPHRASE) -> dict[str, str]:
    """What lies in the sealed file of a server that ended."""
    from localsrv.vault import sealed_format

    file = SealedFile(Paths.below(home).vault_file)
    file.unlock_now(passphrase)
    sealed = sealed_format.read(file.path.read_bytes())
    key = sealed_format.key_of(passphrase, sealed)
    assert key is not None
    return sealed_format.entries_of(sealed, key)


def test_without_a_keyring(server: RunningServer) -> None:
    """Nothing is kept anywhere until the person chooses a place."""
    hidden = secret()
    refused = run(server.home, "secrets", "set", "openai", stdin=hidden)
    assert refused.code == 7
    assert "no keyring" in refused.err and hidden not in refused.err + refused.out
    assert names(server.home) == []
    assert not Paths.below(server.home).vault_file.exists()
    assert "but this session has none" in run(server.home, "status").out
    told = {found["check"]: found for found in run(server.home, "doctor", "--json").json()}
    assert told["vault"]["state"] == "warn"
    assert "localsrv secrets move --to sealed_file" in told["vault"]["advice"]


def test_a_sealed_file_from_its_making_to_a_new_passphrase(servers: Servers, tmp_path: Path) -> None:
    home, hidden = tmp_path / "home", secret()
    config = Paths.below(home).config_file
    config.parent.mkdir(parents=True)
    config.write_text("# mine\nlog_level = 'debug' # really\n\n[app_ports]\nshop = 0\n")
    first = servers(home)
    made = move(home, "sealed_file", PASSPHRASE)
    assert made.code == 0, made.err
    assert config.read_text() == (
        "vault = \"sealed_file\"\n# mine\nlog_level = 'debug' # really\n\n[app_ports]\nshop = 0\n"
    )
    for arguments, text in (
        (("openai",), hidden + "\n"),
        (("pem",), f"-----\n{hidden}\n-----\n\n"),
        (("openai", "--app", "default"), hidden + "2\r\n"),
        (("late",), "x"),
    ):
        assert run(home, "secrets", "set", *arguments, stdin=text).code == 0
    assert run(home, "secrets", "rm", "late").code == 0
    assert run(home, "secrets", "rm", "late").code == 4
    expected: list[tuple[str | None, str]] = [(None, "openai"), (None, "pem"), ("default", "openai")]
    assert names(home) == expected
    assert names(home)[-1:] == [("default", "openai")]
    said = run(home, "secrets", "list").out
    assert "openai" in said and hidden not in said
    assert "a sealed file, unlocked" in run(home, "status").out
    assert first.stop() == 0
    assert hidden not in first.output()
    assert held(home) == {
        "secret:*:openai": hidden,
        "secret:*:pem": f"-----\n{hidden}\n-----\n",
        "secret:default:openai": hidden + "2",
    }

    second = servers(home)  # locked, since nobody could be asked
    assert names(home) == expected
    assert "locked: unlock it with localsrv vault unlock" in run(home, "status").out
    refused = run(home, "secrets", "set", "new", stdin="x")
    assert (refused.code, "The vault is locked" in refused.err) == (7, True)
    wrong = vault(home, "unlock", OTHER)
    assert wrong.code == 5
    assert OTHER not in wrong.err
    assert vault(home, "unlock", PASSPHRASE).code == 0
    assert vault(home, "passphrase", PASSPHRASE).code == 6, "the second line is missing"
    assert vault(home, "passphrase", PASSPHRASE, "short").code == 6
    assert vault(home, "passphrase", PASSPHRASE, OTHER).code == 0
    assert vault(home, "unlock", OTHER, options=("--create",)).code == 6, "there is one already"
    assert run(home, "vault", "lock").code == 0
    assert "locked" in run(home, "vault", "status").out
    told = {found["check"]: found for found in run(home, "doctor", "--json").json()}
    assert (told["vault"]["state"], "secrets.sealed" in told["vault"]["message"]) == ("ok", True)
    assert second.stop() == 0
    assert held(home, OTHER)["secret:*:openai"] == hidden
    for file in home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [t for t in (hidden, PASSPHRASE, OTHER) if t.encode() in content], file


def test_a_value_is_never_an_argument(tmp_path: Path) -> None:
    hidden = secret()
    for more in ([hidden], ["--", hidden], [hidden, "--json"]):
        refused = run(tmp_path, "secrets", "set", "openai", *more)
        assert refused.code == 2
        assert hidden not in refused.err + refused.out
        assert "argument" in refused.err
    assert server_file.find(Paths.below(tmp_path)) is None, "no server was started for this"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (b"", 6, "cannot be empty"),
        (b"\n", 6, "cannot be empty"),
        (b"\xff\xfe", 6, "not UTF-8"),
        (b"x" * ((1 << 20) + 1), 6, "too long"),
    ],
)
def test_values_that_are_refused(server: RunningServer, given: bytes, code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localsrv", "secrets", "set", "a"],
        cwd=ROOT,
        env=environment(server.home),
        input=given,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr


def test_where_nobody_can_be_asked(server: RunningServer) -> None:
    for arguments in (
        ("vault", "unlock"),
        ("vault", "passphrase"),
        ("secrets", "move", "--to", "sealed_file"),
    ):
        refused = run(server.home, *arguments)
        assert refused.code == 2
        assert "--passphrase-fd" in refused.err
    assert run(server.home, "vault", "unlock", "--passphrase-fd", "77").code == 6
    assert run(server.home, "secrets", "move", "--to", "nowhere").code == 2


def test_the_environment_decides_over_the_setting(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    servers(home, env={"LOCALSRV_VAULT": "os_keyring"})
    refused = move(home, "sealed_file", PASSPHRASE)
    assert refused.code == 2
    assert "LOCALSRV_VAULT" in refused.err
    assert not Paths.below(home).config_file.exists()


# ── at the start ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sealed_home(tmp_path: Path) -> Path:
    """A home whose setting names the sealed file, with one in it."""
    paths = Paths.below(tmp_path / "home")
    paths.create()
    paths.config_file.write_text('vault = "sealed_file"\n')
    SealedFile(paths.vault_file).create_now(PASSPHRASE)
    return tmp_path / "home"


def start_line(*more: str, given: str) -> list[str]:
    """A server whose file descriptor 0 gives a text."""
    command = f"printf '%s' '{given}' | exec {sys.executable} -m localsrv serve --port 0 {' '.join(more)}"
    return ["sh", "-c", command]


def state(home: Path) -> str:
    found: str = run(home, "status", "--json").json()["vault"]["state"]
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: a shell and descriptors of POSIX")
def test_a_start_reads_a_descriptor(servers: Servers, sealed_home: Path) -> None:
    servers(sealed_home, line=start_line("--vault-passphrase-fd", "0", given=f"{PASSPHRASE}\nmore"))
    assert state(sealed_home) == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: descriptors of POSIX")
def test_a_start_with_a_wrong_passphrase_fails(sealed_home: Path) -> None:
    refused = run(sealed_home, "serve", "--port", "0", "--vault-passphrase-fd", "0", stdin=OTHER)
    assert refused.code == 7
    assert "not the vault's passphrase" in refused.err and OTHER not in refused.err
    assert run(sealed_home, "serve", "--vault-passphrase-fd", "77").code == 6
    assert run(sealed_home, "serve", "--vault-passphrase-fd", "0", stdin="").code == 6


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: a shell and descriptors of POSIX")
@pytest.mark.parametrize(("damage", "word"), [("gone", "absent"), ("cut", "damaged")])
def test_a_start_goes_on_without_its_file(
    servers: Servers, sealed_home: Path, damage: str, word: str
) -> None:
    """Everything but the secrets works; nothing is put in the file's place."""
    file = Paths.below(sealed_home).vault_file
    whole = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(whole[:60])
    line = start_line("--vault-passphrase-fd", "0", given=PASSPHRASE)
    running = servers(sealed_home, line=line)
    assert state(sealed_home) == word
    assert "vault" in running.output()
    assert file.exists() == (damage == "cut")
    found = {found["check"]: found["state"] for found in run(sealed_home, "doctor", "--json").json()}
    assert found["vault"] == ("fail" if damage == "cut" else "warn")
    file.write_bytes(whole)
    assert vault(sealed_home, "unlock", PASSPHRASE).code == 0
    assert state(sealed_home) == "ok"


def test_a_descriptor_is_for_a_sealed_file(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", "--vault-passphrase-fd", "0", stdin=PASSPHRASE)
    assert (refused.code, "sealed_file" in refused.err) == (2, True)


class Terminal:
    """A program at a pseudo-terminal of its own; `shown` is everything that appeared there."""

    def __init__(self, env: Mapping[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "localsrv", *arguments]
        import pty  # which Windows lacks

        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, command, dict(env))
        self.shown = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 4096):
                self.shown += data.decode()
        except OSError:  # how Linux says that the other side is closed
            return

    def answer(self, question: str, text: str) -> None:
        """Waits until a question stands at the end, and types."""
        wait_until(lambda: self.shown.rstrip().endswith(question), what=f"{question!r}, not {self.shown!r}")
        self.shown += "<asked>"
        os.write(self._master, f"{text}\n".encode())

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._reader.join(10)
        os.close(self._master)
        return code


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    if sys.platform == "win32":
        pytest.skip("not on Windows: pseudo-terminals of POSIX")
    yield lambda home, *arguments: Terminal(environment(home), *arguments)


def test_a_person_types_a_secret_unseen(
    servers: Servers, sealed_home: Path, terminal: Callable[..., Terminal]
) -> None:
    running, hidden = servers(sealed_home), secret()
    unlocking = terminal(sealed_home, "vault", "unlock")
    unlocking.answer("Passphrase:", PASSPHRASE)
    assert unlocking.end() == 0
    typing = terminal(sealed_home, "secrets", "set", "openai")
    typing.answer("Value of openai:", hidden)
    assert typing.end() == 0
    changing = terminal(sealed_home, "vault", "passphrase")
    changing.answer("Old passphrase:", PASSPHRASE)
    changing.answer("New passphrase:", OTHER)
    changing.answer("Again:", OTHER + "x")
    changing.answer("New passphrase:", OTHER)
    changing.answer("Again:", OTHER)
    assert changing.end() == 0
    shown = unlocking.shown + typing.shown + changing.shown
    assert not [text for text in (hidden, PASSPHRASE, OTHER) if text in shown], shown
    assert running.stop() == 0
    assert held(sealed_home, OTHER) == {"secret:*:openai": hidden}


@pytest.mark.parametrize(
    ("answers", "found"), [([OTHER, PASSPHRASE], "ok"), ([""], "locked"), ([OTHER] * 3, "locked")]
)
def test_a_start_at_a_terminal_asks(
    sealed_home: Path, terminal: Callable[..., Terminal], answers: list[str], found: str
) -> None:
    started = terminal(sealed_home, "serve", "--port", "0")
    for answer in answers:
        started.answer("leave it locked):", answer)
    wait_until(lambda: "Ctrl-C stops it" in started.shown, what="the start")
    assert state(sealed_home) == found
    again = terminal(sealed_home, "serve", "--port", "0")
    assert again.end() == 0
    assert "already running" in again.shown, "which asks for nothing"
    started.type(b"\x03")
    assert started.end() == 0
    assert PASSPHRASE not in started.shown


# ── between a keyring and a file ───────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: Secret Service")
def test_everything_moves_there_and_back(servers: Servers, tmp_path: Path) -> None:
    """Secrets, a peer's credentials and the key of signed URLs; the keyring may go away then."""
    home, hidden = tmp_path / "home", secret()
    with secret_service(tmp_path / "session") as session:
        env = {k: v for k, v in session.items() if k != "HOME"} | {"PYTHON_KEYRING_BACKEND": None}
        first = servers(home, env={**env, "LOCALSRV_VAULT_TIMEOUT_S": "60"})
        assert run(home, "secrets", "set", "short", stdin=hidden).code == 0
        assert run(home, "secrets", "set", "long", stdin=hidden * 100).code == 0
        made = run(
            home, "sync", "add", "notes", "http://127.0.0.1:9/notes", "--user", "u", "--password-stdin",
            stdin=f"{hidden}3\n",
        )  # fmt: skip
        assert made.code == 0, made.err
        url = _signed(first)
        assert first.request("GET", url, token=None).body == b"picture"
        moved = move(home, "sealed_file", PASSPHRASE)
        assert (moved.code, "Moved 5 secrets" in moved.out) == (0, True), moved
        assert first.stop() == 0
        assert list((Paths.below(home).sealed_folder).iterdir()) == []
    second = servers(home)
    assert second.request("GET", url, token=None, host=f"localhost:{first.port}").status in (403, 421)
    assert vault(home, "unlock", PASSPHRASE).code == 0
    assert second.request("GET", url, token=None).body == b"picture", "signed before the move and the restart"
    assert second.stop() == 0
    found = held(home)
    assert found["secret:*:short"] == hidden and found["secret:*:long"] == hidden * 100
    credentials = {name: json.loads(text)["p"] for name, text in found.items() if name.startswith("repl")}
    assert list(credentials.values()) == [hidden + "3"] * 2, "one for each way"
    assert set(found) == {"secret:*:short", "secret:*:long", "signing-key"} | set(credentials)

    with secret_service(tmp_path / "session-2") as session:
        env = {k: v for k, v in session.items() if k != "HOME"} | {"PYTHON_KEYRING_BACKEND": None}
        third = servers(home, env={**env, "LOCALSRV_VAULT_TIMEOUT_S": "60"})
        moved = move(home, "os_keyring", PASSPHRASE)
        assert (moved.code, "Moved 5 secrets" in moved.out) == (0, True), moved
        assert 'vault = "os_keyring"' in Paths.below(home).config_file.read_text()
        assert third.request("GET", url, token=None).body == b"picture"
        assert third.stop() == 0
    assert held(home) == {}


def _signed(server: RunningServer) -> str:
    """A signed URL of an attachment `picture`, good for an hour."""
    couch = "/apps/default/couch/pictures"
    assert server.request("PUT", couch).status == 201
    rev = server.request("PUT", f"{couch}/p", {}).json()["rev"]
    headers = {"Content-Type": "image/png", "If-Match": rev}
    assert server.request("PUT", f"{couch}/p/a.png", b"picture", headers=headers).status == 201
    path = "/api/v1/apps/default/collections/pictures/documents/p/attachments/a.png"
    token = server.request(
        "POST", "/api/v1/keys", {"name": "page", "app": "default", "scopes": ["*:read"]}
    ).json()["token"]
    body = {"paths": [path], "expires_in": 3600}
    answer = server.request("POST", "/api/v1/apps/default/sign", body, token=token)
    assert answer.status == 200, answer.body
    found: str = answer.json()["urls"][0]
    return found


def test_guessing_through_the_api_gets_slower(servers: Servers, sealed_home: Path) -> None:
    running = servers(sealed_home)
    guess = {"passphrase": OTHER}
    answers = [running.request("POST", "/api/v1/vault/unlock", guess) for _ in range(4)]
    assert [answer.status for answer in answers] == [403, 403, 403, 429]
    assert answers[-1].json()["code"] == "too-many-attempts"
    assert answers[-1].headers["retry-after"] == "1"
    told = run(sealed_home, "audit", "--json").json()
    assert {entry["event"] for entry in told} == {"vault-unlock-failed"}
    assert sum(entry["count"] for entry in told) == 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("unlock", {}, 400),
        ("unlock", {"passphrase": 5}, 400),
        ("unlock", {"passphrase": PASSPHRASE, "create": True}, 409),
        ("unlock", {"passphrase": "short", "create": True}, 400),
        ("passphrase", {"old": PASSPHRASE}, 400),
        ("passphrase", {"old": PASSPHRASE, "new": "short"}, 400),
        ("move", {}, 400),
        ("move", {"to": "nowhere"}, 400),
        ("move", {"to": "os_keyring"}, 503),
    ],
)
def test_bad_input(server: RunningServer, path: str, body: object, status: int) -> None:
    """Beside a vault that stays as it is."""
    made = {"passphrase": PASSPHRASE, "create": True}
    assert server.request("POST", "/api/v1/vault/unlock", made).status == 201
    before = Paths.below(server.home).vault_file.read_bytes()
    answer = server.request("POST", f"/api/v1/vault/{path}", body)
    assert answer.status == status, answer.body
    assert answer.json()["message"] and PASSPHRASE not in answer.body.decode()
    assert Paths.below(server.home).vault_file.read_bytes() == before
    assert not Paths.below(server.home).config_file.exists()


def test_a_replication_waits_for_the_vault(servers: Servers, sealed_home: Path, tmp_path: Path) -> None:
    """Locked after a restart, it says so, loses nothing, and goes on at once when it is unlocked."""
    couch = "/apps/default/couch/notes"
    there = servers(tmp_path / "there")
    assert there.request("PUT", couch).status == 201
    assert there.request("PUT", f"{couch}/a", {}).status == 201
    here = servers(sealed_home)
    address = f"http://127.0.0.1:{there.port}{couch}"
    add = ("sync", "add", "notes", address, "--pull", "--user", "owner", "--password-stdin")
    refused = run(sealed_home, *add, stdin=there.token)
    assert (refused.code, "locked" in refused.err) == (7, True), refused.err
    assert vault(sealed_home, "unlock", PASSPHRASE).code == 0
    assert run(sealed_home, *add, stdin=there.token).code == 0
    wait_until(lambda: here.request("GET", f"{couch}/a").status == 200, what="the first document")
    assert here.stop() == 0
    assert there.request("PUT", f"{couch}/b", {}).status == 201

    here = servers(sealed_home)

    def told() -> dict[str, str]:
        (found,) = run(sealed_home, "sync", "list", "--json").json()
        return dict(found)

    wait_until(lambda: "vault_locked" in (told()["error"] or ""), what="the replication's complaint")
    assert here.request("GET", f"{couch}/b").status == 404
    assert vault(sealed_home, "unlock", PASSPHRASE).code == 0
    wait_until(
        lambda: here.request("GET", f"{couch}/b").status == 200, what="the second document", seconds=15
    )
    assert there.token not in json.dumps(told())

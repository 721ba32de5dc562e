"""A real forge: Gitea on loopback, from one ini file, on SQLite."""

import os
import pwd
import secrets
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rig import tools
from rig.net import LOOPBACK, answers, free_ports
from rig.processes import Argv, Process, Supervisor, run
from rig.waiting import READY_SECONDS, wait_until

NOBODY = "nobody"  # Gitea refuses to run as root
INI = """\
APP_NAME = end to end
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {work}
[server]
PROTOCOL = http
HTTP_ADDR = {host}
HTTP_PORT = {port}
ROOT_URL = http://{host}:{port}/
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {work}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = {key}
[service]
DISABLE_REGISTRATION = true
[repository]
DEFAULT_BRANCH = main
[cron]
ENABLED = false
[actions]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[log]
MODE = console
LEVEL = Warn
[git.config]
core.hooksPath = {hooks}
"""
HOOKS = ("pre-receive", "post-receive")
"""Gitea's own, without a shell before each and without `update`, which does nothing: a hook is 0.1 s of processor."""


@dataclass
class Gitea:
    """A running Gitea."""

    url: str
    directory: Path
    process: Process

    @classmethod
    def start(cls, supervisor: Supervisor) -> "Gitea":
        """Start Gitea and wait until it answers. All that it needs is in a folder that its user may enter."""
        directory = Path(tempfile.mkdtemp(prefix="canaryfleet-gitea-"))
        static, work, hooks = (directory / name for name in ("static", "work", "hooks"))
        source = tools.module_dir("gitea", "code.gitea.io/gitea")
        for folder in ("options", "templates"):
            shutil.copytree(source / folder, static / folder, copy_function=shutil.copyfile)
        (static / "public").mkdir()
        work.mkdir()
        shutil.copy(tools.binary("gitea"), directory / "gitea")
        port, key = free_ports(1)[0], secrets.token_hex(16)
        folders = {"work": work, "static": static, "hooks": hooks}
        words = {"user": _user(), "host": LOOPBACK, "port": port, "key": key, **folders}
        (directory / "app.ini").write_text(INI.format(**words))
        _hook(directory, hooks)
        _hand_over(directory)
        run(_command(directory, "migrate"), env=_home(directory), cwd=directory)
        process = supervisor.start("gitea", _command(directory, "web"), _home(directory))
        gitea = cls(f"http://{LOOPBACK}:{port}", directory, process)
        wait_until(gitea._ready, "Gitea is ready", READY_SECONDS)
        return gitea

    def user(self, name: str, *, admin: bool = False) -> str:
        """Make a user; a token with which to act as them."""
        words = (
            *("admin", "user", "create", "--username", name, "--email", f"{name}@example.invalid"),
            *("--random-password", "--must-change-password=false"),
            *("--access-token", "--access-token-scopes", "all", *(["--admin"] if admin else [])),
        )
        said = run(_command(self.directory, *words), env=_home(self.directory), cwd=self.directory)
        return next(word for word in reversed(said.split()) if len(word) == 40)

    def close(self) -> None:
        """Take its files away; the program belongs to the supervisor."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ready(self) -> bool:
        self.process.check()
        return answers(f"{self.url}/api/healthz")


def _hook(directory: Path, hooks: Path) -> None:
    """Write the hooks that git runs in every repository of this Gitea."""
    hooks.mkdir()
    gitea = shlex.join([str(directory / "gitea"), "hook", f"--config={directory / 'app.ini'}"])
    for name in HOOKS:
        (hooks / name).write_text(f"#!/bin/sh\nexec {gitea} {name}\n")
        (hooks / name).chmod(0o755)


def _command(directory: Path, *words: str) -> Argv:
    return [*_as_user(), directory / "gitea", "--config", directory / "app.ini", *words]


def _user() -> str:
    return NOBODY if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _as_user() -> list[str | Path]:
    if os.geteuid():
        return []
    entry = pwd.getpwnam(NOBODY)
    # --reuid takes away what the supervisor has asked of the kernel: to end this with the rig
    who = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    return ["setpriv", "--pdeathsig", "TERM", *who, "--"]


def _home(directory: Path) -> dict[str, str]:
    return {"HOME": str(directory / "work"), "USER": _user(), "GIT_CONFIG_NOSYSTEM": "1"}


def _hand_over(directory: Path) -> None:
    """Give a folder to the user that Gitea runs as."""
    if os.geteuid():
        return
    entry = pwd.getpwnam(NOBODY)
    for folder, _, files in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, entry.pw_uid, entry.pw_gid)

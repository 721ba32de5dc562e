"""Credential plugins: programs that a kubeconfig names, which print who we are (client-go's `exec`).

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins.
They are started without a shell, a terminal or input, and are ended with all their children when the
time is over. What they print is never shown: it may be a secret.
"""

import asyncio
import io
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime

import msgspec

from canaryfleet.models.observation import Time
from canaryfleet.sources.kubernetes.crowd import aside
from canaryfleet.sources.kubernetes.kubeconfig import Credentials, Plugin, Way
from canaryfleet.sources.kubernetes.trouble import Trouble, quoted

_LARGEST = 1 << 20  # bytes that a plugin may print
_AT_ONCE = 8  # some are programs of 100 MB that think for a second


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Time | None = None


class _Printed(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    status: _Status


Kept = dict[Plugin, tuple[Credentials, datetime | None]]
"""What plugins printed, and until when it holds."""


class Plugins:
    """Runs each plugin once for all clusters of a look that share it."""

    def __init__(self, environment: Mapping[str, str], kept: Kept) -> None:
        self._environment, self._kept = environment, kept
        self._running: dict[Plugin, asyncio.Task[Credentials]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def turn(self, way: Way) -> AbstractAsyncContextManager[object]:
        """Waits until there is room to run the plugin, if it has to be; this waiting is nobody's fault."""
        return self._turns if way.plugin and not self._known(way.plugin) else nullcontext()

    async def credentials(self, way: Way, timeout: float) -> Credentials:
        """Those of the kubeconfig, or what its plugin says; raises Trouble (unauthorized, timeout)."""
        plugin = way.plugin
        if not plugin:
            return way.credentials
        known = self._known(plugin)
        if known:
            return known
        if plugin not in self._running:
            self._running[plugin] = asyncio.create_task(self._run(way, plugin, timeout))
        return await asyncio.shield(self._running[plugin])  # others wait for it too

    def forget(self, way: Way) -> None:
        """The server did not accept what the plugin printed: ask it again next time."""
        if way.plugin:
            self._kept.pop(way.plugin, None)

    def _known(self, plugin: Plugin) -> Credentials | None:
        kept, until = self._kept.get(plugin, (None, None))
        return kept if until is None or until > datetime.now(UTC) else None

    async def end(self) -> None:
        """End those that still run; a failure is shared by those who waited, and not kept."""
        running = list(self._running.values())
        self._running.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, way: Way, plugin: Plugin, timeout: float) -> Credentials:
        try:
            async with asyncio.timeout(timeout):
                printed = await _output(way, plugin, self._environment)
        except TimeoutError:
            text = f"{_name(plugin)} printed nothing for {timeout:g} s"
            raise Trouble("timeout", text, _see(way)) from None
        status = _decode(way, plugin, printed)
        found = Credentials(status.token, status.client_certificate_data, status.client_key_data)
        until = status.expiration_timestamp
        if until and until <= datetime.now(UTC):
            text = f"{_name(plugin)} printed credentials that expired at {_written(until)}"
            raise Trouble("unauthorized", text, _see(way))
        self._kept[plugin] = (found, until)
        return found


async def _output(way: Way, plugin: Plugin, environment: Mapping[str, str]) -> bytes:
    told = {**environment, **dict(plugin.environment), "KUBERNETES_EXEC_INFO": plugin.info}
    try:
        process = subprocess.Popen(
            plugin.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=told,
            start_new_session=True,  # no terminal to ask at, and a group to end
        )
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        text = f"{_name(plugin)} can't be started: {said or 'its arguments can not be passed'}"
        remedy = quoted(plugin.hint) or "install it where this runs, or use a token instead"
        raise Trouble("unauthorized", text, remedy) from None

    def read() -> bytes:
        with process.stdout or io.BytesIO() as output:
            return output.read(_LARGEST + 1)

    try:
        printed = await aside(read)
        code = await aside(process.wait) if len(printed) <= _LARGEST else 0
    finally:
        if process.returncode is None:  # then its group is there, and all that it started
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise Trouble("unauthorized", f"{_name(plugin)} failed with exit code {code}", _see(way))
    return printed


def _decode(way: Way, plugin: Plugin, printed: bytes) -> _Status:
    try:
        found = msgspec.json.decode(printed, type=_Printed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Trouble("unauthorized", f"{_name(plugin)} printed no ExecCredential", _see(way)) from None
    status = found.status
    if found.kind != "ExecCredential" or found.api_version != plugin.version:
        text = f"{_name(plugin)} printed something else than an ExecCredential of {plugin.version}"
        raise Trouble("unauthorized", text, "make apiVersion in the kubeconfig that of the plugin")
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        text = f"{_name(plugin)} printed neither a token nor a certificate with its key"
        raise Trouble("unauthorized", text, _see(way))
    return status


def _written(at: datetime) -> str:
    try:
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except OverflowError:  # in UTC it is before all calendars
        return str(at)


def _name(plugin: Plugin) -> str:
    """The program alone: arguments may hold secrets."""
    return f"the credential plugin {quoted(os.path.basename(plugin.argv[0]))}"


def _see(way: Way) -> str:
    return f"see what it says: `kubectl --context {way.name} get --raw /version`"

"""How clusters are reached: the contexts of kubeconfig files, or the one cluster that we run in.

Read as kubectl reads them (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/):
of several files the first that knows a name wins, relative paths are relative to the file that has them.

By itself and not by the package `kubernetes`: that takes 0.3 s and 26 packages to import, runs
credential plugins without a limit of time and lets them use the terminal.
"""

import base64
import binascii
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from canaryfleet.errors import Problems
from canaryfleet.nearest import nearest
from canaryfleet.sources.kubernetes.trouble import Trouble
from canaryfleet.syntax import Limits, parse_stream

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXEC_CONFIG = "client.authentication.k8s.io/exec"
_LIMITS = Limits(size=32 << 20, nodes=1_000_000, depth=64)
_RENEW = "get a new kubeconfig for it"
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, repr=False)
class Credentials:
    """Who asks. Never shown: there is no `repr` of it."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password: str = ""

    @property
    def basic(self) -> str:
        """What HTTP's basic authentication sends."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode() if self.password else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must not be shown."""
        return (self.token, self.password, self.basic, self.key)


@dataclass(frozen=True, repr=False)
class Plugin:
    """A program that prints credentials, and what it has to be told."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    version: str
    info: str  # KUBERNETES_EXEC_INFO
    hint: str  # how to install it


class Proxy(NamedTuple):
    """An HTTP proxy; `authorization` is the value of its header."""

    host: str
    port: int
    authorization: str


@dataclass(frozen=True, repr=False)
class Way:
    """How one cluster is reached. `name` tells people which: of a context, or of the place we run in."""

    name: str
    server: SplitResult
    authority: str | None = None  # PEM; None: what the machine trusts
    verify: bool = True
    server_name: str = ""
    proxy: Proxy | None = None
    credentials: Credentials = Credentials()
    plugin: Plugin | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken; without it no credentials are sent, as kubectl does."""
        return self.server.scheme == "https"

    @property
    def host(self) -> str:
        return self.server.hostname or ""

    @property
    def port(self) -> int:
        return self.server.port or (443 if self.secure else 80)

    @property
    def origin(self) -> str:
        """The address to show and to send as Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


# ---- what the files hold; a null is nothing, as in Go


class _Variable(msgspec.Struct):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, rename="camel"):
    command: str
    api_version: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class _Extension(msgspec.Struct):
    name: str
    extension: Any = None


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None
    extensions: list[_Extension] | None = None


class _User(msgspec.Struct, rename="kebab"):
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    exec: _Exec | None = None
    auth_provider: dict[str, Any] | None = None
    as_user: str | None = msgspec.field(name="as", default=None)
    as_uid: str | None = None
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str]] | None = None


class _Context(msgspec.Struct):
    cluster: str
    user: str | None = None


class _Entry(NamedTuple):
    """One named entry of a file, and the folder that its paths are relative to."""

    folder: str
    data: Any


class Kubeconfig:
    """The merged files. Whatever is wrong with them is said of each context that is asked for."""

    def __init__(self, file: str | None, environment: Mapping[str, str]) -> None:
        """`file` is what the user named, else those of $KUBECONFIG or `~/.kube/config` are read."""
        self._environment = environment
        self._entries: dict[str, dict[str, _Entry]] = {"contexts": {}, "clusters": {}, "users": {}}
        self._trouble: Trouble | None = None
        self._files = _files(file, environment)
        try:
            for path in self._files:
                self._merge(path, needed=file is not None)
        except Trouble as trouble:
            self._trouble = trouble

    def way(self, context: str) -> Way:
        """How the cluster of a context is reached; raises Trouble (misconfigured, unauthorized)."""
        if self._trouble:
            raise self._trouble
        found = self._entry("contexts", "context", context, _Context, f"context {context}")[0]
        what = f"the cluster {found.cluster} of context {context}"
        cluster, folder = self._entry("clusters", "cluster", found.cluster, _Cluster, what)
        server = _address(cluster.server, what)
        ca = _material(
            folder, cluster.certificate_authority_data, cluster.certificate_authority, f"the CA of {what}"
        )
        way = Way(
            name=context,
            server=server,
            authority=ca or None,
            verify=not cluster.insecure_skip_tls_verify,
            server_name=cluster.tls_server_name or "",
            proxy=_proxy(cluster.proxy_url, server, self._environment),
        )
        return self._with_user(way, found.user, cluster) if found.user and way.secure else way

    def _with_user(self, way: Way, name: str, cluster: _Cluster) -> Way:
        what = f"the user {name} of context {way.name}"
        user, folder = self._entry("users", "user", name, _User, what)
        if user.auth_provider:
            raise Trouble(
                "misconfigured",
                f"{what} uses auth-provider, which Kubernetes has given up",
                "use a credential plugin (`exec`) instead",
            )
        credentials = Credentials(
            token=_secret_file(folder, user.token_file, what) if user.token_file else user.token or "",
            certificate=_material(
                folder, user.client_certificate_data, user.client_certificate, f"the certificate of {what}"
            ),
            key=_material(folder, user.client_key_data, user.client_key, f"the key of {what}"),
            user=user.username or "",
            password=user.password or "",
        )
        plugin = _plugin(user.exec, folder, cluster, way, what) if user.exec else None
        return replace(way, credentials=credentials, plugin=plugin, headers=_impersonation(user))

    def _merge(self, path: str, *, needed: bool) -> None:
        try:
            with open(path, "rb") as opened:
                data = opened.read(_LIMITS.size + 1)
        except FileNotFoundError:
            if needed:
                raise Trouble(
                    "misconfigured", f"there is no kubeconfig {path}", "name one that exists"
                ) from None
            return
        except OSError as error:
            raise Trouble("misconfigured", f"the kubeconfig {path} can't be read: {error.strerror}") from None
        try:
            documents = parse_stream(data, path, limits=_LIMITS)
        except Problems as problems:  # their words may quote the file, and with it a secret
            place = problems.findings[0].place
            raise Trouble(
                "misconfigured", f"{place}: this is no kubeconfig that can be read", "repair its YAML"
            ) from None
        folder = os.path.dirname(os.path.abspath(path))
        for document in documents[:1]:
            for kind, known in self._entries.items():
                entries = document.get(kind)
                for entry in entries if isinstance(entries, list) else ():
                    name = entry.get("name") if isinstance(entry, dict) else None
                    if isinstance(name, str):
                        known.setdefault(name, _Entry(folder, entry.get(kind[:-1])))

    def _entry(self, kind: str, key: str, name: str, model: type[T], what: str) -> tuple[T, str]:
        known = self._entries[kind]
        if name not in known:
            where = " and ".join(self._files) or "no kubeconfig"
            raise Trouble("misconfigured", f"{where} has no {key} {name}", nearest(name, known))
        folder, data = known[name]
        try:
            return msgspec.convert(data, model), folder
        except msgspec.ValidationError as error:  # names types and fields, never values
            raise Trouble("misconfigured", f"{what} in the kubeconfig is wrong: {error}") from None


def in_cluster(environment: Mapping[str, str], folder: str = SERVICE_ACCOUNT) -> Way:
    """How a pod reaches its own cluster; raises Trouble (misconfigured).

    https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/; the token is read anew each
    time, since the kubelet replaces it.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise Trouble(
            "misconfigured",
            "this runs in no cluster: KUBERNETES_SERVICE_HOST is not set",
            "run it as a pod, or give the cluster's file `access: {context: …}`",
        )
    server = _address(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", "the cluster")
    what = "the pod's service account"
    return Way(
        name="",
        server=server,
        authority=_read(os.path.join(folder, "ca.crt"), f"the CA of {what}"),
        credentials=Credentials(token=_secret_file(folder, "token", what)),
    )


# ---- parts of a way


def _files(file: str | None, environment: Mapping[str, str]) -> list[str]:
    if file is not None:
        return [file]
    named = [path for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path]
    return named or [os.path.join(environment.get("HOME", os.path.expanduser("~")), ".kube", "config")]


def _address(text: str, what: str) -> SplitResult:
    text = text if "://" in text else f"http://{text}"  # as client-go does
    try:
        address = urlsplit(text)
        fine = address.scheme in {"https", "http"} and address.hostname and address.port != 0
    except ValueError:
        fine = False
    if not fine or not text.isascii() or not text.isprintable() or " " in text:
        raise Trouble(
            "misconfigured", f"the server of {what} is no address", "it should be https://HOST:PORT"
        )
    return address


def _proxy(given: str | None, server: SplitResult, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy of the cluster, else that of the environment, by Go's rules (http.ProxyFromEnvironment)."""
    name = f"{server.scheme}_proxy"
    address = given or (
        "" if _direct(server, environment) else environment.get(name) or environment.get(name.upper(), "")
    )
    if not address:
        return None
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port, url = None, None, urlsplit("")
    if not host or url.scheme != "http":
        raise Trouble(
            "misconfigured",
            f"the proxy to {server.hostname} is none that can be used",
            "only http://HOST:PORT is spoken, also to servers with https",
        )
    login = f"{unquote(url.username or '')}:{unquote(url.password or '')}" if url.username else ""
    basic = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
    return Proxy(host, port or 80, basic)


def _direct(server: SplitResult, environment: Mapping[str, str]) -> bool:
    """Whether $NO_PROXY, or being on this machine, keeps a server from the proxy."""
    host = server.hostname or ""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        ip = None
    if host == "localhost" or (ip and ip.is_loopback):
        return True
    for entry in (environment.get("no_proxy") or environment.get("NO_PROXY", "")).lower().split(","):
        name, _, port = entry.strip().partition(":") if entry.count(":") == 1 else (entry.strip(), "", "")
        if not name or (port and port != str(server.port)):
            continue
        domain = name.removeprefix("*").removeprefix(".")
        below = domain and host.endswith(f".{domain}")
        if name in {"*", host} or below or _inside(ip, name):
            return True
    return False


def _inside(ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None, network: str) -> bool:
    try:
        return ip is not None and ip in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _material(folder: str, data: str | None, file: str | None, what: str) -> str:
    """PEM from the kubeconfig itself, or from a file that it names."""
    if not data:
        return _read(os.path.join(folder, file), what) if file else ""
    try:
        return base64.b64decode("".join(data.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise Trouble("misconfigured", f"{what} is no base64 of PEM", _RENEW) from None


def _secret_file(folder: str, file: str, what: str) -> str:
    return _read(os.path.join(folder, file), f"the token of {what}").strip()


def _read(path: str, what: str) -> str:
    try:
        with open(path, encoding="ascii") as opened:
            return opened.read(1 << 20)
    except OSError as error:
        raise Trouble("misconfigured", f"{what} can't be read: {path}: {error.strerror}") from None
    except ValueError:
        raise Trouble("misconfigured", f"{what} is no text: {path}", _RENEW) from None


def _plugin(given: _Exec, folder: str, cluster: _Cluster, way: Way, what: str) -> Plugin:
    """https://kubernetes.io/docs/reference/config-api/client-authentication.v1/."""
    if given.api_version not in EXEC_VERSIONS:
        raise Trouble(
            "misconfigured",
            f"the credential plugin of {what} speaks {given.api_version[:100]}",
            f"configure it for {EXEC_VERSIONS[0]}, with a newer version of the plugin if needed",
        )
    if given.interactive_mode == "Always":
        raise Trouble(
            "misconfigured",
            f"the credential plugin of {what} wants to ask at a terminal (interactiveMode: Always)",
            "use one that needs nobody: here is nobody to answer",
        )
    spec: dict[str, Any] = {"interactive": False}
    if given.provide_cluster_info:
        spec["cluster"] = _cluster_info(cluster, way)
    info = {"apiVersion": given.api_version, "kind": "ExecCredential", "spec": spec}
    command = given.command
    if os.sep in command and not os.path.isabs(command):
        command = os.path.join(folder, command)
    return Plugin(
        argv=(command, *(given.args or ())),
        environment=tuple((variable.name, variable.value) for variable in given.env or ()),
        version=given.api_version,
        info=msgspec.json.encode(info, order="sorted").decode(),
        hint=given.install_hint or "",
    )


def _cluster_info(cluster: _Cluster, way: Way) -> dict[str, Any]:
    told = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode((way.authority or "").encode()).decode(),
        "proxy-url": cluster.proxy_url,
        "config": next((e.extension for e in cluster.extensions or () if e.name == _EXEC_CONFIG), None),
    }
    return {name: value for name, value in told.items() if value}


def _impersonation(user: _User) -> tuple[tuple[str, str], ...]:
    """https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation."""
    headers = [("Impersonate-User", user.as_user), ("Impersonate-Uid", user.as_uid)]
    headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
    for key, values in (user.as_user_extra or {}).items():
        headers += [(f"Impersonate-Extra-{quote(key, safe='')}", value) for value in values]
    return tuple((name, value) for name, value in headers if value)

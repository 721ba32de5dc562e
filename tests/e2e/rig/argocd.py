"""Argo CD's sidecar of a config-management plugin, and what its repo-server says to it.

`argocd-cmp-server` needs no cluster: it listens on a unix socket for gRPC. Its messages (argo-cd, cmpserver/plugin/
plugin.proto) are a few strings each, and are written and read here by hand.
"""

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from rig import tools
from rig.processes import Process, Supervisor
from rig.waiting import READY_SECONDS, RigError, wait_until

CHUNK = 1024  # bytes: what the repo-server sends at once by default
SERVICE = "/plugin.ConfigManagementPluginService/"
Field = tuple[int, int | bytes]


class Refused(Exception):
    """What the repo-server shows of a failure: the details of the call's status."""


class Announced(NamedTuple):
    """A parameter as Argo CD's form shows it."""

    name: str
    title: str
    tooltip: str
    required: bool
    item_type: str
    collection_type: str
    default: str


@dataclass
class PluginServer:
    """A running argocd-cmp-server."""

    directory: Path
    process: Process
    channel: Any

    @classmethod
    def start(
        cls, supervisor: Supervisor, plugin: str, environment: Mapping[str, str], name: str
    ) -> "PluginServer":
        """Start it with a plugin.yaml, as the sidecar's container would, and wait until it serves.

        Its folder has a short path: those of sockets end at 108 characters.
        """
        directory = Path(tempfile.mkdtemp(prefix="canaryfleet-cmp-"))
        folders = {word: directory / word for word in ("config", "plugins", "work")}
        for folder in folders.values():
            folder.mkdir()
        (folders["config"] / "plugin.yaml").write_text(plugin)
        process = supervisor.start(
            f"cmp-server-{directory.name}",
            [tools.binary("argocd"), "--config-dir-path", folders["config"]],
            {
                **environment,
                "ARGOCD_BINARY_NAME": "argocd-cmp-server",
                "ARGOCD_PLUGINSOCKFILEPATH": str(folders["plugins"]),
                "ARGOCD_CMP_WORKDIR": str(folders["work"]),
            },
        )
        server = cls(directory, process, grpc.insecure_channel(f"unix:{folders['plugins']}/{name}.sock"))
        wait_until(server._ready, "argocd-cmp-server serves", READY_SECONDS)
        return server

    def close(self) -> None:
        """End it, and take its files away. Told to end (SIGTERM) it gives up its socket and stays."""
        self.channel.close()
        self.process.popen.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def generate(
        self, archive: bytes, path: str, environment: Mapping[str, str], seconds: float = 60.0
    ) -> list[str]:
        """GenerateManifest: the objects of the Application at a path, each as JSON. Raises Refused."""
        answer = self._stream("GenerateManifest", archive, path, environment, seconds)
        return [text.decode() for number, text in answer if number == 1 and isinstance(text, bytes)]

    def announced(self, archive: bytes, path: str, environment: Mapping[str, str]) -> list[Announced]:
        """GetParametersAnnouncement. Raises Refused."""
        answer = self._stream("GetParametersAnnouncement", archive, path, environment)
        return [_announced(data) for _, data in answer if isinstance(data, bytes)]

    def matches(self, archive: bytes, path: str) -> tuple[bool, bool]:
        """MatchRepository: whether it takes the repository by itself, and whether it looks at all."""
        answer = dict(self._stream("MatchRepository", archive, path, {}))
        return bool(answer.get(1)), bool(answer.get(2))

    def looks(self) -> bool:
        """CheckPluginConfiguration: whether every repository is to be sent to it, to be looked at."""
        answer = self.channel.unary_unary(f"{SERVICE}CheckPluginConfiguration")(b"", timeout=10)
        return bool(dict(_fields(answer)).get(1))

    def _stream(
        self, method: str, archive: bytes, path: str, environment: Mapping[str, str], seconds: float = 60.0
    ) -> list[Field]:
        call = self.channel.stream_unary(f"{SERVICE}{method}")
        try:
            return list(_fields(call(_request(archive, path, environment), timeout=seconds)))
        except grpc.RpcError as error:
            raise Refused(f"{error.code().name}: {error.details()}") from None

    def _ready(self) -> bool:
        self.process.check()
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return bool(check(b"", timeout=1) == b"\x08\x01")
        except grpc.RpcError as error:
            raise RigError(str(error.code())) from None


def archive(root: Path) -> bytes:
    """The files below a folder as the repo-server packs them; those of `.git` are left out here."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {".git"})
            for name in sorted(names):
                file = os.path.join(folder, name)
                tar.add(file, os.path.relpath(file, root))
    return packed.getvalue()


def _request(packed: bytes, path: str, environment: Mapping[str, str]) -> Iterator[bytes]:
    """AppStreamRequest: first the metadata, then the archive in chunks."""
    entries = [_text(1, name) + _text(2, value) for name, value in environment.items()]
    metadata = (
        _text(1, path.rpartition("/")[2]),
        _text(2, path),
        _text(3, hashlib.sha256(packed).hexdigest()),
        _varint(4 << 3) + _varint(len(packed)),
        *(_bytes(5, entry) for entry in entries),
    )
    yield _bytes(1, b"".join(metadata))
    for start in range(0, len(packed), CHUNK):
        yield _bytes(2, _bytes(1, packed[start : start + CHUNK]))


def _announced(data: bytes) -> Announced:
    found = dict(_fields(data))
    texts = {number: value.decode() for number, value in found.items() if isinstance(value, bytes)}
    return Announced(
        texts[1], texts[2], texts[3], bool(found.get(4)), texts.get(5, ""), texts.get(6, ""), texts.get(7, "")
    )


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _fields(data: bytes) -> Iterator[Field]:
    """The fields of a message: numbers, and what has a length. https://protobuf.dev/programming-guides/encoding/"""
    stream = io.BytesIO(data)
    while (key := _read(stream)) is not None:
        number, kind, value = key >> 3, key & 7, _read(stream)
        if kind not in (0, 2) or value is None:
            raise RigError(f"field {number} is of another kind, {kind}")
        yield number, value if kind == 0 else stream.read(value)


def _read(stream: io.BytesIO) -> int | None:
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return value
    return None

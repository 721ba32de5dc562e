"""A small GitOps repository in a folder, and the command line run on it as a person would run it."""

import contextlib
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from canaryfleet import cli

FLEET = """\
apiVersion: canaryfleet.dev/v1alpha1
kind: Fleet
metadata: {name: acme}
metrics: {prometheus: "http://prometheus.istio-system:9090"}
"""
CLUSTER = """\
apiVersion: canaryfleet.dev/v1alpha1
kind: Cluster
metadata:
  name: NAME
  labels: {region: eu}
variables: {domain: eu.acme.example}
"""
IMAGE = f"ghcr.io/acme/chat@sha256:{'b4fcf7be' * 8}"
SPEC = f"""\
apiVersion: canaryfleet.dev/v1alpha1
kind: Canary
metadata: {{name: chat, namespace: inference}}
version: 1.0.0
workload:
  image: {IMAGE}
  port: 8000
  prompts: [system.md]
exposure:
  hosts: [chat.$(cluster.domain)]
  gateways: [istio-ingress/public]
  steps:
  - {{weight: 10%, for: 5m}}
analysis:
  metrics:
  - {{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 1%}}
waves:
- {{name: pilot, clusters: [eu-1]}}
- {{name: rest}}
lint: {{ignore: [{{code: CF301, reason: short}}, {{code: CF312, reason: short}}]}}
"""
BASE_SPEC = """\
apiVersion: canaryfleet.dev/v1alpha1
kind: Canary
metadata: {name: chat, namespace: inference}
version: 1.0.0
workload: {base: ./base, mutable: true}
exposure:
  steps:
  - {weight: 10%, for: 5m}
waves:
- {name: all}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "acme/web:1", ports: [{containerPort: 80}]}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""
LINE = re.compile(r"^(?P<file>[^:]+)(:(?P<line>\d+):(?P<column>\d+))?: (error|warning) (?P<code>CF\d{3}): ")
GIT_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "ann"), ("EMAIL", "ann@acme.example"))
}


class Finding(NamedTuple):
    """One line of what was found."""

    file: str
    line: int
    code: str
    text: str


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[Finding]:
        """The findings that were printed for people."""
        found = [(LINE.match(line), line) for line in self.err.splitlines()]
        return [
            Finding(match["file"], int(match["line"] or 0), match["code"], line)
            for match, line in found
            if match
        ]

    @property
    def codes(self) -> set[str]:
        """The codes that were printed."""
        return {finding.code for finding in self.findings}

    @property
    def json(self) -> Any:
        """What was printed for a program."""
        return json.loads(self.out)


class Repo:
    """A GitOps repository with the app `chat` and two clusters."""

    def __init__(self, root: Path, spec: str | bytes = SPEC) -> None:
        self.root = root
        self.write("fleet.yaml", FLEET)
        for name in ("eu-1", "eu-2"):
            self.write(f"clusters/{name}.yaml", CLUSTER.replace("NAME", name))
        self.write("specs/chat/canary.yaml", spec)
        self.write("specs/chat/system.md", "You are kind.\n")

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file, with the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change the one place of a file where `old` stands."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        self.write(path, text.replace(old, new))

    def base(self, **files: str) -> None:
        """Make the app's workload a kustomize base of these files (`all` becomes `all.yaml`)."""
        self.write("specs/chat/canary.yaml", BASE_SPEC)
        for name, text in files.items():
            self.write(f"specs/chat/base/{name}.yaml", text)

    def run(self, *arguments: str) -> Result:
        """Run a command in this process."""
        return run(*arguments, "--root", str(self.root))

    def rendered(self) -> "Repo":
        """Render, and point every wave."""
        assert self.run("render").code == 0
        for wave in ("pilot", "rest"):
            assert self.run("point", "chat", "--wave", wave, "--verified", "all").code == 0
        return self

    def committed(self) -> "Repo":
        """Commit everything to `main`."""
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
            self.git(*words)
        return self

    def git(self, *words: str) -> None:
        """Run git as a person without any settings of their own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment = kept | GIT_IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(["git", *words], cwd=self.root, env=environment, check=True, capture_output=True)

    def generated(self) -> list[str]:
        """Every generated file."""
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in (self.root / "overlays").rglob("*")
            if path.is_file()
        )

    def snapshot(self) -> dict[str, bytes | str]:
        """All that is in the folder: content of files, kinds of everything else."""
        found: dict[str, bytes | str] = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if name == ".git" or name.startswith(".git/"):
                continue
            if path.is_symlink():
                found[name] = f"link to {path.readlink()}"
            else:
                found[name] = path.read_bytes() if path.is_file() else "no file"
        return found

    def refused(self, *arguments: str) -> Result:
        """Run a command that must refuse: exit 1, findings with code and place, nothing written."""
        before = self.snapshot()
        result = self.run(*arguments)
        assert result.code == 1, (result.code, result.out, result.err)
        assert result.findings, result
        assert "Traceback" not in result.out + result.err
        assert self.snapshot() == before
        return result


def run(*arguments: str) -> Result:
    """Run a command in this process, without a shell's help."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""),
        io.StringIO(),
    )  # as a process has it: with bytes below
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(arguments)
        except SystemExit as end:  # argparse's own
            code = int(end.code or 0)
    out.seek(0)
    return Result(code, out.read(), err.getvalue())

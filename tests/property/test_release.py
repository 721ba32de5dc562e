"""What holds for every release of every valid spec."""

from generated import Generated
from hypothesis import given
from hypothesis import strategies as st
from strategies import projects

from canaryfleet import lint, overlay
from canaryfleet.digest import sha256, stamp
from canaryfleet.engines.argo_rollouts.rollout import RELEASE_LABEL
from canaryfleet.errors import ERROR
from canaryfleet.freeze import freeze
from canaryfleet.manifests import Object
from canaryfleet.workload.objects import POD_ANNOTATION, REVISION_LABEL, WORKLOAD_ANNOTATION
from support import PROPERTY, one


@PROPERTY
@given(projects())
def test_lint_finds_nothing_wrong(generated: Generated) -> None:
    checked = lint.check(generated.repository(), {})
    assert [str(finding) for finding in checked.findings if finding.severity == ERROR] == []
    assert list(checked.frozen) == [generated.app]


@PROPERTY
@given(projects())
def test_release_yaml_lists_every_file(generated: Generated) -> None:
    made = generated.frozen()
    home = f"releases/{made.release.id}/"
    files = {path.removeprefix(home): data for path, data in made.files.items() if path.startswith(home)}
    assert {
        path: sha256(data) for path, data in files.items() if path != "release.yaml"
    } == made.release.files
    config = {path.split("/")[1] for path in made.files if path.startswith("config/")}
    assert config == set(made.release.config)


@PROPERTY
@given(projects())
def test_the_order_in_which_inputs_are_found_changes_no_byte(generated: Generated) -> None:
    inputs = generated.inputs()
    backwards = inputs._replace(
        clusters=dict(reversed(list(inputs.clusters.items()))),
        files=dict(reversed(list(inputs.files.items()))),
        base=inputs.base and list(reversed(inputs.base)),
    )
    made = freeze(backwards).frozen
    assert made is not None
    assert made.files == generated.frozen().files


@PROPERTY
@given(projects())
def test_pods_are_stamped_with_the_digest_of_what_they_are(generated: Generated) -> None:
    made = generated.frozen()
    for name, objects in generated.built(made).items():
        digest = made.release.clusters[name].pod
        rollout = one(objects, "Rollout")
        assert rollout["metadata"]["labels"][RELEASE_LABEL] == made.release.id
        template = rollout["spec"]["template"]
        labels, annotations = template["metadata"]["labels"], template["metadata"]["annotations"]
        assert annotations[POD_ANNOTATION] == labels[REVISION_LABEL] == digest
        assert annotations[WORKLOAD_ANNOTATION] == made.release.workload
        for container in template["spec"]["containers"]:
            variables = [variable["name"] for variable in container.get("env", ())]
            assert len(variables) == len(set(variables))
        assert made.release.id not in str(template), "policy would restart pods"
        assert (
            stamp(template | {"metadata": template["metadata"] | _unstamped(labels, annotations)}) == digest
        )


def _unstamped(labels: Object, annotations: Object) -> Object:
    stamps = {REVISION_LABEL, POD_ANNOTATION, WORKLOAD_ANNOTATION}
    return {
        "labels": {key: value for key, value in labels.items() if key not in stamps},
        "annotations": {key: value for key, value in annotations.items() if key not in stamps},
    }


@PROPERTY
@given(projects())
def test_live_settings_reach_the_objects_of_their_cluster(generated: Generated) -> None:
    made = generated.frozen()
    live = generated.live(made)
    for name, objects in generated.built(made).items():
        settings = live[name]
        assert one(objects, "Rollout")["spec"].get("replicas") == settings.replicas
        outside = one(objects, "VirtualService", generated.app)["spec"]
        assert outside["hosts"][:-1] == list(settings.hosts)
        assert outside["gateways"] == [*settings.gateways, "mesh"]
        for item in objects:
            if item["kind"] in ("AnalysisTemplate", "AnalysisRun"):
                values = [argument["value"] for argument in item["spec"]["args"][:3]]
                assert values == [settings.address, name, made.release.clusters[name].pod]


@PROPERTY
@given(projects(), st.sampled_from([None, "1.0.0-0123456789ab"]))
def test_an_overlay_can_be_read_back(generated: Generated, fallback: str | None) -> None:
    made = generated.frozen()
    expected = generated.live(made)
    for name, text in generated.overlays(made, fallback).items():
        assert overlay.pointer(text.encode()) == overlay.Pointer(made.release.id, fallback)
        assert overlay.read_live(text.encode(), name, made.release.live) == expected[name]


@PROPERTY
@given(projects())
def test_clusters_with_one_variant_and_wave_differ_in_live_settings_alone(generated: Generated) -> None:
    made = generated.frozen()
    alike: dict[overlay.Target | None, list[str]] = {}
    bakes = overlay.bakes(made.release)
    for name, text in generated.overlays(made).items():
        head = text.partition("patches:")[0]
        alike.setdefault(overlay.target(made.release, name, bakes), []).append(head)
    assert all(len(set(heads)) == 1 for heads in alike.values())
    assert len({heads[0] for heads in alike.values()}) == len(alike)

"""A running Deployment becomes a Rollout, and no request is lost."""

import contextlib
import itertools
from collections.abc import Callable, Sequence

import yaml
from app import DIGEST, App
from driving import MANUAL, PORT, UNMEASURED, internal, proxies, stop_at, until_all_by, until_share
from rig import kustomize, load, wait_until
from rig.kube import Object
from rig.traffic import UNHASHED

STEPS = [{"weight": "40%", "for": MANUAL}]
CALLERS = 3
LEAST = 1000  # requests; some thousands on a machine that is not busy
LABELS = {"app": "chat"}
APPLIED = {"app.kubernetes.io/managed-by": "somebody"}


def write_base(app: App, version: str) -> None:
    """The Deployment and Service that the team has run all the time."""
    image = f"registry.example/chat:{version}@sha256:{DIGEST}"
    ports = [{"name": "http", "containerPort": 8080}]
    pod = {"containers": [{"name": "chat", "image": image, "ports": ports}]}
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "labels": APPLIED},
        "spec": {"replicas": 4, "selector": {"matchLabels": LABELS}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat"},
        "spec": {"selector": LABELS, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }
    app.write("base/deployment.yaml", yaml.safe_dump(deployment))
    app.write("base/service.yaml", yaml.safe_dump(service))
    resources = {"namespace": app.namespace, "resources": ["deployment.yaml", "service.yaml"]}
    app.write("base/kustomization.yaml", yaml.safe_dump(resources))


def test_no_request_is_lost_while_a_deployment_is_adopted_goes_its_first_canary_and_is_pruned(
    make_app: Callable[..., App], record_property: Callable[[str, object], None]
) -> None:
    app = make_app(
        workload={"base": "./base", "adopt": True},
        analysis=UNMEASURED,
        exposure__steps=STEPS,
    )
    write_base(app, "1.0.0")
    app.apply(load(kustomize(app.root / "specs" / app.name / "base")))
    client, host = app.member.client, internal(app)
    deployed = app.who(UNHASHED)
    wait_until(lambda: client.get(host, inside=True).who == deployed, "the Deployment answers", 60)
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(client.stream(host, inside=True, every=0.01)) for _ in range(CALLERS)]
        first = app.release("1.0.0")
        sync(app, app.built())
        app.until_healthy(first)
        until_all_by(app, app.who(app.stable))
        calls.append(stack.enter_context(client.stream(app.host)))
        assert available(app) == 4, "the Deployment stands by with all its pods"

        write_base(app, "1.1.0")
        second = app.release("1.1.0")
        sync(app, app.built())
        stop_at(app, second, 0)
        until_share(app, 40)
        app.promote()
        app.until_healthy(second)
        until_all_by(app, app.who(app.stable))

        del app.spec["workload"]["adopt"]
        write_base(app, "1.2.0")
        third = app.release("1.2.0")
        sync(app, app.built())
        assert "Deployment" not in {one["kind"] for one in app.built()}
        app.prune("deployment", "chat")
        stop_at(app, third, 0)
        until_share(app, 40)
        wait_until(lambda: available(app) is None, "the Deployment is gone", 60)
        app.promote()
        app.until_healthy(third)
        until_all_by(app, app.who(app.stable))
    answers = [call.who for one in calls for call in one]
    record_property("requests", len(answers))
    assert len(answers) > LEAST
    lost = [who for who in answers if not who.startswith("chat-")]
    assert not lost, f"{len(lost)} of {len(answers)} requests were lost"
    assert len(set(answers)) == 4, "the Deployment and three releases answered"


def sync(app: App, objects: Sequence[Object]) -> None:
    """Apply wave by wave, as Argo CD does; it waits two seconds between them, for what is waited for here."""
    for _, wave in itertools.groupby(sorted(objects, key=wave_of), wave_of):
        applied = list(wave)
        if "VirtualService" in {one["kind"] for one in applied}:
            # otherwise about every second time requests are answered 503 for some 30 ms
            assert knows_subsets(app), "the subsets are known before a route names them"
        app.apply(applied)
        if "DestinationRule" in {one["kind"] for one in applied}:
            wait_until(lambda: knows_subsets(app), "both Envoys know the subsets", 60)


def knows_subsets(app: App) -> bool:
    """Whether both Envoys could send requests to the stable subset."""
    subset = f"outbound|{PORT}|stable|{internal(app)}"
    return all(subset in proxy.clusters() for proxy in proxies(app))


def wave_of(one: Object) -> int:
    """Argo CD's sync wave of an object."""
    return int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))


def available(app: App) -> int | None:
    """The Deployment's available pods; None without it."""
    path = f"/apis/apps/v1/namespaces/{app.namespace}/deployments"
    found = app.kube.raw_json(path)["items"]
    return int(found[0].get("status", {}).get("availableReplicas", 0)) if found else None


def test_no_request_fails_after_the_first_deployment_s_first_answer(make_app: Callable[..., App]) -> None:
    app = make_app(workload__port=PORT, analysis=UNMEASURED, exposure__steps=STEPS)
    client = app.member.client
    with client.stream(app.host) as outside, client.stream(internal(app), inside=True) as inside:
        first = app.deploy("1.0.0")
        app.until_healthy(first)
        until_all_by(app, app.who(app.stable))
        assert app.weights()[0] == 0
        second = app.deploy("1.1.0")
        stop_at(app, second, 0)
        until_share(app, 40)
        old, new = app.who(app.stable), app.who(app.current)
        wait_until(lambda: all(new in {c.who for c in calls} for calls in (outside, inside)), "both", 60)
    for calls in (outside, inside):
        order = [call.who for call in calls]
        answered = order[order.index(old) :]
        assert set(answered) == {old, new}, "once it is answered it stays answered"

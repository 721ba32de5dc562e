"""What a generator with a bug would make: each of these breaks one thing, and one test has to fail because of it.

CANARYFLEET_E2E_WRONG=no-guard python -m pytest ...   # breaks what every app of the tests builds
python -m wrong                                       # tries that each is found, and that all is well without
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from rig.__main__ import bring_up, in_order, own_rig
from rig.kube import Object
from rig.processes import die_with_parent
from rig.session import Rig
from rig.waiting import RigError, WaitTimeoutError

WRONG = "CANARYFLEET_E2E_WRONG"
"""The environment variable with the name of what is broken."""
GUARDS = ("len(", "!isNaN(", "!isInf(")
STAMPS = ("canaryfleet.dev/pod", "service.istio.io/canonical-revision")
FAILURES = ("AssertionError", "assert ", f"{WaitTimeoutError.__module__}.{WaitTimeoutError.__name__}")
"""How a failure begins that is a test's own: an assertion, or a condition that did not come true in time."""


def no_guard(objects: list[Object]) -> list[Object]:
    """Conditions that take whatever a metric server says for one number."""
    for one in objects:
        if one["kind"] in {"AnalysisTemplate", "AnalysisRun"}:
            for metric in one["spec"]["metrics"]:
                for key in metric.keys() & {"successCondition", "failureCondition"}:
                    parts = metric[key].split(" && ")
                    metric[key] = " && ".join(part for part in parts if not part.startswith(GUARDS))
    return objects


def no_routes(objects: list[Object]) -> list[Object]:
    """A Rollout that doesn't say which routes of the VirtualService are its own."""
    for rollout in _of(objects, "Rollout"):
        _virtual_service(rollout).pop("routes", None)
    return objects


def no_identity(objects: list[Object]) -> list[Object]:
    """Pods that don't say what they are."""
    for rollout in _of(objects, "Rollout"):
        metadata = rollout["spec"]["template"]["metadata"]
        for stamps in (metadata["labels"], metadata["annotations"]):
            for stamp in STAMPS:
                stamps.pop(stamp, None)
    return objects


def no_old_config(objects: list[Object]) -> list[Object]:
    """Only the ConfigMaps of the release that is pointed at, so that the stable pods' are pruned."""
    volumes = [v for r in _of(objects, "Rollout") for v in r["spec"]["template"]["spec"].get("volumes", [])]
    mounted = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    return [one for one in objects if one["kind"] != "ConfigMap" or one["metadata"]["name"] in mounted]


def no_newcomer(objects: list[Object]) -> list[Object]:
    """Sticky users' filter as it was, but one route for everybody, with a session or without."""
    for service in _of(objects, "VirtualService"):
        routes = service["spec"]["http"]
        service["spec"]["http"] = kept = [one for one in routes if not one["name"].endswith("-newcomer")]
        if len(kept) < len(routes):
            kept[-1].pop("match")  # that of who has a session
    for rollout in _of(objects, "Rollout"):
        names = _virtual_service(rollout).get("routes", [])
        names[:] = [name for name in names if not name.endswith("-newcomer")]
    return objects


@dataclass(frozen=True)
class Wrong:
    """What is broken, the test that has to find it, and what that says when it does."""

    apply: Callable[[list[Object]], list[Object]]
    test: str
    says: str


TABLE = {
    "no-guard": Wrong(
        no_guard,
        "test_metric_server.py::test_no_lie_of_the_metric_server_promotes[1.10]",
        "'minus-infinite-steps': 'Successful'} != {",
    ),
    "no-routes": Wrong(
        no_routes,
        "test_traffic.py::test_a_header_or_cookie_leads_to_the_canary_until_the_next_of_its_kind"
        "_and_nobody_else_with_it[1.10]",
        "the canary has 20 %",
    ),
    "no-identity": Wrong(
        no_identity,
        "test_lifecycle.py::test_a_good_release_takes_every_step_and_a_bad_one_is_aborted[1.10]",
        "the Rollout is complete",
    ),
    "no-old-config": Wrong(
        no_old_config,
        "test_gitops.py::test_stable_pods_that_restart_in_mid_canary_find_the_configuration_of_their_version"
        "[1.10]",
        "AssertionError: assert {'chat-prompts-",
    ),
    "no-newcomer": Wrong(
        no_newcomer,
        "test_sticky.py::test_users_with_a_session_cookie_keep_their_version_as_the_canary_grows"
        "_and_go_back_when_it_is_aborted[1.10]",
        "who is new gets a session",
    ),
}


def made(objects: list[Object]) -> list[Object]:
    """What the generator made, or what the one that is named would have made of it."""
    name = os.environ.get(WRONG)
    if not name:
        return objects
    if name not in TABLE:
        raise RigError(f"{WRONG}={name}: there are {', '.join(TABLE)}")
    return TABLE[name].apply(objects)


def main() -> int:
    """Run each test with what it has to find, and all of them without, side by side on one fleet."""
    with own_rig() as rig:
        bring_up(rig)
        runs = {name: _begin(rig, name, [wrong.test]) for name, wrong in TABLE.items()}
        runs[""] = _begin(rig, "", [wrong.test for wrong in TABLE.values()])
        try:
            for run in runs.values():
                run.wait()
        except KeyboardInterrupt:
            for run in runs.values():
                if run.poll() is None:
                    os.killpg(run.pid, signal.SIGKILL)
            raise
        verdicts = {name: _verdict(_report(rig, name), wrong) for name, wrong in TABLE.items()}
        healthy = runs[""].returncode == 0
        for name, verdict in verdicts.items():
            print(f"{name}: {verdict or 'found'} ({TABLE[name].test}; {_report(rig, name)})")
        print(f"without any of them: {'all pass' if healthy else 'NOT ALL PASS'} ({_report(rig, '')})")
    return 0 if healthy and not any(verdicts.values()) else 1


def _begin(rig: Rig, name: str, tests: Sequence[str]) -> subprocess.Popen[bytes]:
    words = ["-vvv", "-p", "no:cacheprovider", f"--junitxml={_report(rig, name)}", *tests]
    command = [*die_with_parent(), sys.executable, "-m", "pytest", *words]
    with _report(rig, name).with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, WRONG: name}, start_new_session=True
        )


def _report(rig: Rig, name: str) -> Path:
    return rig.directory / f"wrong-{name or 'none'}.xml"


def _verdict(report: Path, wrong: Wrong) -> str:
    """What is amiss: the test has to have run, and to have failed by itself, over what is broken."""
    if not report.exists():
        return "NOT RUN"
    cases = list(ElementTree.parse(report).iter("testcase"))
    found = [failure for case in cases for failure in case.findall("failure")]
    if len(cases) != 1 or any(case.find("error") is not None for case in cases):
        return "NOT RUN"
    if not found:
        return "NOT FOUND"
    said = found[0].get("message", "")  # shortened; all of it is in the text, beside the test's source
    lines = [line for line in (found[0].text or "").splitlines() if line.startswith("E ")]
    right = said.startswith(FAILURES) and any(wrong.says in line for line in lines)
    return "" if right else f"FAILED FOR ANOTHER REASON: {said[:300]}"


def _of(objects: Sequence[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def _virtual_service(rollout: Object) -> Object:
    canary = rollout["spec"]["strategy"].get("canary", {})
    found: Object = canary.get("trafficRouting", {}).get("istio", {}).get("virtualService", {})
    return found


if __name__ == "__main__":
    sys.exit(in_order(main))

"""Advice: what is legal in a spec and dangerous for a canary. Each rule is a function of an app on its fleet.

What a rule says is a warning with a code of codes/advice.yaml, which has its reason, its remedy, and an example that
triggers it beside one that does not. The numbers that a rule compares with stand beside it, each with its reason.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from canaryfleet.advice import analysis, capacity, exposure, schedule, waves, workload
from canaryfleet.advice.subject import Rule, Subject
from canaryfleet.errors import Issue
from canaryfleet.models.release import Release
from canaryfleet.resolve import Plan

RULES: tuple[Rule, ...] = (
    workload.mutable,
    workload.no_pods,
    workload.exposed,
    exposure.jumps,
    exposure.backward,
    exposure.short_steps,
    analysis.nothing_counted,
    analysis.nothing_rolls_back,
    analysis.out_of_scale,
    analysis.too_patient,
    analysis.looks_away,
    analysis.lottery,
    waves.largest_first,
    waves.most_at_once,
    schedule.hardly_open,
    schedule.ends_frozen,
    schedule.too_long,
    capacity.surge,
)


class App(NamedTuple):
    """An app that can be advised on: its spec resolved, the release of it, and whether all its clusters have that."""

    plan: Plan
    release: Release
    everywhere: bool


def advise(apps: Mapping[str, App], now: datetime) -> dict[str, list[Issue]]:
    """What the rules say of each app (paths in its spec); sums are over all `apps`."""
    takes = {name: capacity.takes(app.plan) for name, app in apps.items()}
    found: dict[str, list[Issue]] = {}
    for name, app in apps.items():
        others = capacity.together(takes, name)
        subject = Subject(app.plan, app.release, now, app.everywhere, takes[name], others)
        found[name] = [issue for rule in RULES for issue in rule(subject)]
    return found

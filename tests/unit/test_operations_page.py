"""docs/operations.md names every reason that a person can meet, and the alerts that are shipped.

The table of verdicts' reasons is made of the code: `python tests/unit/test_operations_page.py` renews it.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import yaml

from canaryfleet.models.decision import Code
from canaryfleet.reasons import REASONS
from canaryfleet.serve import Figures

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
RULES = ROOT / "deploy" / "monitoring" / "rules.yaml"
BEGIN, END = "<!-- reasons: begin -->\n", "<!-- reasons: end -->"


def table() -> str:
    """Every reason of a verdict, as Markdown."""
    rows = ["| verdict | reason | what it means | what to do |", "|---|---|---|---|"]
    rows += [
        f"| {item.kind} | `{code}` | {item.meaning} | {item.remedy or 'nothing'} |"
        for code, item in REASONS.items()
    ]
    return "\n".join(rows) + "\n"


def section(title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    text = PAGE.read_text()
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def test_every_reason_of_a_verdict_stands_in_the_page_as_the_code_has_it() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == table(), "run `python tests/unit/test_operations_page.py`"


def test_every_reason_of_a_decision_stands_in_the_page_once() -> None:
    rows = [line.split("|") for line in section("What the bot says").splitlines() if line.startswith("| `")]
    said = [code for row in rows for code in re.findall(r"`([a-z-]+)`", row[1])]
    assert sorted(said) == sorted(get_args(Code))
    assert all(len(row) == 5 and row[2].strip() and row[3].strip() for row in rows)


def rules() -> list[dict[str, str]]:
    """The alerts that are shipped."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_alert_stands_in_the_page() -> None:
    shown = re.findall(r"^\| `(\w+)` \|", section("Watch it"), re.MULTILINE)
    assert sorted(shown) == sorted(rule["alert"] for rule in rules())


def test_alerts_ask_for_figures_that_there_are() -> None:
    asked = set(re.findall(r"canaryfleet_\w+", "".join(rule["expr"] for rule in rules())))
    assert asked
    assert asked <= {figure.name for figure in vars(Figures()).values()}


# What the bot shows, minute by minute, and which alert there is of it when.
SERIES = [
    # it runs; the app's runs end with errors from minute 10 on; a rollback is its first decision of that kind
    ("canaryfleet_build_info", "1x180"),
    ('canaryfleet_last_run_timestamp_seconds{app="chat"}', "0+60x180"),
    ('canaryfleet_last_success_timestamp_seconds{app="chat"}', "0+60x10 600x170"),
    ('canaryfleet_decisions_total{app="chat",kind="Rollback"}', "_x29 1x150"),
    ('canaryfleet_oldest_evidence_age_seconds{app="chat"}', "30x100 30+60x80"),
    ('canaryfleet_lease_held{app="chat",instance="a"}', "1x100 0x80"),
    ('canaryfleet_lease_held{app="late",instance="a"}', "1x180"),
    ('canaryfleet_last_run_timestamp_seconds{app="late"}', "_x120 7200+60x60"),
    ('canaryfleet_alarm{app="chat",instance="a"}', "0x50 1x10 0x20 1x100"),
]
SEEN = [
    ("CanaryfleetFailing", 60, False),
    ("CanaryfleetFailing", 80, True),
    ("CanaryfleetStuck", 170, False),
    ("CanaryfleetNeverRan", 29, False),
    ("CanaryfleetNeverRan", 31, True),
    ("CanaryfleetNeverRan", 130, False),
    ("CanaryfleetAlarm", 60, False),
    ("CanaryfleetAlarm", 90, False),
    ("CanaryfleetAlarm", 100, True),
    ("CanaryfleetAbsent", 170, False),
    ("CanaryfleetRollback", 28, False),
    ("CanaryfleetRollback", 31, True),
    ("CanaryfleetRollback", 60, False),
    ("CanaryfleetBlind", 100, False),
    ("CanaryfleetBlind", 150, True),
    ("CanaryfleetShared", 100, False),
    ("CanaryfleetShared", 130, True),
]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (of Prometheus) is not installed")
def test_alerts_come_and_go(tmp_path: Path) -> None:
    assert {name for name, *_ in SEEN} <= {rule["alert"] for rule in rules()}
    asked = [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"value": 1}] if fires else [],
        }
        for name, minute, fires in SEEN
    ]
    series = [{"series": name, "values": values} for name, values in SERIES]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    file = tmp_path / "rules.test.yaml"
    body = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(body))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(head + BEGIN + table() + END + rest.partition(END)[2])

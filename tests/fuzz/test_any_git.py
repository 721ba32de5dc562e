"""Names and messages in Git, which anybody may choose who opens a pull request or pushes a branch."""

import os
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hostile import TEXTS, fine, spoiled, tried
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import applicationset, archive, bot, commits, gate, git, history, landing, past, reconcile
from canaryfleet.errors import Problems
from canaryfleet.files import Tree
from canaryfleet.forges import Remote
from canaryfleet.ground import survey
from canaryfleet.reconcile import Way
from story import Story

ID = "0123456789" * 4
NAMES = (
    b"a\nb", b"a\rb", b"\xff\xfe", b"\xe2\x80\xa8x", b"\xc2\x85", b"\x1b[31m", b"a b blob", b"-x", b"--all", b"*", b"$(id)",
    b"..x", b"'", b'"', b"\\", b"x" * 200, b":(top)", b"blob 5",
)  # fmt: skip


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A release on main, which no cluster has yet."""
    return Story(tmp_path_factory.mktemp("story"))


def quoted(path: bytes) -> bytes:
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def commit(root: Path, ref: str, onto: str, files: dict[bytes, bytes], message: bytes = b"x") -> str:
    """A commit with files of any names and a message of any bytes; its id."""
    who = b"mallory <m@x.example> 1794816000 +0000\n"
    parts = [
        b"commit %s\nmark :1\nauthor %scommitter %sdata %d\n%s\n"
        % (ref.encode(), who, who, len(message), message)
    ]
    parts += [b"from %s\n" % onto.encode()]
    parts += [
        b"M 100644 inline %s\ndata %d\n%s\n" % (quoted(path), len(data), data) for path, data in files.items()
    ]
    done = subprocess.run(["git", "fast-import", "--quiet", "--force", "--done"], cwd=root, input=b"".join(parts) + b"done\n", check=False, capture_output=True)  # fmt: skip
    assert not done.returncode, done.stderr
    return git.run(root, ["rev-parse", ref]).decode().strip()


def hostile(*folders: bytes) -> dict[bytes, bytes]:
    """Files in folders of hostile names, and of hostile names."""
    texts = {
        b"promotion.yaml": b"a: [", b"clusters/x/kustomization.yaml": b"- ../../releases/..\n",
        b"clusters/%s/kustomization.yaml": b"- ../../releases/1.0.0\n", b"releases/%s/release.yaml": b"{}", b"done.yaml": b"\xff",
    }  # fmt: skip
    return {
        b"/".join((folder, name, path.replace(b"%s", name))): data
        for folder in folders
        for name in NAMES
        for path, data in texts.items()
    }


CLUSTERS = {b"clusters/%s.yaml" % name: b"kind: Cluster\n" for name in NAMES}
SPECS = {b"specs/%s/canary.yaml" % name: b"a: [" for name in NAMES}


def said(problems: Problems) -> None:
    fine(*map(str, problems.findings))


def test_a_pull_request_with_any_names_is_judged(story: Story) -> None:
    """The gate marks every pull request: one that ends it would leave all of them unmarked."""
    files = hostile(b"overlays") | CLUSTERS | SPECS
    head = commit(story.people, "refs/heads/names", story.main(), files)
    story.git("push", "-q", "origin", "names")
    number = story.forge.propose("mallory", "names", "main", "names", "").number
    (judged,) = gate.every(story.bot(), [number])
    lines: list[str] = []
    bot._each([judged], lines.append)
    fine(*lines, judged.status.description)  # a line of a CI's log may be a command
    assert all("\n" not in line for line in lines)
    assert judged.head == head
    assert judged.status.state == "failure"
    assert set(judged.reasons) >= {os.fsdecode(name) for name in (b"a\nb", b"\xff\xfe", b"\xe2\x80\xa8x")}
    story.forge.close(number, "no")


@pytest.mark.parametrize("folder", [b"overlays", b"overlays/chat", b"clusters", b"specs"])
def test_a_default_branch_with_any_names_is_read(story: Story, tmp_path: Path, folder: bytes) -> None:
    files = {b"overlays": hostile(b"overlays"), b"clusters": CLUSTERS, b"specs": SPECS}.get(folder)
    files = files or {
        b"overlays/chat/%s/%s" % (kind, name + more): b"x"
        for kind, more in (
            (b"clusters", b"/kustomization.yaml"),
            (b"releases", b"/release.yaml"),
            (b"config", b"/x"),
            (b".", b""),
        )
        for name in NAMES
        if kind != b"."
    }
    other = story.fork(tmp_path / "story")
    at = commit(other.people, "refs/heads/main", other.main(), files)
    other.git("reset", "-q", "--hard", at)
    other.git("push", "-q", "origin", "main")
    try:
        for report in reconcile.once(other.bot(), None, Way(dry=True)):
            fine(*report.remarks, *map(str, report.findings), str(report.outcome.problem))
            assert report.outcome.kind != "bug", report.outcome
    except Problems as problems:
        said(problems)
    for wanted in (applicationset.Wanted(), applicationset.Wanted(app=frozenset({"chat"}))):
        try:
            applicationset.chosen(applicationset.sets(str(other.people), at), wanted)
        except Problems as problems:
            said(problems)


def refs(root: Path, names: Iterable[str], id: str) -> None:
    lines = "".join(f"update {name} {id}\n" for name in names)
    git.run(root, ["update-ref", "--stdin"], stdin=os.fsencode(lines))


def test_a_ref_has_no_other_name_than_its_own(story: Story, tmp_path: Path) -> None:
    """Unicode knows more ends of lines than git: a name with one would be read as two, the second a name of its choice."""
    root, id = story.fork(tmp_path / "story").people, story.main()
    names = {f"refs/canaryfleet/fetched/x{end}refs/canaryfleet/accepted/eu-1" for end in "\u2028\u2029\x85"}
    names |= {"refs/canaryfleet/fetched/\udcff"}
    refs(root, names, id)
    assert git.refs(root, "refs/canaryfleet/") == dict.fromkeys(names, id)
    assert git.ahead(root, [id], names) == set()
    assert git.default_ref(root, "main") == "refs/remotes/origin/main"


def test_records_are_pruned_beside_any_refs(story: Story, tmp_path: Path) -> None:
    root, id = story.fork(tmp_path / "story").people, story.main()
    tree = git.run(root, ["rev-parse", f"{id}^{{tree}}"]).decode().strip()
    odd = {f"refs/canaryfleet/records/{name}" for name in ("x\u2028y", "\udcff", "\x85", "x")}
    refs(root, odd, id)
    refs(root, ["refs/canaryfleet/records/tree"], tree)
    assert archive.prune(root, datetime.now(UTC) + timedelta(days=9999)) == {}


def test_files_with_any_names_are_found_or_left_out(story: Story, tmp_path: Path) -> None:
    root = story.fork(tmp_path / "story").people
    at = commit(root, "refs/heads/x", story.main(), {name: name for name in NAMES})
    asked = [f"{at}:./{os.fsdecode(name)}" for name in (*NAMES, b"a\r blob 5", b"missing blob", b"\xfe")]
    found = git.blobs(root, asked, 1 << 20)
    there = [name for name in NAMES if b"\n" not in name]
    assert found == {f"{at}:./{os.fsdecode(name)}": name for name in there}


def test_a_branch_of_a_fork_is_not_read_as_where_to_put_it(story: Story, tmp_path: Path) -> None:
    """The forge shows it as `owner:branch`, and git takes `a:b` for "fetch a, and make it b here"."""
    other = story.fork(tmp_path / "story")
    other.git("push", "-q", "origin", "main:mallory")
    remote = Remote(str(other.bare))
    for name in ("mallory:refs/remotes/origin/other", "mallory\0", "+mallory", "mallory\n"):
        with pytest.raises(Problems):
            commits.fetch_head(other.clone, remote, 7, name)
    assert set(git.refs(other.clone, "refs/remotes/")) <= {
        "refs/remotes/origin/main",
        "refs/remotes/origin/HEAD",
    }


# Messages

VERDICT = (
    f"Canaryfleet-Verdict: Verified app=chat cluster=one release=1.0.0-0123456789ab pod={ID[:20]} identity=x basis=Analysis "
    f"reason=Proven since=2026-11-03T10:00:00Z evidence={'0' * 64}"
)
GROUP = (
    f"Canaryfleet-Verdicts: Verified app=chat release=1.0.0-0123456789ab pod={ID[:20]} basis=Analysis reason=Proven "
    f"since=9999-12-31T23:59:59Z\n one x 0 {'0' * 64}\n two y 999999999999.999999 {'0' * 64}"
)
LANDED = landing.line(
    landing.Landing(app="chat", kind="Advance", key="k", release="1.0.0-0123456789ab", wave="first")
)
MESSAGE = f"Advance\n\n{VERDICT}\n{GROUP}\n{LANDED}\n".encode()


@tried(80)
@given(message=spoiled(MESSAGE), more=st.sampled_from(TEXTS))
def test_any_message_is_read_or_passed_over(message: bytes, more: str) -> None:
    text = message.decode(errors="replace") + more
    for record in history.records(text):
        assert record.app.isascii()
        assert record.hash == "0" * 64 or len(record.hash) == 64
    found = landing.read(text)
    assert found is None or landing.read(landing.line(found)) == found


@tried(1)
@given(messages=st.lists(spoiled(MESSAGE), min_size=20, max_size=20))
def test_what_changes_more_than_the_bot_writes_proves_nothing(
    story: Story, tmp_path_factory: pytest.TempPathFactory, messages: list[bytes]
) -> None:
    """Pull requests of people, whose text a forge copies into the merged commit, with records and decisions in it."""
    other = story.fork(tmp_path_factory.mktemp("messages") / "story")
    at = other.main()
    for number, message in enumerate([MESSAGE, *messages]):
        files = {b"README.md": b"%d" % number, b"overlays/chat/promotion.yaml": b"# %d\n" % number}
        at = commit(other.people, "refs/heads/main", at, files, message.replace(b"\0", b""))
    other.git("reset", "-q", "--hard", at)
    other.git("update-ref", "refs/remotes/origin/main", at)
    ground = survey(Tree(other.people), at, datetime(2026, 11, 20, tzinfo=UTC))
    assert all(not facts.proofs for facts in ground.plan.past["chat"].values())
    assert all(merged.by == "person" and not merged.proofs for merged in ground.halves["chat"].history)
    log = past.log(str(other.people), at, ["chat"], below="", most=past.WHOLE)
    assert log.latest is None

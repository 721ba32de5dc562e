"""Text that is no YAML, or is not what it looks like: each with its code, its line and a remedy."""

import pytest
from driver import CLUSTER, FLEET, SPEC, Repo

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)

# what stands where in the spec, the code, the line
CASES: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "CF007", 0),
    "only a comment": (b"# later\n", "CF007", 0),
    "two documents": (SPEC.encode() + b"---\na: 1\n", "CF007", 22),
    "a list": (b"- a\n", "CF033", 1),
    "a word": (b"canary\n", "CF033", 1),
    "a key twice": (SPEC.replace("  port: 8000\n", "  port: 8000\n  port: 8001\n").encode(), "CF003", 8),
    "a bomb of aliases": (BOMB.encode(), "CF006", 0),
    "an alias of itself": (b"a: &a [*a]\n", "CF006", 1),
    "an unknown alias": (b"a: *b\n", "CF006", 1),
    "very deep": (b"a: " + b"[" * 5000 + b"]" * 5000 + b"\n", "CF005", 1),
    "very deep mappings": (b"".join(b" " * depth + b"a:\n" for depth in range(200)), "CF005", 64),
    "a tag": (SPEC.replace("port: 8000", "port: !!python/object:os.system 8000").encode(), "CF008", 7),
    "a tag of its own": (SPEC.replace("version: 1.0.0", "version: !v 1.0.0").encode(), "CF008", 4),
    "a tab": (SPEC.replace("  port: 8000", "\tport: 8000").encode(), "CF002", 7),
    "a NUL": (SPEC.replace("8000", "80\0").encode(), "CF001", 7),
    "an escape sequence": (SPEC.replace("name: rest", "name: rest # \x1b[2J").encode(), "CF001", 19),
    "text that runs backwards": (SPEC.replace("name: rest", "name: rest # \u202e").encode(), "CF001", 19),
    "not UTF-8": (SPEC.replace("name: rest", "name: r\xe9st").encode("latin-1"), "CF001", 19),
    "UTF-16": (SPEC.encode("utf-16"), "CF001", 1),
    "a byte order mark": (b"\xef\xbb\xbf" + SPEC.encode(), "CF001", 1),
    "an ambiguous word": (SPEC.replace("name: rest", "name: on").encode(), "CF004", 19),
    "an ambiguous number": (SPEC.replace("port: 8000", "port: 0o17").encode(), "CF004", 7),
    "a time of day": (SPEC.replace("version: 1.0.0", "version: 12:30:45").encode(), "CF004", 4),
    "a date": (SPEC.replace("version: 1.0.0", "version: 2026-11-01").encode(), "CF004", 4),
    "infinity": (SPEC.replace("port: 8000", "port: .inf").encode(), "CF004", 7),
    "a merge": (SPEC.replace("  port: 8000", "  <<: {port: 8000}").encode(), "CF004", 7),
    "a list as a key": (SPEC.replace("  port: 8000", "  ? [a]\n  : 1").encode(), "CF009", 7),
    "a number as a key": (SPEC.replace("  port: 8000", "  1: 8000").encode(), "CF009", 7),
    "an open quote": (SPEC.replace("name: rest", 'name: "rest').encode(), "CF002", 21),
    "an open bracket": (SPEC.replace("[eu-1]", "[eu-1").encode(), "CF002", 18),
    "a template": (SPEC.replace("port: 8000", "port: {{ .Values.port }}").encode(), "CF009", 7),
    "too large": (SPEC.encode() + b"#" * (1 << 20) + b"\n", "CF005", 0),
    "enormous": (SPEC.encode() + b"#" * (5 << 20) + b"\n", "CF012", 0),
}


def test_a_merge_key_is_said_once_and_what_it_brings_is_not_missed(repo: Repo) -> None:
    repo.write("specs/chat/canary.yaml", SPEC.replace("  port: 8000", "  <<: {port: 8000}"))
    assert [item.code for item in repo.refused("lint").findings] == ["CF004"]
    repo.write("specs/chat/canary.yaml", SPEC.replace("  port: 8000", "  <<: {prot: 8000}"))
    assert repo.refused("lint").codes >= {"CF004", "CF030"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("command", ["lint", "render"])
def test_a_spec_that_is_not_plain_yaml(repo: Repo, case: str, command: str) -> None:
    content, code, line = CASES[case]
    repo.write("specs/chat/canary.yaml", content)
    result = repo.refused(command)
    first = result.findings[0]
    assert (first.file, first.line, first.code) == ("specs/chat/canary.yaml", line, code), first.text
    assert result.out == ""


@pytest.mark.parametrize(
    ("path", "text"),
    [("fleet.yaml", FLEET), ("clusters/eu-2.yaml", CLUSTER.replace("NAME", "eu-2"))],
    ids=["fleet", "cluster"],
)
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("a: [", "CF002"),
        ("a: yes\n", "CF004"),
        ("kind: x\n", "CF003"),
        ("---\na: 1\n", "CF007"),
        ("\0", "CF001"),
    ],
)
def test_other_files_are_read_as_strictly(repo: Repo, path: str, text: str, more: str, code: str) -> None:
    repo.write(path, text + more)
    found = [finding for finding in repo.refused("lint").findings if finding.file == path]
    assert code in {finding.code for finding in found}
    assert max(finding.line for finding in found) >= text.count("\n")


def test_multi_line_names_are_no_names(repo: Repo) -> None:
    """`|` ends with a line end, which to many a pattern is the end of the text."""
    repo.replace("specs/chat/canary.yaml", "version: 1.0.0\n", "version: |\n  1.0.0\n")
    repo.replace("specs/chat/canary.yaml", "namespace: inference", 'namespace: "inference\\n"')
    repo.replace("specs/chat/canary.yaml", "name: rest", 'name: "rest\\n"')
    result = repo.refused("lint")
    assert [finding.line for finding in result.findings] == [3, 4, 20]
    assert result.codes == {"CF033"}


def test_what_is_printed_stays_one_line(repo: Repo) -> None:
    """A CI takes lines for commands, a terminal takes escapes for colours."""
    text = CLUSTER.replace("NAME", "eu-2") + '"x\\n::error file=a::\\e[31m": 1\n'
    repo.write("clusters/eu-2.yaml", text)
    repo.write("clusters/a\n::warning::b.yaml", "x")
    result = repo.refused("lint")
    assert not [line for line in result.err.splitlines() if line.startswith("::")]
    assert "\x1b" not in result.err
    assert r"x\n::error file=a::\x1b[31m" in result.err


def test_thousands_of_mistakes_are_quick_and_few(repo: Repo) -> None:
    repo.replace(
        "specs/chat/canary.yaml",
        "  port: 8000\n",
        "  port: 8000\n  env:\n" + "".join(f"    N{number}: {number}\n" for number in range(20_000)),
    )
    result = repo.refused("lint")
    assert 20 <= len(result.findings) <= 200

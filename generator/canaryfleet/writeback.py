"""What `canaryfleet render` writes, as a commit on the branch of somebody's pull request, where that is allowed.

Nothing is forced: the branch has to be where it was seen. Until the push is done the checkout is as it was, so what is
not pushed is never looked at as if it were.
"""

import os
from collections.abc import Sequence

from canaryfleet import commits, files, git
from canaryfleet.commits import Remote
from canaryfleet.errors import Place, problem
from canaryfleet.files import Tree
from canaryfleet.landing import BRANCHES
from canaryfleet.render import frozen_at, know, render

WHO = ("canaryfleet render", "render@canaryfleet.invalid")
"""Not the bot: what it has committed alone is its own, and this is on somebody else's branch."""
MESSAGE = "Render the releases of the specs\n\nBy `canaryfleet render`."


def write(tree: Tree, base: str, head: str, branch: str, remote: Remote) -> str | None:
    """Commit on `head` what is not rendered, push it to `branch`, and check it out; the commit, None if all is rendered.

    Raises `Problems`: CF025 git or the forge refuses, CF184 the branch has moved or is the bot's, and what is wrong
    with the specs.
    """
    if branch.startswith(BRANCHES):
        raise problem(Place("."), "CF184", f"{branch} is the bot's own branch, on which nobody else commits")
    with commits.worktree(tree.root, head) as folder:
        here = Tree(folder)
        changed = files.apply(here.root, render(frozen_at(know(here), base)).changes)
        if not changed:
            return None
        made = _commit(folder, sorted(changed))
    if commits.push(tree.root, remote, branch, made, head) == "raced":
        raise problem(
            Place("."), "CF184", f"{branch} has moved since it was checked out", "its next run renders it"
        )
    git.run(tree.root, ["merge", "--quiet", "--ff-only", made])
    return made


def _commit(folder: str, paths: Sequence[str]) -> str:
    listed = b"\0".join(map(os.fsencode, paths))
    git.run(folder, ["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"], stdin=listed)
    who = ["-c", f"user.name={WHO[0]}", "-c", f"user.email={WHO[1]}", "-c", "commit.gpgsign=false"]
    git.run(folder, [*who, "commit", "--quiet", "--no-verify", f"--message={MESSAGE}"])
    return git.run(folder, ["rev-parse", "HEAD"]).decode().strip()

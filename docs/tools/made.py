"""Everything in docs/ that is made of the code, by its path."""

from pathlib import Path

import commandline
import contents
import fields
import pictures

from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.promotion import Promotion

ROOT = Path(__file__).resolve().parents[2]
LIVE = """\
*Live* is what takes effect at once and restarts nothing; all else is frozen in a release, and goes from wave to wave
([concepts](../concepts.md))."""
PAGES = {
    "spec": fields.Page(
        "The spec: specs/APP/canary.yaml",
        "What people write of an app. An unknown field is an error, with the nearest name. With the comment\n"
        "`# yaml-language-server: $schema=../../schemas/canary.schema.json` in the first line an editor completes and\n"
        f"explains each field. {LIVE}",
        Canary,
        "specs/assistant/canary.yaml",
    ),
    "fleet": fields.Page(
        "Settings: fleet.yaml",
        "What all apps of a repository share. It stands in the repository's root, and says where that is.",
        Fleet,
        "fleet.yaml",
    ),
    "cluster": fields.Page(
        "A cluster: clusters/CLUSTER.yaml",
        "The inventory: one file for each cluster, which waves and overrides select by its labels.",
        Cluster,
        "clusters/eu-west-1a.yaml",
    ),
    "promotion": fields.Page(
        "Bars, holds, excuses: overlays/APP/promotion.yaml",
        "The little that can't be derived: what people, and the bot after a failure, decided by hand. `canaryfleet hold`,\n"
        "`bar` and `excuse` write it, and comments in it survive them; it may be edited in a pull request as well. A file\n"
        "that can't be read holds everything.",
        Promotion,
        "docs/tools/promotion.yaml",
    ),
}


def files() -> dict[str, str]:
    """The text of each page."""
    found = {
        f"docs/reference/{name}.md": fields.page(page, (ROOT / page.example).read_text())
        for name, page in PAGES.items()
    }
    found |= {"docs/reference/commands.md": commandline.page(), "docs/index.md": contents.index()}
    return found | pictures.files()

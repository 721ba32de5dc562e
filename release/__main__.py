"""`python -m release`: fill dist/ with a release. Nothing is published."""

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from release import build, environment, sbom

TO = build.ROOT / "dist"


def main() -> None:
    """Make everything anew, and say what there is."""
    shutil.rmtree(TO, ignore_errors=True)
    TO.mkdir()
    name = f"canaryfleet-{build.version()}"
    locked = (build.ROOT / "requirements/run.txt").read_text()
    with tempfile.TemporaryDirectory() as folder:
        source = build.exported(Path(folder, "source"))
        build.build(source, TO, "wheel", "sdist")
        wheel = next(TO.glob("*.whl"))
        python = environment.installed(Path(folder, "environment"), wheel)
        (TO / f"{name}.cdx.json").write_text(sbom.bom(python, wheel, locked))
    (TO / f"{name}.requirements.txt").write_text(locked)
    made = sorted(TO.iterdir())
    sums = "".join(f"{sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in made)
    (TO / "SHA256SUMS").write_text(sums)
    print(sums, end="")


if __name__ == "__main__":
    main()

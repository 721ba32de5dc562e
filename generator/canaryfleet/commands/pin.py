"""`canaryfleet pin`."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_OK, Problems, one_line

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from canaryfleet.errors import Finding
    from canaryfleet.pin import Change


def parser() -> "ArgumentParser":
    found = arguments.parser(
        "pin",
        "Write the digest behind each image's tag, as its registry says it, with the credentials of `docker login`. "
        "Comments and layout stay.",
    )
    found.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    found.add_argument("--update", action="store_true", help="ask again for tags that have a digest already")
    how = found.add_mutually_exclusive_group()
    how.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say which images have no digest, and with --update, which tags have moved",
    )
    how.add_argument("--dry-run", action="store_true", help="write nothing; say what would be written")
    return found


def run(given: list[str]) -> int:
    options = arguments.parse(parser(), given)
    from canaryfleet import files, pin, repo

    tree = arguments.tree(options.root, to_write=not (options.check or options.dry_run))
    found = [pin.find(tree, app) for app in repo.apps_with_specs(tree, options.apps)]
    uses = [use for each in found for use in each.uses]
    retagged = [finding for each in found for finding in each.retagged]
    as_json = options.output == "json"
    if options.check and not options.update:
        return _check([*pin.unpinned(uses), *retagged], len(uses), as_json)
    changed = pin.changes(uses, _resolver(update=options.update))
    if options.check:
        return _check([*pin.moved(changed), *retagged], len(uses), as_json)
    if retagged:
        raise Problems(retagged)
    made = pin.files(tree, changed)
    if not options.dry_run:
        files.apply(tree.root, files.Changes(made))
    _tell(changed, written=bool(made) and not options.dry_run, as_json=as_json)
    return EXIT_OK


def _check(findings: Sequence["Finding"], count: int, as_json: bool) -> int:
    outcome.show(findings, as_json)
    if not findings and not as_json:
        print(f"{count} {'image is' if count == 1 else 'images are'} pinned")
    return outcome.code(findings)


def _resolver(*, update: bool) -> Callable[[str], str]:
    from canaryfleet.registry import Registries, Unresolved

    registries = Registries(os.environ)

    def resolve(image: str) -> str:
        try:
            return registries.pinned(image, update=update)
        except Unresolved as error:
            raise ValueError(str(error), error.remedy) from None

    return resolve


def _tell(changed: Sequence["Change"], *, written: bool, as_json: bool) -> None:
    if as_json:
        from canaryfleet import output
        from canaryfleet.models.pinned import Pinned, PinnedImage

        images = tuple(
            PinnedImage(
                app=use.app,
                file=use.file,
                line=use.place.line,
                column=use.place.column,
                old=use.image,
                new=new,
            )
            for use, new in changed
        )
        output.print_model(Pinned(images=images, written=written))
        return
    for use, new in changed:
        print(one_line(f"{use.place}: {use.image} -> {new}"))
    done = "pinned" if written or not changed else "would be pinned"
    print(f"{len(changed)} {'image' if len(changed) == 1 else 'images'} {done}")

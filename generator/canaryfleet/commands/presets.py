"""`canaryfleet presets`, and `canaryfleet presets show`."""

import sys
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from canaryfleet.metrics import Context
    from canaryfleet.models.preset import PresetList


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    return _show(given[1:]) if given[:1] == ["show"] else _list(given)


def _list(given: list[str]) -> int:
    parser = arguments.parser(
        "presets", "List the ready metrics; `canaryfleet presets show NAME` explains one, with its queries."
    )
    parser.add_argument("--stack", metavar="NAME", help="only those of one stack, such as vllm")
    parser.add_argument("--page", action="store_true", help="print docs/presets.md: all of them, explained")
    options = arguments.parse(parser, given)
    from canaryfleet import catalogue, presets

    if options.page:
        sys.stdout.write(catalogue.page())
        return EXIT_OK
    if options.stack is not None and options.stack not in presets.STACKS:
        from canaryfleet.nearest import nearest

        raise UsageError(f"there is no stack {options.stack}; {nearest(options.stack, presets.STACKS)}")
    found = catalogue.listed(presets.stack(options.stack) if options.stack else presets.all_names())
    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(found)
    else:
        _tell(found)
    return EXIT_OK


def _tell(found: "PresetList") -> None:
    import shutil

    from canaryfleet.output import table

    rows = [
        (item.name, item.unit or "-", item.better, "yes" if item.quantile else "", item.title)
        for item in found.presets
    ]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table(rows, ("PRESET", "UNIT", "BETTER", "QUANTILE", "WHAT IT MEASURES"), width))


def _show(given: list[str]) -> int:
    parser = arguments.parser("presets show", "Explain a ready metric: its value, parameters and queries.")
    parser.add_argument("name", metavar="NAME", help="such as vllm/time-to-first-token")
    parser.add_argument("--app", metavar="APP", help="with the queries that a release of this app would have")
    options = arguments.parse(parser, given)
    from canaryfleet import catalogue, presets

    preset = presets.find(options.name)
    if preset is None:
        from canaryfleet.nearest import nearest

        raise UsageError(f"no preset is named {options.name}; {nearest(options.name, presets.all_names())}")
    details = catalogue.details(preset, _context(options.root, options.app) if options.app else None)
    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(details)
    else:
        print(catalogue.text(details.preset))
    return EXIT_OK


def _context(root: str | None, app: str) -> "Context":
    """What queries name of an app; a spec that can't be read ends the command with what is wrong with it."""
    from canaryfleet import lint, repo, resolve
    from canaryfleet.errors import ERROR, Problems

    reading = repo.read(arguments.tree(root), [app])
    spec = reading.repository.specs.get(app)
    if spec is None:
        raise Problems([item for item in reading.findings if item.severity == ERROR])
    return resolve.context(lint.inputs(reading.repository, spec))

"""The models of everything that is read or written: one module a file of the repository."""

import sys

from canaryfleet.patterns import all_later

# msgspec asks typing_extensions for two things that Python 3.11 has itself, and importing it takes 10 ms. It keeps
# `re.compile` as it is now, for the patterns of all models, of which a run meets few.
if "typing_extensions" not in sys.modules:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    with all_later():
        import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]

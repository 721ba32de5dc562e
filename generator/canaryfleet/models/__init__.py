"""The models of everything that is read or written: one module a file of the repository."""

import sys

# msgspec asks typing_extensions for two things that Python 3.11 has itself, and importing it takes 10 ms.
if "typing_extensions" not in sys.modules:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]

"""Starting another program so that it never outlives who asked for it."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType


@contextlib.contextmanager
def child(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """`argv`, started without a shell in the folder `cwd` with just `env`, and pipes for what it prints.

    It gets a session of its own: there is no terminal for it to ask on, and Ctrl-C reaches us alone.
    Whoever has not waited for it when the block ends, for whatever reason, has it killed with all
    that it started and did not put into another session. Raises `OSError` if it can't be started.
    """
    with contextlib.ExitStack() as stack:
        with _interrupts_later():
            process = stack.enter_context(
                subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=env,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            )
            stack.callback(_end, process)
        yield process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # nobody has waited for it: its number is not somebody else's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C is heeded after the block.

    In the middle of `Popen` there may be a program already and nobody yet who knows its number. A
    blocked signal would do as well, but a program inherits that.
    """
    heed = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(heed):
        yield
        return
    heard: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: heard.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heed)
        for frame in heard[:1]:
            heed(signal.SIGINT, frame)

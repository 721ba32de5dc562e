"""Waiting for many at once, in one thread.

Waiting costs a socket and not a thread, so that a hundred clusters that hang hold up none of those
that answer.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

LANES = 64
"""At most so many are begun and answer; more would only wait for the processor, and for each other."""
PATIENCE = 1.0
"""Seconds after which one that hangs no longer keeps the next from its turn."""
ROOM = 256
"""At most so many are begun and not yet taken by the caller: file descriptors, and memory."""


def each(
    work: Callable[[A], Awaitable[R]], items: Iterable[A], end: Callable[[], Awaitable[None]]
) -> Iterator[R]:
    """What `work` makes of each item, as soon as it is there; `end` is run at the end of all.

    Whoever stops iterating ends what is under way. What `work` raises is raised here.
    """
    results: SimpleQueue[tuple[R] | BaseException | None] = SimpleQueue()
    loop = asyncio.new_event_loop()
    room = asyncio.Semaphore(ROOM)

    async def one(item: A) -> None:
        results.put((await work(item),))

    async def lane(waiting: Iterator[A], group: asyncio.TaskGroup) -> None:
        for item in waiting:
            await room.acquire()
            await asyncio.wait({group.create_task(one(item))}, timeout=PATIENCE)

    async def everything() -> None:
        waiting = iter(items)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LANES):
                    group.create_task(lane(waiting, group))
        finally:
            await end()

    main = loop.create_task(everything())

    def run() -> None:
        try:
            loop.run_until_complete(main)
            results.put(None)
        except asyncio.CancelledError:
            results.put(None)
        except BaseException as error:  # whatever it is, the caller has to hear of it
            results.put(error)
        finally:
            loop.run_until_complete(asyncio.sleep(0))  # transports that were aborted close in the next turn
            loop.close()

    thread = threading.Thread(target=run, name="canaryfleet-look", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            with contextlib.suppress(RuntimeError):  # all is read, and the loop has ended
                loop.call_soon_threadsafe(room.release)
            yield result[0]
    finally:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(main.cancel)
        thread.join()


async def aside(work: Callable[[], R]) -> R:
    """What `work` returns or raises, from a thread of its own.

    For what can't be waited for otherwise, and may hang for ever: whoever stops waiting leaves the thread
    behind, which keeps neither others nor the end of the program waiting, as a pool's would.
    """
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[R] = loop.create_future()

    def tell(set_: Callable[..., None], value: object) -> None:
        if not settled.done():
            set_(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[..., None], object] = (settled.set_result, work())
        except Exception as error:
            outcome = (settled.set_exception, error)
        with contextlib.suppress(RuntimeError):  # nobody waits any more, and the loop has ended
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return await settled

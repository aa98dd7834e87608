"""Work that a cancelled caller may not cut in the middle."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even when the caller is cancelled meanwhile, then let the cancellation through.

    When this returns or raises, nothing of the work is under way any more. An error of work whose caller was cancelled is
    the cause of the CancelledError, so it is not lost.
    """
    # A TaskGroup would cancel the work with its caller, which is just what must not happen; it is awaited to its end below.
    task = asyncio.ensure_future(work)  # noqa: TID251
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()

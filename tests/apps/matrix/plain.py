"""With PLAIN=1 the application sets up sentry-sdk itself, as it would without slotel: the oracle of its events.

`ACTS` and `ASYNC_ACTS` are what every application can do on request, by path: each ends, or raises.
"""

import asyncio
import io
import logging
import os
import sys

import sentry_sdk

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

if gone := os.environ.get("GONE"):  # a name of another project that its release has not
    from slotel.runtime.upstream.probe import PROBES

    for probe in PROBES:
        if str(probe) == gone:
            probe.name += "_gone"

if os.environ.get("PLAIN"):
    sentry_sdk.init(os.environ["PLAIN_DSN"], traces_sample_rate=0)


class QuotaError(Exception):
    """An exception that has a status, and is no answer."""

    status_code = 429
    status = 429


class BreakingFile(io.RawIOBase):
    """A file of elsewhere that breaks while it is read."""

    _parts = 0

    def read(self, _size=-1):
        self._parts += 1
        if self._parts > 1:
            raise ValueError("file-breaks")
        return b"part"


class BreakingOnDisk(io.RawIOBase):
    """A file whose length is known, and that breaks after its first part."""

    _at = 0

    def seekable(self):
        return True

    def tell(self):
        return self._at

    def seek(self, offset, whence=0):
        self._at = 100_000_000 if whence == 2 else offset
        return self._at

    def read(self, size=-1):
        if self._at or size < 0:
            raise ValueError("sent-file-breaks")
        self._at = size
        return b"x" * size


def failing_parts():
    """A stream that breaks before its first part."""
    raise ValueError("stream-fails")
    yield b""


async def failing_async_parts():
    raise ValueError("stream-fails")
    yield b""


def marks():
    sentry_sdk.set_user({"id": "7"})
    sentry_sdk.set_tag("colour", "red")


def group():
    raise ExceptionGroup("group", [ValueError("one"), KeyError("two")])


def logged_by_loguru():
    from loguru import logger

    try:
        raise KeyError("loguru")
    except KeyError:
        logger.exception("logged by loguru")


def logged_by_structlog():
    import structlog

    logger = structlog.wrap_logger(
        logging.getLogger("structlog"), processors=[structlog.stdlib.render_to_log_kwargs]
    )
    try:
        raise KeyError("structlog")
    except KeyError:
        logger.exception("logged by structlog")


def sentinel():
    sentry_sdk.capture_message("sentinel")


ACTS = {
    "/sentinel": sentinel,
    "/marks": marks,
    "/group": group,
    "/loguru": logged_by_loguru,
    "/structlog": logged_by_structlog,
}


async def task_group():
    async def fail():
        raise ValueError("in a task")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())
        await asyncio.sleep(10)


async def timeout():
    async with asyncio.timeout(0.01):
        await asyncio.sleep(10)


async def cancelled():
    asyncio.current_task().cancel()
    await asyncio.sleep(10)


ASYNC_ACTS = {"/cancelled": cancelled}
if sys.version_info >= (3, 11):
    ASYNC_ACTS |= {"/task-group": task_group, "/timeout": timeout}

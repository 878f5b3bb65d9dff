"""The bodies of WSGI requests and responses, wrapped to see whether they were read and sent to their end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from slotel.runtime.requests.decision import is_client_disconnect
from slotel.runtime.requests.served import ServedRequest

if TYPE_CHECKING:
    from slotel.runtime.requests.layers.wsgi import WsgiRequest

_SHORT_READS: Final = frozenset({"read1", "readall", "readinto", "readinto1"})
"""Read methods that only some servers' bodies have. They may return less than is available; b"" is the end."""


class Body:
    """Wraps the body of a request, and notes whether a read returned less than Content-Length.

    Args:
        length: Content-Length of the request, in bytes.

    Attributes:
        is_cut_off: the last read ended before Content-Length, though the caller asked for more.
    """

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self._left = length
        self.is_cut_off = False

    def read(self, *size: Any) -> bytes:
        """Read at most `size` bytes; the server waits until it has them."""
        data: bytes = self._got(self._stream.read, *size)
        wanted = self._left if not size or size[0] is None or size[0] < 0 else min(size[0], self._left)
        self._note(len(data), is_end=len(data) < wanted)
        return data

    def readline(self, *size: Any) -> bytes:
        """Read a line; the last one may lack its newline."""
        line: bytes = self._got(self._stream.readline, *size)
        is_whole = line.endswith(b"\n") or bool(size and size[0] is not None and 0 <= size[0] <= len(line))
        self._note(len(line), is_end=not is_whole)
        return line

    def readlines(self, *hint: Any) -> list[bytes]:
        """Read the remaining lines, or about `hint` bytes of them."""
        lines: list[bytes] = self._got(self._stream.readlines, *hint)
        self._note(sum(map(len, lines)), is_end=not (hint and hint[0] and hint[0] > 0))
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the server's body."""
        found = getattr(self._stream, name)
        if name not in _SHORT_READS:
            return found

        def read(*arguments: Any) -> Any:
            got = self._got(found, *arguments)
            size = got if isinstance(got, int) else len(got or b"")
            self._note(size, is_end=not size and arguments != (0,))
            return got

        return read

    def _got(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except OSError:
            self.is_cut_off = True
            raise

    def _note(self, read: int, *, is_end: bool) -> None:
        self._left -= read
        self.is_cut_off = is_end and self._left > 0


class WatchedBody:
    """Wraps the response body of an application beneath a middleware; has all attributes of the body.

    Args:
        failed: called with the exception that breaks it.
    """

    __slots__ = ("_failed", "_parts", "body")

    def __init__(self, body: Any, failed: Callable[[BaseException], None]) -> None:
        self.body = body
        self._failed = failed
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        __traceback_hide__ = True
        try:
            if self._parts is None:
                self._parts = iter(self.body)
            return next(self._parts)
        except BaseException as error:
            self._failed(error)
            raise

    def close(self) -> None:
        """Close the body."""
        try:
            getattr(self.body, "close", _nothing)()
        except BaseException as error:
            self._failed(error)
            raise

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the body."""
        return getattr(self.body, name)


def _nothing() -> None:
    """Do nothing: the body has no `close`."""


class SentBody:
    """A response body that is still to be iterated over; the request ends with it.

    A body with a Content-Length is complete before its last part is handed to the server: the client sees its end then.
    """

    __slots__ = ("_answer", "_given", "_handled", "_parts", "_served")

    def __init__(self, answer: Iterable[bytes], served: WsgiRequest) -> None:
        self._answer = answer
        self._served = served
        self._parts: Iterator[bytes] | None = None
        self._given: int | None = None
        self._handled = sys.exc_info()[1]

    def __iter__(self) -> Iterator[bytes]:
        if self._parts is None:
            try:
                self._parts = iter(self._answer)
            except BaseException as error:
                self._served.note_unanswered(has_returned=False)
                self._served.end(error)
                raise
        return self

    def __next__(self) -> bytes:
        served = self._served
        try:
            if self._parts is None:
                self._parts = iter(self._answer)
            part = next(self._parts)
        except StopIteration:
            if not served.is_complete and is_short(self._given or 0, served):
                served.is_broken_off = True
            served.is_complete = True
            raise
        except BaseException as error:
            if self._given is None:
                served.note_unanswered(has_returned=True)
            served.end(error)
            raise
        if not isinstance(part, bytes) or served.status is None:
            served.is_broken_off = True
        else:
            self._given = (self._given or 0) + len(part)
            is_whole = served.length is not None and self._given >= served.length
            if is_whole and not (served.is_complete or served.is_broken_off):
                served.complete()
        return part

    def close(self) -> None:
        """Close the body. Before its last part this means that the server abandoned it or could not send it."""
        served, unsent = self._served, sys.exc_info()[1]
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            served.end(error)
            raise
        finally:
            if unsent is not None and self._has_failed(unsent):
                served.is_complete = False
                served.end(unsent)
            elif served.is_complete or served.is_broken_off or self._parts is None:
                served.end(None)
            else:
                served.client_left = True
                served.end(GeneratorExit())
            served.leave()

    def _has_failed(self, unsent: BaseException) -> bool:
        """Whether the server failed to send the body to a connected client."""
        if not isinstance(unsent, Exception) or unsent is self._handled:
            return False
        return not (isinstance(unsent, OSError) or is_client_disconnect(unsent))


class SizedBody:
    """A sent body that tells its length, as a list does: servers make Content-Length of it.

    Some sum up its parts for that, before or while they send them: only the first iteration is the sent one.
    """

    __slots__ = ("_answer", "_is_sent", "_sent")

    def __init__(self, answer: Any, served: WsgiRequest) -> None:
        self._answer = answer
        self._is_sent = False
        self._sent = SentBody(answer, served)

    def __iter__(self) -> Iterator[bytes]:
        parts = self._answer if self._is_sent else self._sent
        self._is_sent = True
        return iter(parts)

    def __len__(self) -> int:
        return len(self._answer)

    def close(self) -> None:
        """Close the body, as `SentBody` does."""
        self._sent.close()


_READ_LATER: Final = ("get", "read")
"""Methods of waitress's files, which a thread of its own calls, and of uWSGI's, which its C code does: what they raise
is over when the file is closed."""


def is_file(answer: Any, environ: Mapping[str, Any]) -> bool:
    """Return whether a response is a file that the server sends itself: of a class that it knows, or uWSGI's object."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(answer, wrapper)
    return wrapper is not None and hasattr(answer, "read")


def watch_file(answer: Any, served: ServedRequest) -> bool:
    """End the request when the server closes the file that it sends; return whether the close can be observed.

    The server checks the file's class, so the file is not wrapped.
    """
    close, handled = getattr(answer, "close", None), sys.exc_info()[1]
    failures: list[Exception] = []

    def close_and_end() -> None:
        unsent = sys.exc_info()[1]
        failures.clear()  # a failure holds the frames that hold it
        try:
            if close is not None:
                close()
        finally:
            if isinstance(unsent, Exception) and not is_client_disconnect(unsent) and unsent is not handled:
                served.end(unsent)
            else:
                served.client_left = unsent is not handled
                served.end(None)

    try:
        answer.close = close_and_end
        for name in _READ_LATER:
            if (read := getattr(answer, name, None)) is not None:
                setattr(answer, name, _ending(read, served, failures))
    except AttributeError:  # it has no room for it
        return False
    return True


def _ending(
    read: Callable[..., bytes], served: ServedRequest, failures: list[Exception]
) -> Callable[..., bytes]:
    """Return a method that reads a file, and ends the request when that fails."""

    def read_or_end(*arguments: Any) -> bytes:
        if failures:  # waitress may read again in its other thread: the same failure, not a second one
            raise failures[0]
        try:
            return read(*arguments)
        except Exception as error:
            failures.append(error)
            served.end(error)
            raise

    return read_or_end


def is_short(given: int, served: WsgiRequest) -> bool:
    """Return whether a body of `given` bytes has no head or is too short. An empty one may have gone by `write()`."""
    return given > 0 and (served.status is None or served.is_short(given, served.length, served.method))

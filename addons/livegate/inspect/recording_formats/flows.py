"""Reader of flow files, of every version that mitmproxy reads."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from mitmproxy import exceptions, http
from mitmproxy.io import FlowReader

from livegate.inspect.recording_formats.replay import Contents, FlowLines, Line, ReadError

MAX_FLOW_BYTES = 512 * 1024 * 1024
"""Size of one flow with all its messages. Larger flows are refused, because mitmproxy allocates what a file claims."""


class _BoundedFile(io.RawIOBase):
    """File whose `read` allocates no more than the file has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def peek(self, size: int) -> bytes:
        """Return the next bytes without consuming them, for mitmproxy's reader."""
        return self._file.peek(size)[:size] if isinstance(self._file, io.BufferedReader) else b""

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes. Raises ValueError beyond MAX_FLOW_BYTES, or when the file ends before."""
        if size <= 1:
            return self._file.read(size)
        if size > MAX_FLOW_BYTES:
            raise ValueError(f"its size is {size:,} bytes; the limit is {MAX_FLOW_BYTES:,}")
        pieces: list[bytes] = []
        remaining = size
        while remaining and (piece := self._file.read(min(remaining, 1024 * 1024))):
            pieces.append(piece)
            remaining -= len(piece)
        if remaining:
            raise ValueError("the file ends within it")
        return b"".join(pieces)


def flow_file_lines(file: BinaryIO, path: Path, contents: Contents) -> Iterator[Line]:
    """Yield the lines that a frame log would have for a file's flows. Raises ReadError with the number of the flow."""
    flow_lines = FlowLines(contents)
    flows = iter(FlowReader(cast("BinaryIO", _BoundedFile(file))).stream())
    number = 0
    while True:
        number += 1
        try:
            flow = next(flows, None)
            if flow is None:
                return
            if isinstance(flow, http.HTTPFlow):
                yield from flow_lines.lines_for(flow)
            else:
                contents.other_flows += 1
        except ReadError:
            raise
        except Exception as error:
            # A damaged file leads to any exception in mitmproxy's conversions of old versions.
            raise ReadError(f"{path}: flow {number} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, exceptions.FlowReadException):
        cause = error.__cause__
        detail = f" ({cause})" if cause is not None and str(cause) != str(error) else ""
        return f"{error}{detail}"
    return f"it is not a flow as mitmproxy saves it ({type(error).__name__})"

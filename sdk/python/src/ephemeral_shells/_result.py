"""The outcome and the output of a command."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .errors import CommandError, JobFailedError

if TYPE_CHECKING:
    from .models import CommandUsage, Job, JobStatus, Output, Stream

StreamName = Literal["stdout", "stderr"]
STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")
FINAL = ("completed", "failed", "timed_out", "cancelled", "lost")


@dataclass(frozen=True)
class Chunk:
    """A part of a command's output."""

    stream: StreamName
    offset: int
    """The offset of its first byte in the stream."""
    data: bytes
    text: str
    """The data as UTF-8, with U+FFFD for what is none. A character is in the chunk of its end."""
    missing: int = 0
    """How many bytes before this chunk the server has not kept."""
    written_to: StreamName | None = None
    """Of merged output, where the server knows it: the stream to which the command wrote this."""


@dataclass(frozen=True)
class Piece:
    """A part of merged output that the command has written to one stream."""

    written_to: StreamName | None
    """None if it is not known."""
    offset: int
    """The offset of its first byte in the merged output."""
    data: bytes

    @property
    def text(self) -> str:
        """The data as UTF-8, with U+FFFD for what is none."""
        return self.data.decode(errors="replace")


@dataclass(frozen=True)
class Result:
    """How a command has ended, and what it has written."""

    job_id: str
    status: JobStatus
    """`completed`, `timed_out` or `cancelled`; in errors also `failed` or `lost`."""
    exit_code: int | None
    """None if a signal ended the command, or if it has not completed."""
    signal: int | None
    """The number of the signal that ended the command."""
    stdout_bytes: bytes = field(repr=False)
    """The output that the server has kept. What is missing is in `missing_stdout`."""
    stderr_bytes: bytes = field(repr=False)
    missing_stdout: int
    """How many bytes of the output are not kept, as there were more than `max_output`."""
    missing_stderr: int
    usage: CommandUsage | None
    job: Job = field(repr=False)
    """The job as the API shows it."""
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    """With `merge=True`: the kept output in its order, each piece with the stream to which it was
    written. Empty if the server does not know that, as with `shell_name`."""

    @property
    def stdout(self) -> str:
        """The output as UTF-8, with U+FFFD for what is none."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode(errors="replace")

    @property
    def ok(self) -> bool:
        """Whether the command has completed with exit code 0."""
        return self.status == "completed" and self.exit_code == 0

    @property
    def timed_out(self) -> bool:
        return self.status == "timed_out"

    def check(self) -> Result:
        """Raises `CommandError` unless the command has completed with exit code 0."""
        if self.ok:
            return self
        outcome = {"timed_out": "timed out", "cancelled": "was cancelled"}.get(self.status)
        if outcome is None:
            outcome = (
                f"exited with {self.exit_code}"
                if self.exit_code is not None
                else f"ended by signal {self.signal}"
            )
        last = self.stderr.strip().rpartition("\n")[2]
        raise CommandError(f"the command {outcome}" + (f": {last}" if last else ""), self)


def result_of(job: Job, stdout: list[Any], stderr: list[Any]) -> Result:
    """The result of a final job with these parts of its output. Raises `JobFailedError` if the
    command was not run to an end that is its own or the caller's."""
    result = Result(
        job_id=job["jobId"],
        status=job["status"],
        exit_code=job.get("exitCode"),
        signal=job.get("signal"),
        stdout_bytes=b"".join(map(content, stdout)),
        stderr_bytes=b"".join(map(content, stderr)),
        missing_stdout=job["stdout"]["bytes"] - job["stdout"]["keptBytes"],
        missing_stderr=job["stderr"]["bytes"] - job["stderr"]["keptBytes"],
        usage=job.get("usage"),
        job=job,
        pieces=tuple(_joined(piece for part in stdout for piece in marked(part))),
    )
    if result.status in ("failed", "lost"):
        error = job.get("error", {"code": "unknown", "message": f"the job is {result.status}"})
        raise JobFailedError(f"{error['message']} ({result.job_id})", result, error["code"])
    return result


def is_final(job: Job) -> bool:
    return job["status"] in FINAL


def stored_end(stream: Stream) -> int:
    """The offset behind the last byte of a stream that is stored."""
    gap = stream.get("gap")
    return stream["keptBytes"] + (gap["to"] - gap["from"] if gap else 0)


def content(part: Any) -> bytes:
    """The bytes of a part of the output."""
    text: str = part.get("text", "")
    return base64.b64decode(text) if part.get("encoding") == "base64" else text.encode()


def marked(part: Any) -> Iterator[Piece]:
    """The pieces of a part of merged output; none if it has no marks."""
    marks = part.get("marks", [])
    data = content(part)
    start = part.get("nextOffset", 0) - len(data)
    ends = [mark["offset"] for mark in marks[1:]] + [start + len(data)]
    for mark, end in zip(marks, ends, strict=False):
        offset = mark["offset"]
        yield Piece(mark.get("stream"), offset, data[offset - start : end - start])


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Joins pieces of one stream that follow each other."""
    last: Piece | None = None
    for piece in pieces:
        follows = last is not None and last.offset + len(last.data) == piece.offset
        if last is not None and follows and last.written_to == piece.written_to:
            last = Piece(last.written_to, last.offset, last.data + piece.data)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


class Position:
    """How far the output of a job was read."""

    def __init__(self) -> None:
        self._offset: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        self._missing: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        new_decoder = codecs.getincrementaldecoder("utf-8")
        self._decoder = {stream: new_decoder("replace") for stream in STREAMS}

    def __getitem__(self, stream: StreamName) -> int:
        return self._offset[stream]

    @property
    def event_id(self) -> str:
        """The event of the job's stream after which the rest follows."""
        return f"{self._offset['stdout']}.{self._offset['stderr']}"

    def take(self, part: Output | dict[str, Any], stream: StreamName) -> Iterator[Chunk]:
        """What is new in a part. A part that was sent again is dropped."""
        offset, end = part["offset"], part["nextOffset"]
        if offset < self._offset[stream] or end <= offset:
            return
        self.skip(stream, offset)
        missing, self._missing[stream] = self._missing[stream], 0
        self._offset[stream] = end
        decoder = self._decoder[stream]
        # A character is not continued behind a gap.
        cut = decoder.decode(b"", final=True) if missing else ""
        for piece in list(marked(part)) or [Piece(None, offset, content(part))]:
            text = cut + decoder.decode(piece.data)
            yield Chunk(stream, piece.offset, piece.data, text, missing, piece.written_to)
            cut, missing = "", 0

    def skip(self, stream: StreamName, to: int) -> None:
        """Goes on behind output that is not kept."""
        if to > self._offset[stream]:
            self._missing[stream] += to - self._offset[stream]
            self._offset[stream] = to

    def end(self) -> Iterator[Chunk]:
        """What the streams leave of characters that they have cut."""
        for stream in STREAMS:
            text = self._decoder[stream].decode(b"", final=True)
            if text:
                yield Chunk(stream, self._offset[stream], b"", text)

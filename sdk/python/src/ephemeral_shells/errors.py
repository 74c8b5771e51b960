"""What can go wrong. All errors derive from `EphemeralError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from ._result import Result
    from .models import InputError, ProblemCode


class EphemeralError(Exception):
    """The base of all errors of this package."""


class ServerNotFoundError(EphemeralError):
    """There is no server on this machine, or no token for the server."""


class ConnectionFailedError(EphemeralError):
    """The server did not respond, also when the request was repeated."""


class TerminalClosedError(EphemeralError):
    """The connection to a terminal was refused or lost. The program may go on."""


class CommandError(EphemeralError):
    """A command did not succeed. `result` has its outcome and its output."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class JobFailedError(CommandError):
    """A command could not be run, or its outcome is not known. `code` is a name for programs, such
    as `command_not_found`."""

    def __init__(self, message: str, result: Result, code: str) -> None:
        super().__init__(message, result)
        self.code = code


class ApiError(EphemeralError):
    """The server refused a request. There is a subclass for each `code` of the API."""

    code: str = "unknown"
    _hint: ClassVar[str] = ""
    _classes: ClassVar[dict[str, type[ApiError]]] = {}

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        errors: list[InputError] | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        self.status = status
        """The status of HTTP."""
        self.detail = detail
        """A sentence for people."""
        if code is not None:
            self.code = code
        self.errors: list[InputError] = errors or []
        """What is wrong with the request, field by field."""
        self.retryable = retryable
        """Whether the same request may succeed later."""
        self.retry_after = retry_after
        """After how many seconds."""
        self.request_id = request_id
        super().__init__(self._message())

    def __init_subclass__(cls, code: ProblemCode | None = None) -> None:
        if code is not None:
            cls.code = code
            ApiError._classes[code] = cls

    def _message(self) -> str:
        message = self.detail + self._hint
        for error in self.errors:
            where = error.get("pointer") or error.get("parameter") or error.get("header")
            text = f"{where}: {error['detail']}" if where else error["detail"]
            # The detail of a request with one wrong field is the error of that field.
            if text not in message:
                message += f"; {text}"
        if self.status >= 500 and self.request_id:
            message += f" (request {self.request_id})"
        return message

    @staticmethod
    def from_response(status: int, body: Any, retry_after: str | None) -> ApiError:
        """The error that a response means. `body` is its JSON, or None."""
        problem = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        code = problem.get("code")
        kind = ApiError._classes.get(str(code), ApiError)
        return kind(
            status,
            problem.get("detail") or problem.get("title") or f"the server responded with {status}",
            code=code,
            errors=problem.get("errors"),
            retryable=bool(problem.get("retryable", status in (429, 502, 503, 504))),
            retry_after=_seconds(retry_after),
            request_id=str(problem.get("requestId", "")),
        )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.strip().isdigit() else None


class InvalidRequestError(ApiError, code="invalid_request"):
    """A value of the request is not valid; `errors` says which and why."""


class InvalidPathError(ApiError, code="invalid_path"):
    """No file can have this path."""


class InvalidArchiveError(ApiError, code="invalid_archive"):
    """What was sent is no tar archive, or has entries that are not unpacked."""


class MalformedJsonError(ApiError, code="malformed_json"):
    """The body of the request is not JSON."""


class UnauthenticatedError(ApiError, code="unauthenticated"):
    """The token is not valid."""

    _hint = "; check the token, or EPHEMERAL_TOKEN"


class RootDeniedError(ApiError, code="root_denied"):
    """The server allows no commands as root."""


class TerminalsDeniedError(ApiError, code="terminals_denied"):
    """The deployment offers no terminals."""


class PermissionDeniedError(ApiError, code="permission_denied"):
    """The user of commands may not do this to the file."""


class PathNotFoundError(ApiError, code="path_not_found"):
    """There is no such file in the shell."""


class NoRecordingError(ApiError, code="no_recording"):
    """The terminal was not opened with `record=True`."""


class NotFoundError(ApiError, code="not_found"):
    """There is nothing with this id, or it is another user's."""


class MethodNotAllowedError(ApiError, code="method_not_allowed"):
    """The server has no such operation."""


class NotReadyError(ApiError, code="not_ready"):
    """The shell is not ready, and the command was not to wait for it."""


class SessionDrainingError(ApiError, code="session_draining"):
    """The session takes no more commands."""


class NotACommandError(ApiError, code="not_a_command"):
    """The job is not that of a command."""


class NotATerminalError(ApiError, code="not_a_terminal"):
    """The job is not that of a terminal."""


class JobNotRunningError(ApiError, code="job_not_running"):
    """The command does not run yet."""


class JobFinishedError(ApiError, code="job_finished"):
    """The command has ended."""


class DeliveryPendingError(ApiError, code="delivery_pending"):
    """The webhook's delivery is still being tried."""


class EndpointDisabledError(ApiError, code="endpoint_disabled"):
    """The webhook's endpoint has asked for no more deliveries."""


class NotAFileError(ApiError, code="not_a_file"):
    """What has this path is not a regular file."""


class NotADirectoryPathError(ApiError, code="not_a_directory"):
    """What has this path is not a directory."""


class DirectoryNotEmptyError(ApiError, code="directory_not_empty"):
    """The directory has entries; remove it with `recursive`."""


class FileError(ApiError, code="file_error"):
    """The shell's kernel has refused this."""


class SessionEndedError(ApiError, code="session_ended"):
    """The session has ended or is ending."""


class PayloadTooLargeError(ApiError, code="payload_too_large"):
    """The body of the request is too large."""


class UnsupportedMediaTypeError(ApiError, code="unsupported_media_type"):
    """The body of the request has a type that the server does not accept."""


class RangeNotSatisfiableError(ApiError, code="range_not_satisfiable"):
    """The file ends before the range."""


class PreconditionFailedError(ApiError, code="precondition_failed"):
    """The file does not meet If-Match or If-Unmodified-Since."""


class IdempotencyMismatchError(ApiError, code="idempotency_mismatch"):
    """Another request has used this idempotency key."""


class QuotaExceededError(ApiError, code="quota_exceeded"):
    """The user has as many sessions as allowed."""


class RateLimitedError(ApiError, code="rate_limited"):
    """The user starts sessions too fast."""


class QueueFullError(ApiError, code="queue_full"):
    """Too many jobs are queued."""


class StorageExceededError(ApiError, code="storage_exceeded"):
    """The user's output takes more space than allowed."""


class TooManyRequestsError(ApiError, code="too_many_requests"):
    """The user has too many open requests."""


class CapacityExceededError(ApiError, code="capacity_exceeded"):
    """The server has no room for another shell."""


class InternalError(ApiError, code="internal"):
    """An internal error of the server."""


class StreamingUnavailableError(ApiError, code="streaming_unavailable"):
    """The deployment has no streams. `Job.stream` polls then."""


class NotAcceptableError(ApiError, code="not_acceptable"):
    """The client does not accept what the server can send."""


class FilesUnavailableError(ApiError, code="files_unavailable"):
    """The deployment transfers no files."""


class UploadRequiredError(ApiError, code="upload_required"):
    """The server does not take the bytes itself; an upload must come first."""


class UploadsUnavailableError(ApiError, code="uploads_unavailable"):
    """The server takes the bytes itself; there are no uploads."""


class UploadNotFoundError(ApiError, code="upload_not_found"):
    """Nothing was put to the upload, or more than a day ago."""


class TransferFailedError(ApiError, code="transfer_failed"):
    """The bytes did not reach the shell, or the place from which they are read."""


class TransferExpiredError(ApiError, code="transfer_expired"):
    """The bytes were kept for a day, which is over."""


class ProcessesUnavailableError(ApiError, code="processes_unavailable"):
    """The deployment can't list or signal single processes."""


class UnavailableError(ApiError, code="unavailable"):
    """A backend of the server is not available."""


class InsufficientStorageError(ApiError, code="insufficient_storage"):
    """The disk of the server is almost full."""


class ShellDiskFullError(ApiError, code="shell_disk_full"):
    """The disk of the shell is full. The old file is as it was."""

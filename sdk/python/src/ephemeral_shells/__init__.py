"""Disposable shells of ephemeral: start one, run commands in it, read the results, and rely on its
removal.

>>> with Shell.start(ttl=600) as sh:
...     print(sh.run("echo hello").stdout)
hello
<BLANKLINE>
"""

from ._async.client import AsyncClient
from ._async.files import AsyncFiles
from ._async.job import AsyncJob
from ._async.shell import AsyncShell
from ._async.terminal import AsyncTerminal
from ._options import Command, CommandOptions, StartOptions, TerminalOptions
from ._result import Chunk, Piece, Result
from ._sync.client import Client
from ._sync.files import Files
from ._sync.job import Job
from ._sync.shell import Shell
from ._sync.terminal import Terminal
from ._version import __version__
from .errors import ApiError, CommandError, EphemeralError, JobFailedError
from .webhooks import WebhookError, verify_webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncFiles",
    "AsyncJob",
    "AsyncShell",
    "AsyncTerminal",
    "Chunk",
    "Client",
    "Command",
    "CommandError",
    "CommandOptions",
    "EphemeralError",
    "Files",
    "Job",
    "JobFailedError",
    "Piece",
    "Result",
    "Shell",
    "StartOptions",
    "Terminal",
    "TerminalOptions",
    "WebhookError",
    "__version__",
    "verify_webhook",
]

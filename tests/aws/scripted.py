"""A stand-in for Lambda: the functions of a state machine answer by scripts, call by call."""

import io
import json
import queue
import time

import boto3


class Error:
    """The function fails with this error."""

    def __init__(self, name: str) -> None:
        self.name = name


class Slow:
    """The function does not answer in time."""


class Silent:
    """The function keeps the token without resuming it."""


class Resume:
    """The function resumes the token at once."""

    def __init__(self, **output: object) -> None:
        self.output = output


class Fail:
    """The function fails the token with this error."""

    def __init__(self, name: str = "Internal") -> None:
        self.name = name


class Functions:
    """A stand-in for Lambda: each function answers by its script; the last answer is repeated."""

    def __init__(self, scripts: dict[str, list]) -> None:
        self.scripts = {name: list(answers) for name, answers in scripts.items()}
        self.calls: list[tuple[str, dict]] = []
        self.tokens: queue.Queue = queue.Queue()

    def invoke(self, FunctionName: str, Payload: bytes, **_: object) -> dict:
        name, event = FunctionName.rsplit(":", 1)[-1], json.loads(Payload)
        self.calls.append((name, event))
        script = self.scripts.get(name, [{}])
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Error):
            body = {"errorType": answer.name, "errorMessage": "as the script has it"}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": stream(body)}
        if isinstance(answer, Slow):
            time.sleep(1.5)
        if isinstance(answer, Resume):
            states().send_task_success(taskToken=event["token"], output=json.dumps(answer.output))
        if isinstance(answer, Fail):
            states().send_task_failure(taskToken=event["token"], error=answer.name, cause="")
        if isinstance(answer, Silent):
            self.tokens.put(event["token"])
        return {"StatusCode": 200, "Payload": stream(answer if isinstance(answer, dict) else None)}

    def named(self, name: str) -> list[dict]:
        return [event for called, event in self.calls if called == name]


def stream(value: object) -> io.BytesIO:
    return io.BytesIO(json.dumps(value).encode())


def states():
    return boto3.client("stepfunctions", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")

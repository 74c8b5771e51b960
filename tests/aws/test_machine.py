"""The state machine alone, on the interpreter of moto.

The tests cover all branches, with timeouts, retries and catches. The functions follow scripts: their answers
call by call. Timeouts are shortened; nothing else of statemachine/session.asl.json is changed.

    target/venv/bin/python -m unittest discover -s tests/aws
"""

import json
import logging
import time
import unittest
from pathlib import Path
from unittest import mock

from botocore.exceptions import ClientError
from moto import mock_aws
from scripted import Error, Fail, Functions, Resume, Silent, Slow, states

DEFINITION = Path(__file__).parents[2] / "statemachine/session.asl.json"
PARSER = "moto.stepfunctions.parser.asl.component"
CLIENT = f"{PARSER}.state.exec.state_task.lambda_eval_utils.boto_client_for"
JITTER = f"{PARSER}.common.retry.jitter_strategy_decl.random.uniform"
ROLE = "arn:aws:iam::123456789012:role/machine"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
HANDLERS = (
    "ProvisionTask AwaitRunning InspectSession AwaitEnd StopTask CloseSession".split()
)
ENDS_WITHIN = 60
END = ["StopTask"]
# A session that StopTask has left open.
UNSTOPPED = ["StopTask", "Finish"]


def shortened() -> str:
    """The definition with functions in its placeholders, and timeouts of a second."""
    text = DEFINITION.read_text()
    for name in HANDLERS:
        text = text.replace("${" + name + "}", ARN + name)
    machine = json.loads(text)
    for state in machine["States"].values():
        if "TimeoutSeconds" in state:
            state["TimeoutSeconds"] = 1
        for retry in state.get("Retry", []):
            retry.update(IntervalSeconds=1, BackoffRate=1.0, MaxDelaySeconds=2)
    return json.dumps(machine)


WELL = {
    "AwaitRunning": [Resume(action="wait", waitSeconds=30)],
    "AwaitEnd": [Resume(action="stop")],
    "StopTask": [Resume(action="finish")],
    "InspectSession": [{"action": "stop"}],
}


class Machine(unittest.TestCase):
    """One test per branch."""

    def setUp(self) -> None:
        # moto logs every error that a test injects.
        logging.getLogger("moto").setLevel(logging.CRITICAL)
        started = mock_aws(config={"stepfunctions": {"execute_state_machine": True}})
        started.start()
        self.addCleanup(started.stop)
        self.sfn = states()

    def begin(self, **scripts: list) -> Functions:
        functions = Functions({**WELL, **scripts})
        # All retries have full jitter: the stand-in picks the shortest delay.
        for name, stand_in in ((CLIENT, lambda **_: functions), (JITTER, lambda low, _: low)):
            patched = mock.patch(name, stand_in)
            patched.start()
            self.addCleanup(patched.stop)
        machine = self.sfn.create_state_machine(name="session", definition=shortened(), roleArn=ROLE)
        started = self.sfn.start_execution(
            stateMachineArn=machine["stateMachineArn"],
            name="sh_1",
            input=json.dumps({"sessionId": "sh_1"}),
        )
        self.execution = started["executionArn"]
        return functions

    def ended(self, status: str = "SUCCEEDED") -> list[str]:
        """Waits for the end; returns the names of the entered states."""
        until = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < until:
            found = self.sfn.describe_execution(executionArn=self.execution)
            if found["status"] != "RUNNING":
                self.assertEqual(found["status"], status, found.get("cause"))
                return self.entered()
            time.sleep(0.02)
        return self.fail(f"the execution still runs, in {self.entered()[-1]}")

    def entered(self) -> list[str]:
        history = self.sfn.get_execution_history(executionArn=self.execution, maxResults=1000)
        details = [event.get("stateEnteredEventDetails") for event in history["events"]]
        return [detail["name"] for detail in details if detail]

    def play(self, **scripts: list) -> tuple[list[str], Functions]:
        functions = self.begin(**scripts)
        return self.ended(), functions

    # The common path.

    def test_a_session_is_started_used_and_stopped(self) -> None:
        entered, functions = self.play()
        expected = ["Provision", "WaitRunning", "Ready", *END]
        self.assertEqual(entered, expected)
        self.assertEqual(functions.named("ProvisionTask"), [{"sessionId": "sh_1"}])
        self.assertEqual(functions.named("StopTask")[0]["sessionId"], "sh_1")
        waits = functions.named("AwaitEnd")[0]
        self.assertEqual((waits["sessionId"], waits["waitSeconds"]), ("sh_1", 30))
        self.assertEqual(functions.named("CloseSession"), [])

    def test_a_token_that_is_resumed_later_continues_the_execution(self) -> None:
        functions = self.begin(AwaitEnd=[Silent()])
        token = functions.tokens.get(timeout=ENDS_WITHIN)
        self.sfn.send_task_success(taskToken=token, output='{"action": "stop"}')
        self.assertEqual(self.ended()[-1:], END)
        with self.assertRaises(ClientError):
            self.sfn.send_task_success(taskToken=token, output='{"action": "stop"}')

    # Provision

    def test_provisioning_waits_for_capacity(self) -> None:
        refused = Error("CapacityUnavailable")
        entered, functions = self.play(ProvisionTask=[refused, refused, {}])
        self.assertEqual(entered[:2], ["Provision", "WaitRunning"])
        self.assertEqual(len(functions.named("ProvisionTask")), 3)

    def test_capacity_that_never_comes_ends_it_with_that_error(self) -> None:
        entered, functions = self.play(ProvisionTask=[Error("CapacityUnavailable")])
        self.assertEqual(entered, ["Provision", "Finish"])
        self.assertEqual(len(functions.named("ProvisionTask")), 7)
        self.assertEqual(functions.named("CloseSession")[0]["error"], "CapacityUnavailable")

    def test_a_rate_limit_is_waited_out_longer_than_other_errors(self) -> None:
        entered, functions = self.play(ProvisionTask=[Error("Throttled")] * 12 + [{}])
        self.assertEqual(entered[:2], ["Provision", "WaitRunning"])
        self.assertEqual(len(functions.named("ProvisionTask")), 13)

    def test_a_stop_during_provisioning_finishes_at_once(self) -> None:
        entered, functions = self.play(ProvisionTask=[Error("StopRequested")])
        self.assertEqual(entered, ["Provision", "Finish"])
        self.assertEqual(len(functions.named("ProvisionTask")), 1)
        self.assertEqual(functions.named("CloseSession")[0]["error"], "StopRequested")

    def test_a_stop_between_two_tries_for_capacity_finishes(self) -> None:
        script = [Error("CapacityUnavailable"), Error("StopRequested")]
        entered, functions = self.play(ProvisionTask=script)
        self.assertEqual(entered, ["Provision", "Finish"])
        self.assertEqual(len(functions.named("ProvisionTask")), 2)

    def test_transient_errors_of_provisioning_are_retried(self) -> None:
        for error in ("Backend", "Throttled", "Conflict", "Lambda.Unknown", "Sandbox.Timedout"):
            with self.subTest(error):
                self.setUp()
                entered, functions = self.play(ProvisionTask=[Error(error), {}])
                self.assertEqual(entered[:2], ["Provision", "WaitRunning"])
                self.assertEqual(len(functions.named("ProvisionTask")), 2)
                self.doCleanups()

    def test_an_unknown_error_of_provisioning_ends_it(self) -> None:
        entered, functions = self.play(ProvisionTask=[Error("BadInput")])
        self.assertEqual(entered, ["Provision", "Finish"])
        self.assertEqual(functions.named("CloseSession")[0]["error"], "BadInput")

    def test_provisioning_that_times_out_is_retried(self) -> None:
        entered, functions = self.play(ProvisionTask=[Slow(), {}])
        self.assertEqual(entered[:2], ["Provision", "WaitRunning"])
        self.assertEqual(len(functions.named("ProvisionTask")), 2)

    # WaitRunning

    def test_a_shell_that_never_answers_is_inspected(self) -> None:
        entered, _ = self.play(AwaitRunning=[Silent()])
        self.assertEqual(entered, ["Provision", "WaitRunning", "Inspect", "Decide", *END])

    def test_a_wait_that_can_not_be_registered_is_retried(self) -> None:
        script = [Error("Backend"), Resume(action="wait", waitSeconds=30)]
        entered, functions = self.play(AwaitRunning=script)
        self.assertNotIn("Inspect", entered)
        self.assertEqual(len(functions.named("AwaitRunning")), 2)

    def test_a_wait_that_fails_permanently_is_inspected(self) -> None:
        entered, _ = self.play(AwaitRunning=[Error("BadInput")])
        self.assertEqual(entered[1:4], ["WaitRunning", "Inspect", "Decide"])

    def test_a_session_that_is_to_end_before_it_is_ready_is_stopped(self) -> None:
        entered, _ = self.play(AwaitRunning=[Fail("StopRequested")])
        self.assertEqual(entered, ["Provision", "WaitRunning", *END])

    # Inspect and Decide

    def test_each_answer_has_its_next_state(self) -> None:
        table = {
            "provision": ("Provision", {"action": "provision"}),
            "await running": ("WaitRunning", {"action": "await_running"}),
            "wait": ("Ready", {"action": "wait", "waitSeconds": 30}),
            "stop": ("StopTask", {"action": "stop"}),
            "finish": ("Finish", {"action": "finish"}),
            "nonsense": ("StopTask", {"action": "dance"}),
            "nothing": ("StopTask", {}),
            "wait without a time": ("StopTask", {"action": "wait"}),
            "wait for no time": ("StopTask", {"action": "wait", "waitSeconds": 0}),
        }
        for name, (following, answer) in table.items():
            with self.subTest(name):
                self.setUp()
                running = [Silent(), Resume(action="wait", waitSeconds=30)]
                entered, _ = self.play(AwaitRunning=running, InspectSession=[answer])
                self.assertEqual(entered[2:5], ["Inspect", "Decide", following])
                self.assertIn(entered[-1], ("StopTask", "Finish"))
                self.doCleanups()

    def test_an_inspection_that_fails_is_retried(self) -> None:
        script = [Error("Backend"), Slow(), {"action": "finish"}]
        entered, functions = self.play(AwaitRunning=[Silent()], InspectSession=script)
        self.assertEqual(entered[2:], ["Inspect", "Decide", "Finish"])
        self.assertEqual(len(functions.named("InspectSession")), 3)

    def test_an_inspection_that_fails_permanently_stops_the_task(self) -> None:
        script = {"AwaitRunning": [Silent()], "InspectSession": [Error("Backend")]}
        entered, functions = self.play(**script, StopTask=[Silent()])
        self.assertEqual(entered[2:], ["Inspect", *UNSTOPPED])
        self.assertEqual(functions.named("CloseSession")[0]["error"], "Backend")

    # Ready

    def test_an_extension_is_seen_when_the_old_time_is_up(self) -> None:
        functions = self.begin(
            AwaitRunning=[Resume(action="wait", waitSeconds=1)],
            AwaitEnd=[Silent(), Silent(), Resume(action="stop")],
            InspectSession=[{"action": "wait", "waitSeconds": 2}, {"action": "wait", "waitSeconds": 9}],
        )
        again = ["Inspect", "Decide", "Ready"]
        expected = ["Provision", "WaitRunning", "Ready", *again, *again, *END]
        self.assertEqual(self.ended(), expected)
        waits = [event["waitSeconds"] for event in functions.named("AwaitEnd")]
        self.assertEqual(waits, [1, 2, 9])

    def test_the_end_of_its_time_ends_it(self) -> None:
        running = [Resume(action="wait", waitSeconds=1)]
        entered, _ = self.play(AwaitRunning=running, AwaitEnd=[Silent()])
        self.assertEqual(entered[2:], ["Ready", "Inspect", "Decide", *END])

    def test_a_deadline_that_has_become_earlier_sets_a_new_timer(self) -> None:
        entered, functions = self.play(
            AwaitEnd=[Fail("DeadlineMoved"), Resume(action="stop")],
            InspectSession=[{"action": "wait", "waitSeconds": 9}],
        )
        self.assertEqual(entered[2:], ["Ready", "Inspect", "Decide", "Ready", *END])
        self.assertEqual([event["waitSeconds"] for event in functions.named("AwaitEnd")], [30, 9])

    def test_a_wait_for_the_end_that_fails_is_inspected(self) -> None:
        for failure in (Fail(), Error("BadInput")):
            with self.subTest(type(failure).__name__):
                self.setUp()
                entered, _ = self.play(AwaitEnd=[failure])
                self.assertEqual(entered[2:], ["Ready", "Inspect", "Decide", *END])
                self.doCleanups()

    # StopTask, Finish

    def test_a_stop_that_fails_is_retried(self) -> None:
        failure = Error("Throttled")
        entered, functions = self.play(StopTask=[failure, failure, Resume(action="finish")])
        self.assertEqual(entered[-1:], END)
        self.assertEqual(len(functions.named("StopTask")), 3)

    def test_a_stop_that_fails_permanently_does_not_keep_the_session(self) -> None:
        entered, functions = self.play(StopTask=[Error("Backend")])
        self.assertEqual(entered[-2:], UNSTOPPED)
        self.assertEqual(len(functions.named("StopTask")), 7)

    def test_a_task_that_does_not_stop_does_not_keep_the_session(self) -> None:
        for failure in (Silent(), Fail(), Error("BadInput")):
            with self.subTest(type(failure).__name__):
                self.setUp()
                entered, _ = self.play(StopTask=[failure])
                self.assertEqual(entered[-2:], UNSTOPPED)
                self.doCleanups()

    def test_closing_is_retried(self) -> None:
        failure = Error("Backend")
        entered, functions = self.play(StopTask=[Silent()], CloseSession=[failure] * 5 + [{}])
        self.assertEqual(entered[-1], "Finish")
        self.assertEqual(len(functions.named("CloseSession")), 6)

    def test_closing_that_fails_permanently_fails_the_execution(self) -> None:
        functions = self.begin(StopTask=[Silent()], CloseSession=[Error("Backend")])
        self.assertEqual(self.ended("FAILED")[-1], "Finish")
        self.assertEqual(len(functions.named("CloseSession")), 9)

    # Executions

    def test_a_second_start_of_the_same_session_is_the_same_execution(self) -> None:
        functions = self.begin(AwaitEnd=[Silent()])
        machine = self.sfn.list_state_machines()["stateMachines"][0]["stateMachineArn"]
        given = {"stateMachineArn": machine, "name": "sh_1"}
        again = self.sfn.start_execution(**given, input=json.dumps({"sessionId": "sh_1"}))
        self.assertEqual(again["executionArn"], self.execution)
        with self.assertRaises(self.sfn.exceptions.ExecutionAlreadyExists):
            self.sfn.start_execution(**given, input=json.dumps({"sessionId": "sh_2"}))
        token = functions.tokens.get(timeout=ENDS_WITHIN)
        self.sfn.send_task_success(taskToken=token, output='{"action": "finish"}')
        self.assertEqual(self.ended()[-1], "StopTask")
        self.assertEqual(len(functions.named("ProvisionTask")), 1)


if __name__ == "__main__":
    unittest.main()

//! Any text may be loaded as a state machine. What is accepted runs for a bounded number of steps without
//! a panic, and an execution continues the same after it was stored and read.
#![no_main]

use asl::{Execution, Failure, Host, Machine, Millis, Step};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The steps after which an execution is left alone: a machine may loop for as long as its limits permit.
const STEPS: usize = 300;

struct Counter(u64);

impl Host for Counter {
    fn random(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn run(machine: &Machine, answers: &[u8]) {
    let input = json!({"a": 1, "list": [1, 2, 3], "text": "x", "flag": true, "none": null});
    let mut execution = Execution::start(machine, "run", input, Millis(0));
    let (mut now, mut host) = (Millis(0), Counter(0));
    let mut answers = answers.iter().copied().cycle();
    for _ in 0..STEPS {
        let stored = serde_json::to_string(&execution).expect("an execution can be stored");
        execution = serde_json::from_str(&stored).expect("a stored execution can be read");
        let answer = answers.next().unwrap_or_default();
        match execution.step(machine, now, &mut host) {
            Step::Invoke(call) => {
                let result = match answer % 4 {
                    0 => Ok(json!({"state": "ready", "n": answer})),
                    1 => Ok(json!([answer, null])),
                    2 => Err(Failure::new("Refused", "by the fuzzer")),
                    _ => {
                        now = call.until;
                        continue;
                    }
                };
                let accepted = execution.returned(&call.task, result);
                assert!(accepted.is_ok(), "the answer of the current attempt is accepted");
                if let Some(token) = &call.token {
                    let _stale = execution.answered(token, Ok(json!(answer)));
                }
            }
            Step::AwaitToken { until } | Step::Sleep { until } => now = until,
            Step::Done(_) => return,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (answers, text) = data.split_at(data.len().min(4));
    let Ok(text) = str::from_utf8(text) else { return };
    if let Ok(machine) = Machine::parse(text) {
        run(&machine, answers);
    }
});

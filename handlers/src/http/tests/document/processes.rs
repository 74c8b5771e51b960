//! The operations on processes of a session.

use serde_json::{Value, json};

use super::{
    Schemas,
    operation::{get, post},
};
use crate::http::{
    fields::schema_of,
    processes::{ProcessesView, SignalProcessRequest},
};

pub(super) fn all(schemas: &mut Schemas) -> Vec<(&'static str, &'static str, Value)> {
    let pid = json!({
        "name": "pid",
        "in": "path",
        "required": true,
        "schema": {"type": "integer", "minimum": 1, "maximum": i32::MAX},
    });
    vec![
        get(
            "/v1/sessions/{id}/processes",
            "listProcesses",
            "What the commands of a session run, background processes included.",
        )
        .problems(&[403, 409, 410, 501])
        .ok("The processes.", schemas.of::<ProcessesView<'_>>()),
        post(
            "/v1/sessions/{id}/processes/{pid}/signal",
            "signalProcess",
            "Sends a signal to one process of a command. A repetition sends it again.",
        )
        .parameter(pid)
        .body(schemas.body("SignalProcess", schema_of(SignalProcessRequest::read)))
        .problems(&[403, 409, 410, 501])
        .response(204, "The signal was sent.", None)
        .without_key()
        .done(),
    ]
}

//! The operations of the API document, in the order of the routes.

use domain::{Timestamp, UserId};
use serde_json::{Value, json};

use super::{
    Schemas, files,
    operation::{JSON, get, post},
    processes,
};
use crate::{
    Policy,
    http::{
        accepted::Accepted,
        cursor::Cursor,
        deliveries::{DeliveriesQuery, DeliveryView},
        events::{EventsQuery, UserEvents},
        execute::ExecuteRequest,
        extend::ExtendRequest,
        fields::schema_of,
        jobs::JobQuery,
        output::{Output, OutputQuery},
        page::PageQuery,
        quota::QuotaView,
        recording::ASCIICAST,
        sessions::SessionsQuery,
        signal::SignalRequest,
        start::StartRequest,
        stop::StopRequest,
        terminal::TerminalRequest,
        timeline::{Timeline, TimelineQuery},
        wait::{FinishedJob, WaitQuery},
    },
    view::{JobView, SessionView},
};

/// Path, method and description of an operation.
type Described = (&'static str, &'static str, Value);

/// What can be done with the job of a command.
const OF_COMMAND: [&str; 5] = ["getJob", "getOutput", "streamJob", "cancel", "signal"];

/// All operations.
pub(super) fn all(schemas: &mut Schemas) -> Vec<Described> {
    [
        system(schemas),
        shell(schemas),
        jobs(schemas),
        sessions(schemas),
        files::all(schemas),
        processes::all(schemas),
        webhooks(schemas),
    ]
    .concat()
}

fn system(schemas: &mut Schemas) -> Vec<Described> {
    let health = json!({
        "type": "object",
        "properties": {"status": {"const": "ok"}},
        "required": ["status"],
        "additionalProperties": false,
    });
    vec![
        get("/healthz", "health", "Says that the service is up.")
            .public()
            .ok("The service is up.", schemas.name("Health", health)),
        get("/v1/openapi.json", "openapi", "This document.")
            .public()
            .ok("OpenAPI 3.1.", json!({"type": "object"})),
        get("/v1/quota", "getQuota", "How many of your sessions are active, may be, and wait.")
            .ok("The quota.", schemas.of::<QuotaView>()),
    ]
}

fn shell(schemas: &mut Schemas) -> Vec<Described> {
    let start = schema_of(|fields| StartRequest::read(fields, &Policy::default()));
    let accepted = schemas.of::<Accepted<'_>>();
    let finished = schemas.of::<FinishedJob<'_>>();
    vec![
        post("/v1/shell/start", "start", "Starts a session.")
            .optional_body(schemas.body("Start", start))
            .problems(&[429])
            .query(WaitQuery::read)
            .response(
                200,
                "The job ended in time, or its terminal can be opened.",
                Some((JSON, finished.clone())),
            )
            .links("sessionId", "body.sessionId", &["execute", "stop"])
            .links("sessionId", "id", &["getSession", "listJobs", "listEvents", "extend"])
            .links("jobId", "id", &["getJob"])
            .accepted_job(&accepted),
        post("/v1/shell/execute", "execute", "Runs a command in a session, ready or not.")
            .body(schemas.body("Execute", schema_of(ExecuteRequest::read)))
            .problems(&[403, 404, 409, 410])
            .query(WaitQuery::read)
            .response(
                200,
                "The job ended in time, or its terminal can be opened.",
                Some((JSON, finished)),
            )
            .links("jobId", "id", &OF_COMMAND)
            .accepted_job(&accepted),
        post("/v1/shell/stop", "stop", "Ends a session. Stopping a stopped session succeeds.")
            .body(schemas.body("Stop", schema_of(StopRequest::read)))
            .problems(&[404])
            .links("jobId", "id", &["getJob"])
            .accepted_job(&accepted),
    ]
}

fn jobs(schemas: &mut Schemas) -> Vec<Described> {
    let job = schemas.of::<JobView<'_>>();
    vec![
        get("/v1/jobs/{id}", "getJob", "A job with the first 64 KiB of its output.")
            .query(JobQuery::read)
            .links("jobId", "id", &["getOutput", "getRecording", "streamJob", "cancel", "signal"])
            .links("sessionId", "id", &["getSession"])
            .ok("The job.", job.clone()),
        get("/v1/jobs/{id}/output", "getOutput", "A part of a job's output.")
            .query(OutputQuery::read)
            .ok("The part.", schemas.of::<Output>()),
        get(
            "/v1/jobs/{id}/recording",
            "getRecording",
            "What a terminal has shown, as an asciicast.",
        )
        .response(
            200,
            "Asciicast of version 2: a header, then an event in each line.",
            Some((ASCIICAST, json!({"type": "string"}))),
        )
        .done(),
        stream(schemas),
        post("/v1/jobs/{id}/cancel", "cancel", "Cancels a command, queued or running.")
            .optional_body(nothing(schemas))
            .problems(&[409])
            .accepted_job(&job),
        post("/v1/jobs/{id}/signal", "signal", "Sends a signal to a running command.")
            .body(schemas.body("Signal", schema_of(SignalRequest::read)))
            .problems(&[409])
            .accepted_job(&job),
        post(
            "/v1/jobs/{id}/terminal",
            "reopenTerminal",
            "Lets another client open the terminal of a running job.",
        )
        .optional_body(nothing(schemas))
        .problems(&[409])
        .accepted_job(&job),
    ]
}

fn stream(schemas: &mut Schemas) -> Described {
    let event = json!({
        "type": "object",
        "properties": {
            "event": {"type": "string", "enum": ["status", "output", "gap", "end"]},
            "id": {
                "type": "string",
                "description": "stdoutOffset.stderrOffset, with .end after the end.",
            },
            "data": {
                "type": "string",
                "description": "JSON: status {status, attempt}; output {stream, offset, text, \
                    encoding, nextOffset, marks}; gap {stream, from, to}: output between these offsets that \
                    is not kept; end: the job without its text.",
            },
        },
        "required": ["event", "id", "data"],
        "additionalProperties": false,
    });
    let event = schemas.name("StreamEvent", event);
    get("/v1/jobs/{id}/stream", "streamJob", "A job's output and end as server-sent events.")
        .parameter(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string", "pattern": "^([0-9]{1,15}\\.[0-9]{1,15}(\\.end)?)?$"},
            "description": "Resume after this event.",
        }))
        .problems(&[406])
        .response(204, "The end was sent before.", None)
        .response(200, "The events.", Some(("text/event-stream", event)))
        .done()
}

fn sessions(schemas: &mut Schemas) -> Vec<Described> {
    let user = UserId::new("");
    let session = schemas.of::<SessionView<'_>>();
    let accepted = schemas.of::<Accepted<'_>>();
    let extend =
        schema_of(|fields| ExtendRequest::read(fields, Timestamp::from_millis(0), Policy::MAX_TTL));
    vec![
        get("/v1/sessions", "listSessions", "Your sessions, newest first.")
            .query(|params| SessionsQuery::read(params, &user))
            .ok("A page.", schemas.list::<SessionView<'_>>("Sessions")),
        get("/v1/sessions/{id}", "getSession", "A session.").ok("The session.", session.clone()),
        get("/v1/sessions/{id}/jobs", "listJobs", "A session's jobs, oldest first.")
            .query(|params| PageQuery::read(params, &Cursor::new(String::new())))
            .ok("A page.", schemas.list::<JobView<'_>>("Jobs")),
        get("/v1/sessions/{id}/events", "listEvents", "A session's timeline.")
            .query(TimelineQuery::read)
            .ok("The events.", schemas.of::<Timeline<'_>>()),
        post("/v1/sessions/{id}/extend", "extend", "Moves a session's deadline.")
            .body(schemas.body("Extend", extend))
            .problems(&[409, 410])
            .ok("The session.", session),
        post("/v1/sessions/{id}/terminal", "openTerminal", "Opens a terminal in a session.")
            .optional_body(schemas.body("Terminal", schema_of(TerminalRequest::read)))
            .problems(&[403, 409, 410])
            .accepted_job(&accepted),
    ]
}

fn webhooks(schemas: &mut Schemas) -> Vec<Described> {
    let user = UserId::new("");
    vec![
        get("/v1/events", "listUserEvents", "All your events, oldest first.")
            .query(EventsQuery::read)
            .ok("The events.", schemas.of::<UserEvents>()),
        get("/v1/webhooks/deliveries", "listDeliveries", "Webhook deliveries, newest first.")
            .query(|params| DeliveriesQuery::read(params, &user))
            .ok("A page.", schemas.list::<DeliveryView<'_>>("Deliveries")),
        post(
            "/v1/webhooks/deliveries/{id}/redeliver",
            "redeliver",
            "Sends a delivery again, with all its attempts.",
        )
        .optional_body(nothing(schemas))
        .problems(&[409])
        .response(202, "Accepted.", Some((JSON, schemas.of::<DeliveryView<'_>>())))
        .done(),
    ]
}

/// The schema of a body without fields.
fn nothing(schemas: &mut Schemas) -> Value {
    schemas.name("Nothing", schema_of(|_| Some(())))
}

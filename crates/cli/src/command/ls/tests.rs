use insta::assert_snapshot;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::*;

#[test]
fn a_shell_is_listed_with_its_age_and_its_end() {
    console::set_colors_enabled(false);
    let now = OffsetDateTime::parse("2026-01-31T12:00:00.000Z", &Rfc3339).expect("a time");
    let sessions: Vec<Session> = serde_json::from_value(json!([
        {"sessionId": "sh_1", "status": "ready", "createdAt": "2026-01-31T11:58:00.000Z",
         "expiresAt": "2026-01-31T12:58:00.000Z"},
        {"sessionId": "sh_2", "status": "stopped", "createdAt": "2026-01-31T10:58:00.000Z",
         "expiresAt": "2026-01-31T12:58:00.000Z", "endedAt": "2026-01-31T11:59:30.000Z",
         "reason": "user_stop"},
    ]))
    .expect("sessions");

    assert_snapshot!(listing(&sessions, now), @r"
    ID    STATUS   CREATED  ENDS     REASON
    sh_1  ready    2m ago   in 58m
    sh_2  stopped  1h ago   30s ago  user_stop
    ");
}

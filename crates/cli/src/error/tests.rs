use super::*;

#[test]
fn a_server_that_stopped_responding_is_reported_with_the_job_and_how_to_continue() {
    let error = CliError::other("no response").transient().while_following("job_1");
    assert_eq!(error.exit(), Exit::Unreachable);
    assert_eq!(
        error.to_string(),
        "error: no response; job job_1 may still be running. hint: `ephemeral logs -f job_1` follows it \
         once the server responds again"
    );
}

#[test]
fn a_closed_pipe_has_no_message_and_exits_with_141_while_a_job_is_followed() {
    let error = CliError::output(&io::ErrorKind::BrokenPipe.into());
    assert!(error.is_output() && !error.has_message());
    assert_eq!(error.exit(), Exit::Other);
    assert_eq!(error.while_following("job_1").exit(), Exit::BrokenPipe);
}

#[test]
fn a_full_disk_has_a_message_and_exits_with_1() {
    let error = CliError::output(&io::ErrorKind::StorageFull.into()).while_following("job_1");
    assert_eq!(error.exit(), Exit::Other);
    assert!(error.message().starts_with("can't write the output: "), "{error}");
}

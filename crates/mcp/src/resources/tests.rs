use super::*;

#[test]
fn a_uri_names_the_output_of_a_job_or_a_timeline() {
    assert_eq!(
        parse("ephemeral://jobs/job_1/stderr"),
        Some(Named::Output { job: "job_1", stream: "stderr" })
    );
    assert_eq!(
        parse("ephemeral://sessions/sh_1/timeline"),
        Some(Named::Timeline { session: "sh_1" })
    );
    for uri in [
        "",
        "file:///etc/passwd",
        "ephemeral://jobs/job_1",
        "ephemeral://jobs/job_1/stdin",
        "ephemeral://jobs/job_1/stdout/more",
        "ephemeral://sessions/sh_1/files",
    ] {
        assert_eq!(parse(uri), None, "{uri}");
    }
}

#[test]
fn an_id_can_not_become_another_path() {
    let Some(Named::Output { job, .. }) = parse("ephemeral://jobs/..%2Fsessions?x=/stdout") else {
        panic!("this is the output of a job with a strange id")
    };
    assert_eq!(encoded(job).to_string(), "%2E%2E%252Fsessions%3Fx%3D");
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn start() -> Start {
    Start {
        job_id: "job_1".into(),
        argv: vec!["sh".into(), "-c".into(), "echo secret".into()],
        prefer_bash: false,
        cwd: Some("/tmp".into()),
        env: vec![("TOKEN".into(), "secret".into())],
        user: "shelluser".into(),
        stdin: vec![0, 255, 10],
        timeout_ms: 1_000,
        max_output_bytes: 10,
        keep: Keep::Both,
        merge: false,
        marks: false,
        background: true,
        shell: Some("main".into()),
        from: Offsets { stdout: 1, stderr: 2 },
        terminal: Some(Terminal { cols: 80, rows: 24, idle_ms: Some(1_000), record_bytes: None }),
    }
}

fn requests() -> Vec<Request> {
    let job_id = "job_1".to_owned();
    vec![
        Request::Start(start()),
        Request::Attach { job_id: job_id.clone(), from: Offsets::default() },
        Request::Signal { job_id: job_id.clone(), signal: 15 },
        Request::Cancel { job_id: job_id.clone() },
        Request::Release { job_id: job_id.clone() },
        Request::Probe,
        Request::Terminal { job_id, from: u64::MAX },
        Request::Input(Input(vec![3, 0, 255])),
        Request::Resize { cols: 500, rows: 200 },
    ]
}

fn events() -> Vec<Event> {
    let exited = |cause| {
        let total = Total { bytes: u64::MAX, kept: 3, tail: 1 };
        let usage = Usage { oom_kills: Some(1), memory_peak_bytes: Some(2), ..Usage::default() };
        let background = vec![Process { pid: 7, command: "sleep 9".into() }];
        let shell = Some(ShellUse { is_new: true, has_ended: false });
        let (stdout, stderr) = (total, total);
        Event::Exited(Exit { cause, stdout, stderr, usage, leftover: 1, background, shell })
    };
    vec![
        Event::Ready { version: "0.1.0".into(), protocol: 1 },
        Event::Started,
        Event::Output(Output { stream: Stream::Stderr, offset: 7, bytes: vec![0, 159, 146] }),
        exited(Cause::Exited { code: 3 }),
        exited(Cause::Signalled { signal: 9 }),
        exited(Cause::TimedOut { ended: Ended::Signal(15) }),
        exited(Cause::Cancelled { ended: None }),
        exited(Cause::Cancelled { ended: Some(Ended::Code(0)) }),
        exited(Cause::Interrupted { ended: Ended::Signal(15) }),
        exited(Cause::OomKilled),
        exited(Cause::NotFound { message: "no such program: nope".into() }),
        exited(Cause::SpawnFailed { message: "no such user".into(), not_executable: true }),
        exited(Cause::Lost),
        Event::Unknown,
        Event::Ok,
        Event::Error { message: "busy".into(), retryable: true },
    ]
}

/// Feeds the frames of all messages in pieces of `size` bytes and reads them back.
fn through_pieces<M: Message>(messages: &[M], size: usize) -> Vec<M> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode_into(&mut bytes).unwrap());
    let mut decoder = Decoder::default();
    let mut read = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        while let Some(message) = decoder.next().unwrap() {
            read.push(message);
        }
    }
    read
}

#[test]
fn every_message_survives_pieces_of_any_size() {
    for size in [1, 2, 3, 7, 64, 1 << 20] {
        assert_eq!(through_pieces(&requests(), size), requests());
        assert_eq!(through_pieces(&events(), size), events());
    }
}

#[test]
fn both_sides_reject_a_frame_longer_than_the_limit() {
    let too_big = Start { stdin: vec![0; MAX_FRAME_BYTES], ..start() };
    let mut out = vec![1];
    let result = Request::Start(too_big).encode_into(&mut out);
    assert!(matches!(result, Err(ProtocolError::TooLong(_))));
    assert_eq!(out, [1]);

    let mut decoder = Decoder::<Request>::default();
    decoder.feed(&u32::MAX.to_be_bytes());
    assert_eq!(decoder.next(), Err(ProtocolError::TooLong(u32::MAX as usize)));
}

#[test]
fn an_empty_frame_and_an_unknown_kind_are_errors() {
    let mut decoder = Decoder::<Event>::default();
    decoder.feed(&[0, 0, 0, 0]);
    assert_eq!(decoder.next(), Err(ProtocolError::Empty));

    let mut decoder = Decoder::<Event>::default();
    decoder.feed(&[0, 0, 0, 1, 9]);
    assert_eq!(decoder.next(), Err(ProtocolError::UnknownKind(9)));
}

#[test]
fn a_start_in_a_control_frame_is_malformed() {
    let json = serde_json::to_vec(&Request::Start(start())).unwrap();
    assert_eq!(Request::decode(0, &json), Err(ProtocolError::Malformed));
}

#[test]
fn debug_shows_neither_command_nor_output() {
    let output = Output { stream: Stream::Stdout, offset: 0, bytes: b"secret".to_vec() };
    let shown = format!("{:?} {:?}", Request::Start(start()), Event::Output(output));
    assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    assert!(shown.contains("job_1"), "{shown}");
}

#[test]
fn a_start_and_an_exit_of_an_older_peer_have_the_defaults() {
    let start = r#"{"job_id":"job_1","argv":[],"cwd":null,"env":[],"user":"u","timeout_ms":1,
                    "max_output_bytes":1,"from":{"stdout":0,"stderr":0}}"#;
    let start: Start = serde_json::from_str(start).unwrap();
    assert_eq!((start.keep, start.background), (Keep::Head, false));
    assert_eq!((start.merge, start.marks), (false, false));
    assert_eq!(start.shell, None);
    let exit = r#"{"cause":{"cause":"spawn_failed","message":"no"},"stdout":{"bytes":2,"kept":1},
                   "stderr":{"bytes":0,"kept":0},
                   "usage":{"wall_ms":1,"cpu_ms":2,"max_rss_bytes":3}}"#;
    let exit: Exit = serde_json::from_str(exit).unwrap();
    let cause = Cause::SpawnFailed { message: "no".into(), not_executable: false };
    assert_eq!((exit.cause, exit.stdout.head(), exit.leftover), (cause, 1, 0));
    assert_eq!(exit.shell, None);
    assert_eq!((exit.usage.oom_kills, exit.background), (None, Vec::new()));
}

#[test]
fn only_a_job_that_was_spawned_has_run() {
    let ran = |event: &Event| matches!(event, Event::Exited(exit) if exit.cause.ran());
    assert_eq!(events().iter().filter(|event| ran(event)).count(), 7);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(pieces in vec(vec(any::<u8>(), 0..64), 0..8)) {
        let mut requests = Decoder::<Request>::default();
        let mut events = Decoder::<Event>::default();
        for piece in &pieces {
            requests.feed(piece);
            while let Ok(Some(_)) = requests.next() {}
            events.feed(piece);
            while let Ok(Some(_)) = events.next() {}
        }
    }

    #[test]
    fn a_frame_with_a_random_body_never_panics(kind in 0u8..4, body in vec(any::<u8>(), 0..256)) {
        let _ = Request::decode(kind, &body);
        let _ = Event::decode(kind, &body);
    }

    #[test]
    fn output_bytes_arrive_as_sent(bytes in vec(any::<u8>(), 0..4096), offset: u64, size in 1usize..512) {
        let sent = [Event::Output(Output { stream: Stream::Stdout, offset, bytes })];
        prop_assert_eq!(through_pieces(&sent, size), sent);
    }
}

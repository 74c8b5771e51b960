//! A task and a service with a link between them that loses, doubles, reorders and delays frames.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A runner whose jobs print their script as fast as it is read.
#[derive(Default)]
struct Runner {
    started: BTreeSet<String>,
    released: BTreeSet<String>,
    /// The cursor of each connection: the job, and what comes next.
    connections: BTreeMap<u64, Cursor>,
    /// The signals that came, each with a number of its own.
    signals: Vec<i32>,
}

#[derive(Clone)]
struct Cursor {
    job: String,
    from: Offsets,
    greeted: bool,
}

/// What a job prints: stdout with a gap as of output that was cut, and stderr.
struct Script {
    stdout: Vec<(u64, Vec<u8>)>,
    stderr: Vec<(u64, Vec<u8>)>,
}

/// What the service has on record of a job.
#[derive(Default, Debug)]
struct Record {
    stdout: Vec<(u64, u8)>,
    stderr: Vec<(u64, u8)>,
    end: (u64, u64),
    exit: Option<Exit>,
}

impl Runner {
    fn open(&mut self, connection: u64, request: Request) {
        let (job, from) = if let Request::Start(start) = request {
            (start.job_id, start.from)
        } else if let Request::Attach { job_id, from } = request {
            (job_id, from)
        } else {
            panic!("a connection was opened for {request:?}");
        };
        self.started.insert(job.clone());
        self.connections.insert(connection, Cursor { job, from, greeted: false });
    }

    fn read(&mut self, connection: u64, scripts: &BTreeMap<String, Script>) -> Option<Event> {
        let released = &self.released;
        let cursor = self.connections.get_mut(&connection)?;
        if !std::mem::replace(&mut cursor.greeted, true) {
            return Some(Event::Started);
        }
        let script = &scripts[&cursor.job];
        let streams = [
            (Stream::Stdout, &script.stdout, &mut cursor.from.stdout),
            (Stream::Stderr, &script.stderr, &mut cursor.from.stderr),
        ];
        for (stream, pieces, from) in streams {
            for (offset, bytes) in pieces.iter().filter(|_| !released.contains(&cursor.job)) {
                let end = offset + bytes.len() as u64;
                if end > *from {
                    let offset = (*offset).max(*from);
                    let skipped = bytes.len() - usize::try_from(end - offset).unwrap();
                    *from = end;
                    let bytes = bytes[skipped..].to_vec();
                    return Some(Event::Output(Output { stream, offset, bytes }));
                }
            }
        }
        Some(Event::Exited(exit(7)))
    }
}

impl Record {
    /// The rule of the service: what begins at or before the end of what is stored.
    fn apply(&mut self, report: &Report) -> ToRunner {
        for piece in &report.output {
            let (bytes, end) = match piece.stream {
                Stream::Stdout => (&mut self.stdout, &mut self.end.0),
                Stream::Stderr => (&mut self.stderr, &mut self.end.1),
            };
            if piece.from <= *end && self.exit.is_none() {
                let numbered = (piece.offset..).zip(piece.data.0.iter().copied());
                bytes.extend(numbered.filter(|(offset, _)| *offset >= *end));
                *end = piece.end().max(*end);
            }
        }
        if let Some(last) = &report.end
            && self.end.0 >= last.at.stdout
            && self.end.1 >= last.at.stderr
        {
            self.exit.get_or_insert_with(|| last.exit.clone());
        }
        let (stdout, stderr) = self.end;
        ToRunner::Stored { job: report.job.clone(), stdout, stderr, over: self.exit.is_some() }
    }
}

fn pieces() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let piece =
        (prop::collection::vec(any::<u8>(), 1..20_000), prop::option::weighted(0.1, 1_u64..99));
    prop::collection::vec(piece, 0..6).prop_map(|pieces| {
        let (mut offset, mut had_gap) = (0, false);
        let place = pieces.into_iter().map(|(bytes, gap)| {
            offset += gap.filter(|_| !std::mem::replace(&mut had_gap, gap.is_some())).unwrap_or(0);
            let at = offset;
            offset += bytes.len() as u64;
            (at, bytes)
        });
        place.collect()
    })
}

struct Harness {
    carrier: Carrier,
    runner: Runner,
    scripts: BTreeMap<String, Script>,
    records: BTreeMap<String, Record>,
    /// The signals that the service sends until they are confirmed, and how many it has sent.
    signals: BTreeMap<String, ToRunner>,
    signals_sent: i32,
    to_service: Vec<FromRunner>,
    to_runner: Vec<ToRunner>,
    is_connected: bool,
    runs: u32,
    now: Duration,
}

impl Harness {
    fn new(scripts: Vec<Script>) -> Self {
        let scripts = scripts.into_iter().enumerate();
        let scripts: BTreeMap<_, _> =
            scripts.map(|(number, script)| (format!("j{number}"), script)).collect();
        let records = scripts.keys().map(|job| (job.clone(), Record::default())).collect();
        Self {
            carrier: Carrier::default(),
            runner: Runner::default(),
            scripts,
            records,
            signals: BTreeMap::new(),
            signals_sent: 0,
            to_service: Vec::new(),
            to_runner: Vec::new(),
            is_connected: false,
            runs: 0,
            now: Duration::ZERO,
        }
    }

    /// The service asks for every job that is not over, as its sweep does.
    fn ask(&mut self) {
        for (job, record) in self.records.iter().filter(|(_, record)| record.exit.is_none()) {
            self.runs += 1;
            let mut start = start(job, vec![0; 30_000]);
            start.from = Offsets { stdout: record.end.0, stderr: record.end.1 };
            self.to_runner.extend(split(&start, &self.runs.to_string()).unwrap());
        }
    }

    fn connect(&mut self) {
        self.is_connected = true;
        self.carrier.connected(self.now);
    }

    /// The service sends a signal, of which it keeps a record.
    fn signal(&mut self) {
        self.signals_sent += 1;
        let id = self.signals_sent.to_string();
        let (job, signal) = ("j0".to_owned(), self.signals_sent);
        let frame = ToRunner::Signal { job, id: id.clone(), signal };
        self.signals.insert(id, frame.clone());
        self.to_runner.push(frame);
    }

    /// Does all that the carrier wants.
    fn work(&mut self) {
        for _ in 0..10_000 {
            match self.carrier.poll(self.now) {
                Some(Action::Send(frame)) => {
                    let length = serde_json::to_string(&frame).unwrap().len();
                    assert!(length <= MAX_FRAME_BYTES, "{length}");
                    assert!(self.is_connected);
                    self.to_service.push(frame);
                }
                Some(Action::Open(connection, request)) => self.runner.open(connection, request),
                Some(Action::Read(connection)) => {
                    let event = self.runner.read(connection, &self.scripts).unwrap();
                    self.carrier.event(connection, event, self.now);
                }
                Some(Action::Close(connection)) => {
                    self.runner.connections.remove(&connection);
                }
                Some(Action::Request(Request::Release { job_id })) => {
                    assert!(self.records[&job_id].exit.is_some(), "released before it is stored");
                    self.runner.released.insert(job_id);
                }
                Some(Action::Request(other)) => panic!("{other:?}"),
                Some(Action::Ask(number, Request::Signal { job_id, signal })) => {
                    let is_known = self.runner.started.contains(&job_id);
                    if is_known {
                        self.runner.signals.push(signal);
                    }
                    let answer = if is_known { Event::Ok } else { Event::Unknown };
                    self.carrier.answered(number, Some(&answer), self.now);
                }
                Some(Action::Ask(_, other)) => panic!("{other:?}"),
                Some(Action::UseToken(_)) => {}
                None => return,
            }
        }
        panic!("the carrier never rests");
    }

    fn deliver_to_service(&mut self, at: usize, keep: bool) {
        let frame = take(&mut self.to_service, at, keep);
        match frame {
            Some(FromRunner::Report(report)) => {
                let answer = self.records.get_mut(&report.job).unwrap().apply(&report);
                self.to_runner.push(answer);
            }
            Some(FromRunner::Hello { .. }) => {
                self.to_runner.extend(self.signals.values().cloned());
                self.to_runner.push(ToRunner::Token { token: String::new() });
            }
            Some(FromRunner::Done { id }) => drop(self.signals.remove(&id)),
            None => {}
        }
    }

    fn deliver_to_runner(&mut self, at: usize, keep: bool) {
        if let Some(frame) = take(&mut self.to_runner, at, keep) {
            self.carrier.frame(frame, self.now);
        }
    }

    fn step(&mut self, (what, at): (u8, u8)) {
        let at = usize::from(at);
        match what {
            0..4 => self.deliver_to_service(at, false),
            4..8 => self.deliver_to_runner(at, false),
            8 => self.deliver_to_service(at, true),
            9 => self.deliver_to_runner(at, true),
            10 => drop(take(&mut self.to_service, at, false)),
            11 => drop(take(&mut self.to_runner, at, false)),
            12 if at.is_multiple_of(2) => self.signal(),
            12 => self.ask(),
            13 => self.now += Duration::from_millis(at as u64 * 40),
            14 if self.is_connected => {
                self.is_connected = false;
                self.carrier.disconnected();
            }
            14 | 15 if !self.is_connected => self.connect(),
            15 => {
                let connection = self.runner.connections.keys().nth(at % 3).copied();
                if let Some(connection) = connection {
                    self.runner.connections.remove(&connection);
                    self.carrier.closed(connection, self.now);
                }
            }
            _ => unreachable!("less than 16"),
        }
        self.work();
    }

    /// Without losses from now on.
    fn settle(&mut self) {
        if self.is_connected {
            self.carrier.disconnected();
        }
        self.connect();
        for _ in 0..200 {
            let is_over = self.records.values().all(|record| record.exit.is_some());
            if self.carrier.is_idle() && is_over && self.signals.is_empty() {
                return;
            }
            self.ask();
            self.work();
            while !self.to_service.is_empty() || !self.to_runner.is_empty() {
                self.deliver_to_service(0, false);
                self.deliver_to_runner(0, false);
                self.work();
            }
            self.now += Duration::from_secs(1);
        }
    }

    fn check(&self) {
        for (job, script) in &self.scripts {
            let record = &self.records[job];
            for (pieces, stored) in
                [(&script.stdout, &record.stdout), (&script.stderr, &record.stderr)]
            {
                let wanted = pieces
                    .iter()
                    .flat_map(|(offset, bytes)| (*offset..).zip(bytes.iter().copied()));
                assert!(wanted.eq(stored.iter().copied()), "the output of {job} differs");
            }
            assert_eq!(record.exit, Some(exit(7)));
            assert!(self.runner.started.contains(job));
            assert!(self.runner.released.contains(job));
        }
        assert!(self.carrier.is_idle());
        assert!(self.signals.is_empty());
        let came: BTreeSet<_> = self.runner.signals.iter().copied().collect();
        assert_eq!(came, (1..=self.signals_sent).collect(), "signals were lost");
        assert_eq!(came.len(), self.runner.signals.len(), "a signal came twice");
    }
}

/// A frame from anywhere in the list; a copy of it if it is to stay.
fn take<T: Clone>(frames: &mut Vec<T>, at: usize, keep: bool) -> Option<T> {
    if frames.is_empty() {
        return None;
    }
    let at = at % frames.len();
    Some(if keep { frames[at].clone() } else { frames.remove(at) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_output_is_stored_once_whatever_the_link_does(
        scripts in prop::collection::vec((pieces(), pieces()), 1..4),
        steps in prop::collection::vec((0_u8..16, any::<u8>()), 0..150),
    ) {
        let script = |(stdout, stderr)| Script { stdout, stderr };
        let mut harness = Harness::new(scripts.into_iter().map(script).collect());
        harness.ask();
        steps.into_iter().for_each(|step| harness.step(step));
        harness.settle();
        harness.check();
    }
}

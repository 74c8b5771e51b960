//! P1 to P4 and F2: latency.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use crate::{
    Bench, api,
    figure::{Figure, Target, percentile},
    http::Connection,
    runc::Runc,
};

const ROUNDS: usize = 50;
const WARM: u32 = 4;
const BURST: usize = 100;
/// Between a measurement and one of the peer.
const PAUSE: Duration = Duration::from_millis(100);

/// P1: time from the start request to the result of a command.
pub(crate) fn cold(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let (mut api, runc) = (server.connect()?, Runc::new()?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (span, session) = to_result(&mut api)?;
        ours.push(span);
        api::stop(&mut api, &session)?;
        // What either leaves to be done must not slow the other down.
        thread::sleep(PAUSE);
        theirs.push(runc.run()?);
        thread::sleep(PAUSE);
    }
    server.down()?;
    Ok(Figure {
        id: "P1",
        what: format!("cold: start + execute `true` -> result, p50 of {ROUNDS}"),
        value: percentile(ours, 0.5),
        unit: "ms",
        peer: Some(("runc run", percentile(theirs, 0.5))),
        target: Target::AtMost(1.0),
    })
}

/// P2: the same with warm shells.
pub(crate) fn warm(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, WARM)?;
    let (mut api, runc) = (server.connect()?, Runc::new()?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        server.await_runners(WARM as usize)?;
        // While the peer is measured, the pool is refilled.
        theirs.push(runc.run()?);
        let (span, session) = to_result(&mut api)?;
        let events = api.get(&format!("/sessions/{session}/events"))?.to_string();
        ensure!(events.contains("warm_task_claimed"), "a session got no warm shell");
        ours.push(span);
        api::stop(&mut api, &session)?;
    }
    server.down()?;
    Ok(Figure {
        id: "P2",
        what: format!("the same with {WARM} shells kept warm"),
        value: percentile(ours, 0.5),
        unit: "ms",
        peer: Some(("runc run", percentile(theirs, 0.5))),
        target: Target::AtMost(0.25),
    })
}

/// P3: a command in a ready session. The peer takes turns with ours, so that both have the same neighbours.
pub(crate) fn execute(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_ready(&mut api)?;
    let runc = Runc::new()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    runc.with_container(|runc| {
        for _ in 0..ROUNDS {
            for _ in 0..4 {
                let begun = Instant::now();
                api::run_at_once(&mut api, &session, &["true"])?;
                ours.push(begun.elapsed());
            }
            theirs.push(runc.exec()?);
        }
        Ok(())
    })?;
    api::stop(&mut api, &session)?;
    server.down()?;
    Ok(Figure {
        id: "P3",
        what: format!("execute `true` in a ready session, p50 of {}", 4 * ROUNDS),
        value: percentile(ours, 0.5),
        unit: "ms",
        peer: Some(("runc exec", percentile(theirs, 0.5))),
        target: Target::AtMost(0.15),
    })
}

/// F2: a command whose request waits for its result, beside a request for the job and one for its result.
pub(crate) fn waiting(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_ready(&mut api)?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..4 * ROUNDS {
        let begun = Instant::now();
        api::run_at_once(&mut api, &session, &["true"])?;
        one.push(begun.elapsed());
        let begun = Instant::now();
        api::run(&mut api, &session, &["true"])?;
        two.push(begun.elapsed());
    }
    api::stop(&mut api, &session)?;
    server.down()?;
    Ok(Figure {
        id: "F2",
        what: format!("execute `true` with `waitSeconds`, p50 of {}", 4 * ROUNDS),
        value: percentile(one, 0.5),
        unit: "ms",
        peer: Some(("POST, then GET", percentile(two, 0.5))),
        target: Target::AtMost(0.8),
    })
}

/// P4: many sessions at once, each with one command.
pub(crate) fn burst(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 2 * u32::try_from(BURST)?, 0)?;
    let connections: Vec<_> = (0..BURST).map(|_| server.connect()).collect::<Result<_, _>>()?;
    let barrier = Barrier::new(BURST);
    let at_once = |mut api: Connection| {
        barrier.wait();
        to_result(&mut api).map(|(span, _)| span)
    };
    let spans: Result<Vec<Duration>> = thread::scope(|scope| {
        let spawn = |api| scope.spawn(|| at_once(api));
        let threads: Vec<_> = connections.into_iter().map(spawn).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|span| span.map_err(|_| anyhow!("a client panicked"))?).collect()
    });
    let spans = spans?;
    bench.stop_all(&server)?;
    server.down()?;
    Ok(Figure {
        id: "P4",
        what: format!("{BURST} sessions at once, one command each, all succeed: p95"),
        value: percentile(spans, 0.95) / 1000.0,
        unit: "s",
        peer: None,
        target: Target::AtMost(3.0),
    })
}

/// The time from the start request to the result of `true`, and the session id.
fn to_result(api: &mut Connection) -> Result<(Duration, String)> {
    let begun = Instant::now();
    let session = api::start(api)?;
    api::run(api, &session, &["true"])?;
    Ok((begun.elapsed(), session))
}

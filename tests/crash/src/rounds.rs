//! The test: load, kill, start again, and in the end the audit.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Result;
use testkit::Dice;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Args, api::Api, audit, host, load::Load, records::Records, server::World, sink::Sink,
    verdict::Invariant,
};

/// Sessions that live through all rounds.
const KEPT: usize = 2;
const QUOTA: u64 = 7;
/// Of a server that makes its directory.
const FIRST_KILLS: u32 = 5;
/// For what the clients have begun when the last round is over.
const FINISH_WITHIN: Duration = Duration::from_mins(4);

/// Runs all rounds and the audit; true if every invariant holds.
pub(crate) async fn run(args: &Args, program: PathBuf) -> Result<bool> {
    let seed = args.seed.unwrap_or_else(clock);
    println!("crash: seed {seed}, {} rounds, {} clients", args.rounds, args.clients);
    let began = Instant::now();
    let mut dice = Dice::new(seed);
    let (quota, warm) = (QUOTA.to_string(), args.warm.to_string());
    let options = ["--quota", &quota, "--warm", &warm, "--log", "warn"];
    let mut world = World::new(program, &options, args.log.clone())?;
    let sink = Sink::open(dice.next()).await?;
    let mark = format!("crash-{}-{seed}", std::process::id());
    let load = Load::new(Api::new(world.address())?, mark, sink.url.clone(), QUOTA);
    let load = Arc::new(load);
    let mut records = Records::default();

    for _ in 0..FIRST_KILLS {
        // Before there is anything to recover.
        world.launch()?;
        sleep(Duration::from_millis(dice.below(120) as u64)).await;
        world.kill()?;
        records.check(&world, &load)?;
    }
    world.launch()?;
    world.listening().await?;
    let mut kept = Vec::new();
    for _ in 0..KEPT {
        kept.extend(load.keep(&mut dice).await);
    }
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(Arc::clone(&load).client(Dice::new(dice.next())));
    }
    clients.spawn(Arc::clone(&load).watch());
    for round in 1..=args.rounds {
        killed(&mut world, &mut dice, &load, &mut records, round).await?;
    }
    load.end();
    let all = async { while clients.join_next().await.is_some() {} };
    if timeout(FINISH_WITHIN, all).await.is_err() {
        load.verdict.broken(Invariant::NothingHangs, "clients still wait for answers");
    }
    for kept in &kept {
        load.release(&mut dice, kept).await;
    }
    audit::settle(&load).await?;
    audit::audit(&load, &sink).await?;
    farewell(&mut world, &load, &sink, &mut records).await?;
    told(&load, &world, began)
}

/// One round: some load, an end, most often by force, perhaps more of them on the way up again.
async fn killed(
    world: &mut World,
    dice: &mut Dice,
    load: &Load,
    records: &mut Records,
    round: u32,
) -> Result<()> {
    let span = Duration::from_millis(200 + dice.below(2300) as u64);
    sleep(span).await;
    let politely = dice.chance(15);
    if politely {
        world.stop().await?
    } else {
        world.kill()?
    }
    records.check(world, load)?;
    if dice.chance(30) {
        murder(world, dice, load, records);
    }
    let mut began = Instant::now();
    world.launch()?;
    let mut more = 0;
    while dice.chance(30) && more < 3 {
        // In the middle of its recovery.
        sleep(Duration::from_millis(dice.below(250) as u64)).await;
        world.kill()?;
        records.check(world, load)?;
        more += 1;
        began = Instant::now();
        world.launch()?;
    }
    world.listening().await?;
    let back = began.elapsed().as_millis();
    let (sessions, runs) = {
        let pages = load.book.pages();
        (pages.sessions.len(), pages.runs.len())
    };
    let how = if politely { "SIGTERM" } else { "SIGKILL" };
    println!(
        "  round {round:>3}: {how} after {:>4} ms, {more} more on the way up, back in {back:>4} ms; \
         {sessions} sessions, {runs} commands, {} violations",
        span.as_millis(),
        load.verdict.count(),
    );
    Ok(())
}

/// Kills the shell of some session while no server looks.
fn murder(world: &World, dice: &mut Dice, load: &Load, records: &Records) {
    let Some((session, task)) = dice.pick(records.served()) else { return };
    {
        let mut pages = load.book.pages();
        // One that its client does not know of yet may be one that must be kept.
        match pages.sessions.get_mut(session) {
            Some(known) if !known.kept => known.killed = true,
            Some(_) | None => return,
        }
    }
    host::kill(&world.data_dir(), task);
}

/// The records must be the same after one more kill, and nothing may be left on the host.
async fn farewell(
    world: &mut World,
    load: &Load,
    sink: &Sink,
    records: &mut Records,
) -> Result<()> {
    world.kill()?;
    records.check(world, load)?;
    world.launch()?;
    world.listening().await?;
    audit::audit(load, sink).await?;
    let own: Vec<u32> = world.pid().into_iter().collect();
    for pid in &own {
        let zombies = host::zombies_of(*pid);
        load.verdict.check(zombies == 0, Invariant::NothingIsLeft, || {
            format!("{zombies} children of the server were not waited for")
        });
    }
    world.stop().await?;
    records.check(world, load)?;
    let warm = records.live_tasks();
    let traces = host::traces(&world.data_dir(), &load.mark, &[]);
    let orphans: Vec<_> = traces.sandboxes.difference(&warm).collect();
    load.verdict.check(orphans.is_empty(), Invariant::NoTaskWithoutRecord, || {
        format!("sandboxes without a record: {orphans:?}")
    });
    let missing: Vec<_> = warm.difference(&traces.sandboxes).collect();
    load.verdict.check(missing.is_empty(), Invariant::NoTaskWithoutRecord, || {
        format!("records of sandboxes that are not there: {missing:?}")
    });
    if warm.is_empty() {
        load.verdict.check(
            traces.processes.is_empty() && traces.mounts.is_empty() && traces.cgroups.is_empty(),
            Invariant::NothingIsLeft,
            || {
                let host::Traces { processes, mounts, cgroups, .. } = &traces;
                format!("processes {processes:?}, mounts {mounts:?}, control groups {cgroups:?}")
            },
        );
    } else {
        left_beside(&warm, &traces, load);
    }
    Ok(())
}

/// Warm shells outlive the server, and nothing else.
fn left_beside(warm: &std::collections::BTreeSet<String>, traces: &host::Traces, load: &Load) {
    let strange = traces.cgroups.iter().filter(|group| {
        let names = group.components().filter_map(|part| part.as_os_str().to_str());
        let mut tasks = names.filter(|name| name.starts_with("task-"));
        tasks.any(|task| !warm.contains(task))
    });
    let strange: Vec<_> = strange.collect();
    // One runner for each.
    let beyond = traces.processes.len().saturating_sub(warm.len());
    load.verdict.check(
        strange.is_empty() && beyond == 0 && traces.mounts.is_empty(),
        Invariant::NothingIsLeft,
        || {
            let (processes, mounts) = (&traces.processes, &traces.mounts);
            format!("processes {processes:?}, mounts {mounts:?}, control groups {strange:?}")
        },
    );
}

fn told(load: &Load, world: &World, began: Instant) -> Result<bool> {
    let api = &load.api;
    println!(
        "  {} requests, {} sent again, {} answers replayed, {} s in all",
        api.requests.load(Relaxed),
        api.repeated.load(Relaxed),
        api.replayed.load(Relaxed),
        began.elapsed().as_secs(),
    );
    let errors = world.errors();
    if !errors.is_empty() {
        println!("  {} errors in the server's log, such as: {}", errors.len(), errors[0]);
    }
    Ok(load.verdict.tell())
}

fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |since| since.as_millis() as u64 % 1_000_000)
}

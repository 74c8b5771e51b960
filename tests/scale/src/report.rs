//! What became of a run, for people.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    cost::{
        Architecture, Calls, Pricing,
        prices::{PER_JOB, PER_SESSION},
    },
    session::Session,
    size::Size,
    timeline::EventKind,
};

use crate::{
    Transport,
    clients::Outcome,
    clock::VirtualClock,
    deployment::Deployment,
    functions::FunctionUse,
    lanes::LaneUse,
    quotas::{Amounts, Use},
    tasks::TaskUse,
    workflow::ExecutionUse,
};

/// A quota that refuses this share of its calls delays sessions.
const BINDS_FROM: f64 = 0.01;

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Report {
    transport: Transport,
    amounts: Amounts,
    seconds: f64,
    outcomes: Vec<Outcome>,
    /// How each session ended: status, and reason.
    endings: BTreeMap<String, usize>,
    /// From the acceptance of a session to its state `ready`. Seconds.
    ready: Vec<f64>,
    /// When the last session became ready. Seconds.
    last_ready: f64,
    quotas: Vec<Use>,
    functions: BTreeMap<&'static str, FunctionUse>,
    peak_invocations: u32,
    lanes: BTreeMap<&'static str, LaneUse>,
    executions: ExecutionUse,
    tasks: TaskUse,
}

impl Report {
    pub(crate) fn of(
        deployment: &Deployment,
        outcomes: Vec<Outcome>,
        amounts: Amounts,
        transport: Transport,
    ) -> Self {
        let sessions: Vec<Session> =
            deployment.store.all_sessions().into_iter().map(|read| read.value).collect();
        let mut endings = BTreeMap::new();
        let (mut ready, mut last_ready) = (Vec::new(), 0.0_f64);
        for session in &sessions {
            let reason = session.reason().map_or("", |reason| reason.name());
            *endings.entry(format!("{} {reason}", session.status().name())).or_default() += 1;
            let at = |kind| {
                let entries = deployment.store.entries(session.id());
                entries.into_iter().find(|entry| entry.kind == kind).map(|entry| entry.at)
            };
            if let Some((accepted, at)) = at(EventKind::Accepted).zip(at(EventKind::Ready)) {
                ready.push(seconds_between(accepted, at));
                last_ready = last_ready.max(VirtualClock::seconds_at(at));
            }
        }
        ready.sort_by(f64::total_cmp);
        let (peak_invocations, functions) = deployment.functions.used();
        Self {
            transport,
            amounts,
            seconds: deployment.clock.seconds(),
            outcomes,
            endings,
            ready,
            last_ready,
            quotas: deployment.quotas.used(),
            functions,
            peak_invocations,
            lanes: deployment.lanes.used(),
            executions: deployment.executions.used(),
            tasks: deployment.tasks.used(),
        }
    }

    /// Whether each client had its session, and nothing is left.
    pub(crate) fn is_clean(&self) -> bool {
        let dead: u64 = self.lanes.values().map(|lane| lane.dead).sum();
        self.failures().is_empty() && self.tasks.not_stopped == 0 && dead == 0
    }

    /// Why clients had no use of their session.
    pub(crate) fn failures(&self) -> Vec<&str> {
        self.outcomes.iter().filter_map(|outcome| outcome.failure.as_deref()).collect()
    }

    #[cfg(test)]
    pub(crate) const fn tasks_left(&self) -> u64 {
        self.tasks.not_stopped
    }

    #[cfg(test)]
    pub(crate) const fn last_ready(&self) -> f64 {
        self.last_ready
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    pub(crate) fn print(&self) {
        let count = self.outcomes.len();
        println!(
            "{count} sessions over {:?}, {:.0} s of virtual time: {} failed",
            self.transport,
            self.seconds,
            self.failures().len()
        );
        self.print_times();
        self.print_failures();
        self.print_quotas();
        self.print_functions();
        self.print_lanes();
        let dollars = self.dollars();
        println!(
            "\ncost, at list prices: ${:.2} besides the tasks, ${:.2} for the tasks",
            dollars.0, dollars.1
        );
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    fn print_times(&self) {
        let mut seen: Vec<f64> =
            self.outcomes.iter().filter_map(|outcome| outcome.ready_after).collect();
        seen.sort_by(f64::total_cmp);
        let mut commands: Vec<f64> =
            self.outcomes.iter().flat_map(|outcome| outcome.commands.clone()).collect();
        commands.sort_by(f64::total_cmp);
        println!("\n{:44} {:>8} {:>8} {:>8}", "seconds", "p50", "p95", "last");
        for (what, all) in [
            ("from the acceptance of a session to ready", &self.ready),
            ("from the request to ready, as a client sees", &seen),
            ("a command, as a client sees", &commands),
        ] {
            let [p50, p95, last] = [0.5, 0.95, 1.0].map(|share| quantile(all, share));
            println!("{what:44} {p50:8.1} {p95:8.1} {last:8.1}");
        }
        println!("the last session was ready at {:.1} s", self.last_ready);
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    fn print_failures(&self) {
        println!("\nhow sessions ended");
        for (ending, count) in &self.endings {
            println!("{count:8}  {ending}");
        }
        let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
        for failure in self.failures() {
            *failures.entry(failure).or_default() += 1;
        }
        for (failure, count) in failures {
            println!("{count:8}  clients failed: {failure}");
        }
        let repeated: u32 = self.outcomes.iter().map(|outcome| outcome.repeated).sum();
        println!("{repeated:8}  requests repeated by clients");
        println!("{:8}  tasks left", self.tasks.not_stopped);
        for (error, count) in &self.executions.errors {
            println!("{count:8}  retried: {error}");
        }
        for (error, count) in &self.executions.failed {
            println!("{count:8}  executions failed: {error}");
        }
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    fn print_quotas(&self) {
        println!(
            "\n{:20} {:>8} {:>8} {:>10} {:>10} {:>10}",
            "quota", "per s", "burst", "peak", "calls", "refused"
        );
        for one in &self.quotas {
            let binds = one.refused as f64 > BINDS_FROM * one.taken as f64;
            println!(
                "{:20} {:8.0} {:8.0} {:10} {:10} {:10}{}",
                one.name,
                one.rate,
                one.burst,
                one.peak,
                one.taken,
                one.refused,
                if binds { "  binds" } else { "" }
            );
        }
        let throttled: u64 = self.functions.values().map(|one| one.throttled).sum();
        let note = |binds: bool| if binds { "  binds" } else { "" };
        println!(
            "{:20} {:8} {:>8} {:10} {:>10} {:10}{}",
            "concurrency",
            self.amounts.concurrency,
            "",
            self.peak_invocations,
            "",
            throttled,
            note(throttled > 0)
        );
        println!(
            "{:20} {:8} {:>8} {:10} {:>10} {:10}{}",
            "vcpu",
            self.amounts.cpu / 1024,
            "",
            self.tasks.peak_cpu.div_ceil(1024),
            "",
            self.tasks.beyond_vcpus,
            note(self.tasks.beyond_vcpus > 0)
        );
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    fn print_functions(&self) {
        println!(
            "\n{:20} {:>10} {:>8} {:>10} {:>10} {:>8}",
            "function", "calls", "at once", "cold", "throttled", "GiB s"
        );
        for (name, one) in self.functions.iter().filter(|(_, one)| one.invocations > 0) {
            println!(
                "{name:20} {:10} {:8} {:10} {:10} {:8.0}",
                one.invocations, one.peak, one.cold_starts, one.throttled, one.gib_seconds
            );
        }
    }

    #[expect(clippy::print_stdout, reason = "a program for people")]
    fn print_lanes(&self) {
        println!(
            "\n{:20} {:>10} {:>8} {:>10} {:>10} {:>8}",
            "lane", "messages", "batches", "failed", "dead", "longest"
        );
        for (name, one) in &self.lanes {
            println!(
                "{name:20} {:10} {:8} {:10} {:10} {:8}",
                one.sent, one.batches, one.failed, one.dead, one.longest
            );
        }
    }

    /// What the calls and the tasks cost. The units of the table, events and logs are those that a session and a
    /// command usually take; the rest is counted.
    fn dollars(&self) -> (f64, f64) {
        let pricing = Pricing { architecture: Architecture::Arm64, public_address: false };
        let (sessions, jobs) = (
            self.outcomes.len() as f64,
            self.outcomes.iter().map(|outcome| outcome.commands.len()).sum::<usize>() as f64,
        );
        let requests =
            self.quotas.iter().find(|one| one.name == "requests").map_or(0, |one| one.taken) as f64;
        let invocations: u64 = self.functions.values().map(|one| one.invocations).sum();
        let batches: u64 = self.lanes.values().map(|lane| lane.batches).sum();
        let sent: u64 = self.lanes.values().map(|lane| lane.sent).sum();
        let transitions = self.executions.transitions as f64;
        let calls = Calls {
            http_requests: requests,
            transitions,
            invocations: invocations as f64,
            gib_seconds: self.functions.values().map(|one| one.gib_seconds).sum(),
            // A batch is received and deleted as a whole.
            queue_requests: (sent + 2 * batches) as f64,
            write_units: PER_JOB.write_units.mul_add(jobs, PER_SESSION.write_units * sessions),
            read_units: PER_JOB.read_units.mul_add(jobs, PER_SESSION.read_units * sessions),
            bus_events: PER_JOB.bus_events.mul_add(jobs, PER_SESSION.bus_events * sessions),
            socket_messages: PER_JOB
                .socket_messages
                .mul_add(jobs, PER_SESSION.socket_messages * sessions),
            connection_minutes: self.tasks.seconds / 60.0,
            log_gb: PER_JOB.log_gb.mul_add(jobs, PER_SESSION.log_gb * sessions),
        };
        let held = std::time::Duration::from_secs_f64(self.tasks.seconds);
        (pricing.calls(&calls), pricing.task(Size::DEFAULT, false, held))
    }
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.since(earlier).as_secs_f64()
}

/// The value below which this share of the sorted values lies; 0 without values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

//! The connections that runners open: requests to them and their reports are lost, doubled and reordered.

use domain::{JobId, TaskId};
use handlers::{HandlerError, Recorded, permissions::LINK};

use crate::{
    in_flight::{Completion, InFlight, Purpose, Said},
    simulation::{Simulation, function, scoped},
};

/// Limit of undelivered reports.
const MAX_SAID: usize = 32;

impl Simulation {
    /// Does one random thing with what is under way.
    pub(crate) fn disturb_links(&mut self) {
        match self.rng.usize(..20) {
            0..7 => self.deliver_request(),
            7..12 if self.said.len() < MAX_SAID => self.say_something(),
            12..18 if !self.said.is_empty() => {
                let at = self.rng.usize(..self.said.len());
                let again = self.rng.f64() < 0.1;
                let said = if again { self.said[at].clone() } else { self.said.swap_remove(at) };
                if self.rng.f64() < 0.1 {
                    self.count("reports lost");
                } else {
                    self.begin_said(said);
                }
            }
            18 => {
                let reported = self.fakes.shell.reported();
                if let Some((task, _)) = self.rng.choice(&reported).cloned() {
                    self.count("reporters restarted");
                    self.fakes.shell.stop_reporting(&task);
                    self.said.push(Said::Connected(task, Vec::new()));
                }
            }
            _ => {}
        }
    }

    fn deliver_request(&mut self) {
        let under_way = self.fakes.shell.requests_under_way();
        if under_way == 0 {
            return;
        }
        let at = self.rng.usize(..under_way);
        if self.rng.f64() < 0.1 {
            self.count("requests to runners lost");
            self.fakes.shell.lose_request(at);
        } else {
            let again = self.rng.f64() < 0.1;
            self.fakes.shell.deliver_request(at, again);
        }
    }

    /// A runner reports a job, or that it has connected.
    fn say_something(&mut self) {
        let reported = self.fakes.shell.reported();
        let Some((task, job)) = self.rng.choice(&reported).cloned() else { return };
        if self.rng.f64() < 0.1 {
            let of_task = reported.iter().filter(|(of, _)| *of == task);
            self.said.push(Said::Connected(task.clone(), of_task.map(|(_, job)| *job).collect()));
        } else if let Some(report) = self.fakes.shell.report(&task, job) {
            self.said.push(Said::Report(task, report));
        }
    }

    /// Delivers all requests to runners and one report of each job.
    pub(crate) fn deliver_links(&mut self) {
        while self.fakes.shell.requests_under_way() > 0 {
            self.fakes.shell.deliver_request(0, false);
        }
        for said in std::mem::take(&mut self.said) {
            self.begin_said(said);
        }
        for (task, job) in self.fakes.shell.reported() {
            let is_under_way =
                |work: &InFlight| matches!(&work.purpose, Purpose::Report(_, of) if *of == job);
            if self.in_flight.iter().any(is_under_way) {
                continue;
            }
            // A runner reports what is new.
            if let Some(report) = self.fakes.shell.report(&task, job)
                && (!report.output.is_empty() || report.end.is_some())
            {
                self.begin_said(Said::Report(task, report));
            }
        }
    }

    fn begin_said(&mut self, said: Said) {
        self.note(|| format!("said: {said:?}"));
        self.workers += 1;
        let mut env = scoped(&self.env, function(LINK));
        env.worker = format!("w{}", self.workers).into();
        let (purpose, future): (_, std::pin::Pin<Box<dyn Future<Output = _> + Send>>) = match said {
            Said::Report(task, report) => {
                self.count("reports");
                let purpose = Purpose::Report(task.clone(), report.job);
                let record = async move {
                    Completion::Reported(handlers::record_report(&env, &task, report).await)
                };
                (purpose, Box::pin(record))
            }
            Said::Connected(task, known) => {
                self.count("connections of runners");
                let connect = async move {
                    let connected = handlers::runner_connected(&env, &task, &known).await;
                    Completion::Handler(connected.map(|()| serde_json::Value::Null))
                };
                (Purpose::Connected, Box::pin(connect))
            }
        };
        self.in_flight.push(InFlight { purpose, paused_until: 0, future });
    }

    /// The answer to a report, which may be lost.
    pub(crate) fn answer_report(
        &mut self,
        task: &TaskId,
        job: JobId,
        result: Result<Recorded, HandlerError>,
    ) {
        let Ok(Recorded { stdout, stderr, over }) = result else {
            return self.count("reports failed");
        };
        if !self.faults_enabled || self.rng.f64() < 0.9 {
            self.fakes.shell.acknowledge(task, job, (stdout, stderr), over);
        }
    }
}

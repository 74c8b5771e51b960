//! The scenarios of the clients.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use testkit::Invariant;
use tokio::time::sleep;

use super::{Load, text};
use crate::script::{Body, Script};

impl Load {
    pub(crate) async fn scenario(&self, rng: &mut Rng) {
        let finished = match rng.usize(..10) {
            0..=3 => self.runs_commands(rng).await,
            4 | 5 => self.one_shots(rng).await,
            6 => self.stops_early(rng).await,
            7 => self.is_cut_short(rng).await,
            8 => self.expires(rng).await,
            _ => self.goes_idle(rng).await,
        };
        if finished.is_none() {
            // The quota is reached.
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Starts a session that must outlive all kills, with a command that writes all the time.
    pub(crate) async fn keep(&self, rng: &mut Rng) -> Option<(String, String)> {
        let (session, _) = self.start(rng, &json!({"admission": "queue"})).await?;
        self.model.session(&session, |known| known.kept = true);
        let ticks = self.script(Body::Ticks);
        let job = self.execute(rng, &session, ticks, true).await?;
        Some((session, job))
    }

    /// Ends a kept session: its command sees a file and exits.
    pub(crate) async fn release(&self, rng: &mut Rng, (session, job): &(String, String)) {
        let line = format!(": {}; touch /tmp/enough", self.mark);
        let body = json!({"sessionId": session, "command": line, "concurrency": "parallel"});
        let response = self.accepted(rng, "/shell/execute", &body, &[202]).await;
        if let Some(response) = response {
            let touch = text(&response.body, "jobId");
            self.model.session(session, |known| known.audits.push(touch.clone()));
            self.end_of(&touch).await;
        }
        self.end_of(job).await;
        self.audit(rng, session).await;
        self.stop(rng, session, false, false).await;
    }

    /// Some commands, some of them before the shell is ready, and an orderly stop.
    async fn runs_commands(&self, rng: &mut Rng) -> Option<()> {
        let (session, started) = self.start(rng, &json!({})).await?;
        let mut jobs = Vec::new();
        for _ in 0..=rng.usize(..6) {
            let script = Script::any(self.number(), rng);
            let serial = rng.f64() < 0.7;
            jobs.push(self.execute(rng, &session, script, serial).await?);
            if rng.f64() < 0.3 {
                self.end_of(&text(&started, "jobId")).await?;
            }
            let serial = rng.f64() < 0.5;
            if rng.f64() < 0.2 {
                jobs.push(self.is_cancelled(rng, &session, serial).await?);
            } else if rng.f64() < 0.2 {
                let script = self.script(Body::Signalled);
                let job = self.execute(rng, &session, script, serial).await?;
                self.terminate(rng, &job).await;
                jobs.push(job);
            }
        }
        if rng.f64() < 0.3 {
            self.extends(rng, &session, &started).await?;
        }
        if rng.f64() < 0.3 {
            // A draining session runs all accepted commands.
            let stop = self.stop(rng, &session, true, true).await?;
            self.end_of(&stop).await?;
            return Some(());
        }
        for job in &jobs {
            self.end_of(job).await?;
        }
        self.audit(rng, &session).await;
        let stop = self.stop(rng, &session, false, false).await?;
        if rng.f64() < 0.5 {
            self.end_of(&stop).await?;
        }
        Some(())
    }

    async fn is_cancelled(&self, rng: &mut Rng, session: &str, serial: bool) -> Option<String> {
        let endless = self.script(Body::Endless);
        let job = self.execute(rng, session, endless, serial).await?;
        sleep(Duration::from_millis(rng.usize(..400) as u64)).await;
        self.cancel(rng, &job).await;
        Some(job)
    }

    async fn extends(
        &self,
        rng: &mut Rng,
        session: &str,
        started: &serde_json::Value,
    ) -> Option<()> {
        self.end_of(&text(started, "jobId")).await?;
        let path = format!("/sessions/{session}/extend");
        let body = json!({"ttlSecondsFromNow": 7200});
        let response = self.to_open(rng, session, &path, &body, 200).await?;
        self.verdict.check(
            text(&response.body, "sessionId") == session,
            Invariant::ResponsesAreDocumented,
            || format!("the response to the extension of {session} names another session"),
        );
        Some(())
    }

    /// A few sessions with one command each, which end with it.
    async fn one_shots(&self, rng: &mut Rng) -> Option<()> {
        let mut sessions = Vec::new();
        for _ in 0..=rng.usize(..3) {
            let script = match Script::any(self.number(), rng) {
                Script { body: Body::TooLong, number, code } => {
                    Script { body: Body::Quick, number, code }
                }
                script => script,
            };
            let options = json!({"command": script.line(&self.mark), "ttlSeconds": 300});
            let Some((session, started)) = self.start(rng, &options).await else { continue };
            let job = text(&started, "commandJobId");
            self.ran(&session, &job, script, true);
            sessions.push((session, job));
        }
        for (session, job) in &sessions {
            self.end_of(job).await?;
            self.end_of_session(session).await?;
        }
        (!sessions.is_empty()).then_some(())
    }

    /// Stops a session shortly after its start.
    async fn stops_early(&self, rng: &mut Rng) -> Option<()> {
        let (session, _) = self.start(rng, &json!({})).await?;
        if rng.f64() < 0.5 {
            let script = self.script(Body::Quick);
            self.execute(rng, &session, script, true).await?;
        }
        sleep(Duration::from_millis(rng.usize(..80) as u64)).await;
        let stop = self.stop(rng, &session, false, true).await?;
        self.end_of(&stop).await?;
        Some(())
    }

    /// Stops a session while commands run.
    async fn is_cut_short(&self, rng: &mut Rng) -> Option<()> {
        let (session, started) = self.start(rng, &json!({})).await?;
        for body in [Body::Sleep { tenths: 3 }, Body::Endless, Body::Quick] {
            let script = self.script(body);
            let serial = rng.f64() < 0.5;
            self.execute(rng, &session, script, serial).await?;
        }
        self.end_of(&text(&started, "jobId")).await?;
        sleep(Duration::from_millis(rng.usize(..1000) as u64)).await;
        let stop = self.stop(rng, &session, false, true).await?;
        self.end_of(&stop).await?;
        Some(())
    }

    /// A session with a time to live of a second or two.
    async fn expires(&self, rng: &mut Rng) -> Option<()> {
        let options = json!({"ttlSeconds": 1 + rng.usize(..2)});
        let (session, _) = self.start(rng, &options).await?;
        self.model.session(&session, |known| known.cut_short = true);
        let endless = self.script(Body::Endless);
        self.execute(rng, &session, endless, true).await;
        self.end_of_session(&session).await?;
        Some(())
    }

    /// A session that is idle after its first command.
    async fn goes_idle(&self, rng: &mut Rng) -> Option<()> {
        let (session, _) = self.start(rng, &json!({"idleTimeoutSeconds": 2})).await?;
        self.model.session(&session, |known| known.cut_short = true);
        let script = self.script(Body::Quick);
        self.execute(rng, &session, script, true).await;
        self.end_of_session(&session).await?;
        Some(())
    }
}

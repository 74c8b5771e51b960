//! What users do.

use std::time::Duration;

use serde_json::json;
use testkit::Dice;
use tokio::time::sleep;

use super::{Load, text};
use crate::{
    script::{Body, Script},
    verdict::Invariant,
};

impl Load {
    pub(crate) async fn scene(&self, dice: &mut Dice) {
        let done = match dice.below(10) {
            0..=3 => self.works(dice).await,
            4 | 5 => self.one_shots(dice).await,
            6 => self.regrets(dice).await,
            7 => self.is_cut_short(dice).await,
            8 => self.expires(dice).await,
            _ => self.idles(dice).await,
        };
        if done.is_none() {
            // The quota is reached.
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// A session that must outlive all kills, with a command that speaks all the time.
    pub(crate) async fn keep(&self, dice: &mut Dice) -> Option<(String, String)> {
        let (session, _) = self.start(dice, &json!({"admission": "queue"})).await?;
        self.book.session(&session, |known| known.kept = true);
        let ticks = self.script(Body::Ticks);
        let job = self.execute(dice, &session, ticks, true).await?;
        Some((session, job))
    }

    /// Lets a kept session go: its command has had enough.
    pub(crate) async fn release(&self, dice: &mut Dice, (session, job): &(String, String)) {
        let line = format!(": {}; touch /tmp/enough", self.mark);
        let body = json!({"sessionId": session, "command": line, "concurrency": "parallel"});
        let answer = self.accepted(dice, "/v1/shell/execute", &body, &[202]).await;
        if let Some(answer) = answer {
            let went = text(&answer.body, "jobId");
            self.book.session(session, |known| known.audits.push(went.clone()));
            self.end_of(&went).await;
        }
        self.end_of(job).await;
        self.audit(dice, session).await;
        self.stop(dice, session, false, false).await;
    }

    /// Some commands, some of them before the shell is ready, and an orderly end.
    async fn works(&self, dice: &mut Dice) -> Option<()> {
        let (session, told) = self.start(dice, &json!({})).await?;
        let mut jobs = Vec::new();
        for _ in 0..=dice.below(6) {
            let script = Script::any(self.number(), dice);
            let serial = dice.chance(70);
            jobs.push(self.execute(dice, &session, script, serial).await?);
            if dice.chance(30) {
                self.end_of(&text(&told, "jobId")).await?;
            }
            let serial = dice.chance(50);
            if dice.chance(20) {
                jobs.push(self.is_cancelled(dice, &session, serial).await?);
            } else if dice.chance(20) {
                let script = self.script(Body::Signalled);
                let job = self.execute(dice, &session, script, serial).await?;
                self.terminate(dice, &job).await;
                jobs.push(job);
            }
        }
        if dice.chance(30) {
            self.extends(dice, &session, &told).await?;
        }
        if dice.chance(30) {
            // Draining, it does all that it has taken.
            let stop = self.stop(dice, &session, true, true).await?;
            self.end_of(&stop).await?;
            return Some(());
        }
        for job in &jobs {
            self.end_of(job).await?;
        }
        self.audit(dice, &session).await;
        let stop = self.stop(dice, &session, false, false).await?;
        if dice.chance(50) {
            self.end_of(&stop).await?;
        }
        Some(())
    }

    async fn is_cancelled(&self, dice: &mut Dice, session: &str, serial: bool) -> Option<String> {
        let endless = self.script(Body::Endless);
        let job = self.execute(dice, session, endless, serial).await?;
        sleep(Duration::from_millis(dice.below(400) as u64)).await;
        self.cancel(dice, &job).await;
        Some(job)
    }

    async fn extends(
        &self,
        dice: &mut Dice,
        session: &str,
        told: &serde_json::Value,
    ) -> Option<()> {
        self.end_of(&text(told, "jobId")).await?;
        let path = format!("/v1/sessions/{session}/extend");
        let answer =
            self.accepted(dice, &path, &json!({"ttlSecondsFromNow": 7200}), &[200]).await?;
        self.verdict.check(
            text(&answer.body, "sessionId") == session,
            Invariant::AnswersAreDocumented,
            || format!("{session} was extended and the answer is of another"),
        );
        Some(())
    }

    /// A few sessions with one command each, which end by themselves.
    async fn one_shots(&self, dice: &mut Dice) -> Option<()> {
        let mut started = Vec::new();
        for _ in 0..=dice.below(3) {
            let script = match Script::any(self.number(), dice) {
                Script { body: Body::TooLong, number, code } => {
                    Script { body: Body::Quick, number, code }
                }
                script => script,
            };
            let wishes = json!({"command": script.line(&self.mark), "ttlSeconds": 300});
            let Some((session, told)) = self.start(dice, &wishes).await else { continue };
            let job = text(&told, "commandJobId");
            self.ran(&session, &job, script, true);
            started.push((session, job));
        }
        for (session, job) in &started {
            self.end_of(job).await?;
            self.end_of_session(session).await?;
        }
        (!started.is_empty()).then_some(())
    }

    /// Stops what it has hardly started.
    async fn regrets(&self, dice: &mut Dice) -> Option<()> {
        let (session, _) = self.start(dice, &json!({})).await?;
        if dice.chance(50) {
            let script = self.script(Body::Quick);
            self.execute(dice, &session, script, true).await?;
        }
        sleep(Duration::from_millis(dice.below(80) as u64)).await;
        let stop = self.stop(dice, &session, false, true).await?;
        self.end_of(&stop).await?;
        Some(())
    }

    /// Stops while commands run.
    async fn is_cut_short(&self, dice: &mut Dice) -> Option<()> {
        let (session, told) = self.start(dice, &json!({})).await?;
        for body in [Body::Sleep { tenths: 3 }, Body::Endless, Body::Quick] {
            let script = self.script(body);
            let serial = dice.chance(50);
            self.execute(dice, &session, script, serial).await?;
        }
        self.end_of(&text(&told, "jobId")).await?;
        sleep(Duration::from_millis(dice.below(1000) as u64)).await;
        let stop = self.stop(dice, &session, false, true).await?;
        self.end_of(&stop).await?;
        Some(())
    }

    /// Lives for a second or two.
    async fn expires(&self, dice: &mut Dice) -> Option<()> {
        let wishes = json!({"ttlSeconds": 1 + dice.below(2)});
        let (session, _) = self.start(dice, &wishes).await?;
        self.book.session(&session, |known| known.cut_short = true);
        let endless = self.script(Body::Endless);
        self.execute(dice, &session, endless, true).await;
        self.end_of_session(&session).await?;
        Some(())
    }

    /// Has nothing to do after its first command.
    async fn idles(&self, dice: &mut Dice) -> Option<()> {
        let (session, _) = self.start(dice, &json!({"idleTimeoutSeconds": 2})).await?;
        self.book.session(&session, |known| known.cut_short = true);
        let script = self.script(Body::Quick);
        self.execute(dice, &session, script, true).await;
        self.end_of_session(&session).await?;
        Some(())
    }
}

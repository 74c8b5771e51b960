//! A store of objects without objects: it hands out URLs, and knows what commands have replied.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Secret,
    command::{Command, Program},
    file::{FileJob, FileRefusal, FileReply},
    ports::{BackendError, Clock, FilesError, TransferUrl, Transfers},
};
use parking_lot::Mutex;

use crate::{Gate, SimClock};

/// What a command has replied: replies, or why the shell has refused.
type Replied = Result<Vec<FileReply>, FileRefusal>;

/// Hands out URLs of `https://objects.test`.
#[derive(Debug)]
pub struct MemoryTransfers {
    clock: SimClock,
    gate: Arc<Gate>,
    replies: Mutex<BTreeMap<Vec<u8>, Replied>>,
}

impl MemoryTransfers {
    /// No replies.
    pub fn new(clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { clock, gate, replies: Mutex::default() }
    }

    /// What a command has replied that prints this.
    pub fn reply(&self, printed: &str, replied: Replied) {
        self.replies.lock().insert(printed.as_bytes().to_vec(), replied);
    }

    async fn url(&self, method: &str, object: &str) -> Result<TransferUrl, BackendError> {
        self.gate
            .pass("making a URL for an object", || {
                let url = format!("https://objects.test/{object}?{method}=s3cret");
                let expires_at = self.clock.now() + Duration::from_mins(15);
                TransferUrl { url: Secret::new(url), expires_at }
            })
            .await
    }
}

#[async_trait]
impl Transfers for MemoryTransfers {
    async fn put_url(&self, object: &str, bytes: u64) -> Result<TransferUrl, BackendError> {
        self.url(&format!("put{bytes}"), object).await
    }

    async fn get_url(&self, object: &str) -> Result<TransferUrl, BackendError> {
        self.url("get", object).await
    }

    async fn command(
        &self,
        command: &Command,
        job: &FileJob,
        object: &str,
    ) -> Result<Command, BackendError> {
        let url = self.url("shell", object).await?.url.into_inner();
        let program = Program::Argv(vec!["transfer".to_owned(), format!("{:?}", job.action)]);
        let (program, stdin) = (Secret::new(program), Secret::new(url.into_bytes()));
        Ok(Command { program, stdin, ..command.clone() })
    }

    fn replies(&self, printed: &[u8]) -> Result<Vec<FileReply>, FilesError> {
        let replies = self.replies.lock();
        let replied = replies.get(printed).cloned().ok_or(FilesError::Interrupted)?;
        replied.map_err(|refusal| FilesError::Refused(refusal, "refused".to_owned()))
    }
}

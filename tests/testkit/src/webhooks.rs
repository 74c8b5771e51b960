//! Webhook endpoints whose responses a test sets.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use domain::ports::{PostError, Posted, SignedPost, Webhooks};
use parking_lot::Mutex;

use crate::Gate;

/// Records every post. Responds with 200 unless the test has set other responses.
#[derive(Debug)]
pub struct MemoryWebhooks {
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    posts: Vec<SignedPost>,
    answers: VecDeque<Result<Posted, PostError>>,
}

impl MemoryWebhooks {
    /// An endpoint without posts.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, state: Mutex::default() }
    }

    /// Adds the response to a later post; each post takes one, in order.
    pub fn answer(&self, answer: Result<Posted, PostError>) {
        self.state.lock().answers.push_back(answer);
    }

    /// Drops the responses that no post has taken.
    pub fn forget_answers(&self) {
        self.state.lock().answers.clear();
    }

    /// All posts, in order.
    pub fn posts(&self) -> Vec<SignedPost> {
        self.state.lock().posts.clone()
    }

    /// Takes the posts, in order.
    pub fn take_posts(&self) -> Vec<SignedPost> {
        std::mem::take(&mut self.state.lock().posts)
    }
}

#[async_trait]
impl Webhooks for MemoryWebhooks {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        let answered = self.gate.pass("posting a webhook", || {
            let mut state = self.state.lock();
            state.posts.push(post.clone());
            state.answers.pop_front().unwrap_or(Ok(Posted { status: 200, retry_after: None }))
        });
        answered.await.unwrap_or(Err(PostError::Failed))
    }
}

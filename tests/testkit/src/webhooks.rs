//! Endpoints that answer as they are told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use domain::ports::{PostError, Posted, SignedPost, Webhooks};

use crate::{Gate, gate::locked};

/// Records every post. Answers 200 unless other answers are lined up.
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
    /// Nothing posted yet.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, state: Mutex::default() }
    }

    /// Lines up the answer to a coming post.
    pub fn answer(&self, answer: Result<Posted, PostError>) {
        locked(&self.state).answers.push_back(answer);
    }

    /// From now on all is answered with 200.
    pub fn forget_answers(&self) {
        locked(&self.state).answers.clear();
    }

    /// All posts, in order.
    pub fn posts(&self) -> Vec<SignedPost> {
        locked(&self.state).posts.clone()
    }

    /// Takes the posts, in order.
    pub fn take_posts(&self) -> Vec<SignedPost> {
        std::mem::take(&mut locked(&self.state).posts)
    }
}

#[async_trait]
impl Webhooks for MemoryWebhooks {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        let answered = self.gate.pass("posting a webhook", || {
            let mut state = locked(&self.state);
            state.posts.push(post.clone());
            state.answers.pop_front().unwrap_or(Ok(Posted { status: 200, retry_after: None }))
        });
        answered.await.unwrap_or(Err(PostError::Failed))
    }
}

//! Lanes on SQS.

use std::{collections::HashMap, sync::Arc, time::Duration};

use adapters::clock::SystemClock;
use aws::queue::SqsQueue;
use aws_sdk_sqs::Client;
use domain::{
    message::{Lane, Message},
    ports::Queue,
};
use testkit::{
    conformance::{QueueUnderTest, queue_suite},
    session_id,
};

use crate::{
    deployment::take,
    server::{Ministack, plain_http},
};

async fn queues(server: &Ministack) -> HashMap<Lane, String> {
    let sqs = Client::new(&server.config_over(plain_http()));
    let mut urls = HashMap::new();
    for lane in Lane::ALL {
        let made = sqs.create_queue().queue_name(lane.name()).send().await.unwrap();
        urls.insert(lane, made.queue_url.unwrap());
    }
    urls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let Some(server) = Ministack::start("sqs") else { return };
    let (config, urls) = (server.config_over(plain_http()), queues(&server).await);
    queue_suite(async || {
        let queue = Arc::new(SqsQueue::new(&config, urls.clone()));
        let (config, urls) = (config.clone(), urls.clone());
        let take = move || {
            let (config, urls) = (config.clone(), urls.clone());
            Box::pin(async move {
                let mut all = Vec::new();
                for url in urls.values() {
                    all.extend(take(&config, url).await);
                }
                all
            }) as _
        };
        let pass = || Box::pin(tokio::time::sleep(Duration::from_millis(100))) as _;
        let (take, pass) = (Box::new(take), Box::new(pass));
        QueueUnderTest { queue, clock: Arc::new(SystemClock), pass, take }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_queue_is_not_known_or_not_there_is_an_error() {
    let Some(server) = Ministack::start("sqs") else { return };
    let config = server.config_over(plain_http());
    let message = Message::RunJob { session: session_id("s") };
    let gone = format!("{}/000000000000/no-such-queue", server.endpoint());
    for urls in [HashMap::new(), HashMap::from([(Lane::Exec, gone)])] {
        let queue = SqsQueue::new(&config, urls);
        queue.send(&message, Duration::ZERO).await.unwrap_err();
    }
}

//! The queue port on SQS.

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
    deployment::{create_queues, take},
    server::{Ministack, plain_http},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let Some(server) = Ministack::start("sqs") else { return };
    let config = server.config_over(plain_http());
    let urls = create_queues(&config).await;
    queue_suite(async || {
        let queue = Arc::new(SqsQueue::new(&config, urls.clone()));
        // SQS itself lets the time pass: it answers when a message becomes visible, which it stays.
        let (sqs, url) = (Client::new(&config), urls[&Message::FillPool.lane()].clone());
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
        let pass = move || {
            let receive = sqs.receive_message().queue_url(&url).wait_time_seconds(1);
            let receive = receive.visibility_timeout(0);
            Box::pin(async move { drop(receive.send().await.unwrap()) }) as _
        };
        let (take, pass) = (Box::new(take), Box::new(pass));
        QueueUnderTest { queue, clock: Arc::new(SystemClock), pass, take }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_queue_is_not_configured_or_does_not_exist_is_an_error() {
    let Some(server) = Ministack::start("sqs") else { return };
    let config = server.config_over(plain_http());
    let message = Message::RunJob { session: session_id("s") };
    let missing = format!("{}/000000000000/no-such-queue", server.endpoint());
    for urls in [HashMap::new(), HashMap::from([(Lane::Exec, missing)])] {
        let queue = SqsQueue::new(&config, urls);
        queue.send(&message, Duration::ZERO).await.unwrap_err();
    }
}

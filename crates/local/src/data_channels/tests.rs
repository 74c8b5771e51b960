use std::time::Duration;

use adapters::clock::{MonotonicIds, SystemClock};

use super::*;

fn channels() -> DataChannels {
    let channels = DataChannels::new(Arc::new(SystemClock), Arc::new(MonotonicIds::default()));
    channels.set_url("https://127.0.0.1:8787");
    channels
}

fn terminal() -> Terminal {
    Terminal { task: TaskId::new("task"), job: testkit::job_id("j") }
}

fn soon() -> Timestamp {
    SystemClock.now() + Duration::from_mins(1)
}

#[test]
fn a_channel_can_be_opened_once_with_its_token() {
    let channels = channels();
    let channel = channels.offer(terminal(), soon()).unwrap();
    let is_token = |token: &str| token == channel.token.expose();
    assert_eq!(channels.take(&channel.id, is_token).unwrap().job, terminal().job);
    assert!(channels.take(&channel.id, is_token).is_none());
}

#[test]
fn a_channel_can_not_be_opened_with_another_token_or_too_late() {
    let channels = channels();
    let guessed = channels.offer(terminal(), soon()).unwrap();
    assert!(channels.take(&guessed.id, |_| false).is_none());
    assert!(channels.take(&guessed.id, |_| true).is_none(), "a wrong token withdraws the offer");
    let late = channels.offer(terminal(), SystemClock.now()).unwrap();
    assert!(channels.take(&late.id, |_| true).is_none());
    assert!(channels.take("terminal-unknown", |_| true).is_none());
}

#[test]
fn the_oldest_channels_of_a_terminal_are_withdrawn_for_more() {
    let channels = channels();
    let other = Terminal { job: testkit::job_id("other"), ..terminal() };
    let of_other = channels.offer(other, SystemClock.now() + Duration::from_secs(1)).unwrap();
    let offers: Vec<_> =
        (0..=16).map(|n| channels.offer(terminal(), soon() + Duration::from_secs(n))).collect();
    let taken = offers.into_iter().flatten().map(|offer| channels.take(&offer.id, |_| true));
    assert_eq!(taken.map(|taken| taken.is_some()).filter(|taken| !taken).count(), 1);
    assert!(channels.take(&of_other.id, |_| true).is_some(), "that of another terminal stays");
}

#[test]
fn the_url_of_a_channel_is_that_of_the_server() {
    let channel = channels().offer(terminal(), soon()).unwrap();
    let url = format!("wss://127.0.0.1:8787{PATH}{}?role=publish_subscribe", channel.id);
    assert_eq!(channel.stream_url, url);
}

#[test]
fn a_server_that_does_not_listen_yet_offers_nothing() {
    let channels = DataChannels::new(Arc::new(SystemClock), Arc::new(MonotonicIds::default()));
    assert!(channels.offer(terminal(), soon()).is_none());
}

#[test]
fn the_debug_output_has_no_token() {
    let channels = channels();
    let channel = channels.offer(terminal(), soon()).unwrap();
    let token = channel.token.expose().clone();
    assert!(!format!("{channels:?} {channel:?}").contains(&token));
}

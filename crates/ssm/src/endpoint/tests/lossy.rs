//! Two ends over a network that loses, duplicates and reorders messages.

use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;

struct End {
    endpoint: Endpoint,
    to_send: Vec<u8>,
    received: Vec<u8>,
}

impl End {
    fn new(endpoint: Endpoint, bytes: usize, random: &mut Rng) -> Self {
        let to_send = (0..bytes).map(|_| random.u8(..)).collect();
        Self { endpoint, to_send, received: Vec::new() }
    }

    /// Sends as much as the window allows, in chunks of random length, and receives the available bytes.
    fn work(&mut self, sent: &mut usize, random: &mut Rng, now: Duration) {
        while *sent < self.to_send.len() && self.endpoint.may_send() {
            let left = self.to_send.len() - *sent;
            let length = left.min(random.usize(1..=1024));
            self.endpoint.send(PayloadType::Output, &self.to_send[*sent..*sent + length], now);
            *sent += length;
        }
        while let Some(event) = self.endpoint.poll_event() {
            let Event::Bytes(bytes) = event else { panic!("{event:?}") };
            self.received.extend_from_slice(&bytes);
        }
    }
}

/// Fault rates: `lost` and `doubled` in percent, `reconnected` in per mille, `delay` in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Faults {
    lost: u64,
    doubled: u64,
    delay: u64,
    reconnected: u64,
}

struct Network {
    faults: Faults,
    /// Messages in transit by arrival time and order of sending, with the index of the receiving end.
    flying: BTreeMap<(Duration, u64), (usize, Bytes)>,
    count: u64,
}

impl Network {
    fn take(&mut self, from: usize, end: &mut End, random: &mut Rng, now: Duration) {
        while let Some(message) = end.endpoint.poll_transmit() {
            let copies = match random.u64(..100) {
                roll if roll < self.faults.lost => 0,
                roll if roll < self.faults.lost + self.faults.doubled => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let arrival = now + Duration::from_millis(random.u64(1..=self.faults.delay));
                self.count += 1;
                self.flying.insert((arrival, self.count), (1 - from, message.clone()));
            }
        }
    }
}

/// Runs until all bytes have arrived, and returns the simulated duration.
fn transfer(seed: u64, faults: Faults, handshake: bool, bytes: [usize; 2]) -> Duration {
    let mut random = Rng::with_seed(seed);
    let mut ends = [
        End::new(Endpoint::client(1, START), bytes[0], &mut random),
        End::new(Endpoint::server(2, handshake, START), bytes[1], &mut random),
    ];
    ends[1].endpoint.connected(START);
    let mut network = Network { faults, flying: BTreeMap::new(), count: 0 };
    let (mut now, mut sent) = (START, [0, 0]);
    loop {
        for (index, end) in ends.iter_mut().enumerate() {
            end.work(&mut sent[index], &mut random, now);
            network.take(index, end, &mut random, now);
        }
        let done = |end: &End, sent: usize| {
            end.endpoint.is_fully_acknowledged() && sent == end.to_send.len()
        };
        if done(&ends[0], sent[0]) && done(&ends[1], sent[1]) {
            assert!(ends[0].received == ends[1].to_send, "output differs");
            assert!(ends[1].received == ends[0].to_send, "input differs");
            return now - START;
        }
        assert!(now < START + Duration::from_hours(24), "the transfer does not finish");
        let arrival = network.flying.first_key_value().map(|((time, _), _)| *time);
        let deadlines = ends.iter().filter_map(|end| end.endpoint.deadline());
        now = deadlines.chain(arrival).min().expect("something is unacknowledged").max(now);
        while let Some(entry) = network.flying.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, message) = entry.remove();
            ends[to].endpoint.receive(message, now);
        }
        ends.iter_mut().for_each(|end| end.endpoint.elapsed(now));
        if random.u64(..1000) < faults.reconnected {
            network.flying.clear();
            ends.iter_mut().for_each(|end| end.endpoint.connected(now));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_bytes_arrive_both_ways_over_an_unreliable_network(
        seed: u64, lost in 0..40_u64, doubled in 0..30_u64, delay in 1..400_u64, reconnected in 0..5_u64,
        handshake: bool, bytes in [0..60_000_usize, 0..60_000_usize],
    ) {
        let faults = Faults { lost, doubled, delay, reconnected };
        transfer(seed, faults, handshake, bytes);
    }
}

#[test]
fn a_large_transfer_over_a_reliable_network_never_waits_for_a_resend() {
    let faults = Faults { lost: 0, doubled: 0, delay: 20, reconnected: 0 };
    let taken = transfer(1, faults, false, [0, 8 << 20]);
    assert!(taken < Duration::from_secs(1), "{taken:?}");
}

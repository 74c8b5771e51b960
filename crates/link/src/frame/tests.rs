use proptest::prelude::*;

use super::*;
use crate::split;

#[test]
fn frames_are_objects_with_a_type() {
    let stored = ToRunner::Stored { job: "j".into(), stdout: 3, stderr: 0, over: false };
    let text = serde_json::to_string(&stored).unwrap();
    assert_eq!(text, r#"{"type":"stored","job":"j","stdout":3,"stderr":0,"over":false}"#);
    let report = FromRunner::Report(Report { job: "j".into(), output: Vec::new(), end: None });
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(text, r#"{"type":"report","job":"j"}"#);
    let deadline = ToRunner::Deadline { id: "a".into(), after_ms: 5 };
    let deadline = serde_json::to_string(&deadline).unwrap();
    assert_eq!(deadline, r#"{"type":"deadline","id":"a","afterMs":5}"#);
}

#[test]
fn debug_shows_no_output() {
    let data = Bytes(b"secret".to_vec());
    let piece = Piece { stream: Stream::Stdout, from: 0, offset: 0, data };
    let report = FromRunner::Report(Report { job: "j".into(), output: vec![piece], end: None });
    assert!(!format!("{report:?}").contains("secret"));
    assert!(!format!("{report:?}").contains("c2VjcmV0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_request_of_any_length_arrives_in_parts_of_any_order(
        length in 0_usize..300_000, seed in any::<u64>(), twice in any::<bool>()
    ) {
        let stdin = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let start = crate::carrier::tests::start("j", stdin);
        let mut frames = split(&start, "1").unwrap();
        let mut incomplete = crate::parts::Incomplete::default();
        let other = crate::carrier::tests::start("j", vec![7; length]);
        frames.extend(split(&other, "2").unwrap());
        if twice {
            frames.extend(split(&start, "1").unwrap());
        }
        let order = (0..frames.len()).map(|at| (seed.rotate_left(at as u32) ^ at as u64, at));
        let mut order: Vec<_> = order.collect();
        order.sort_unstable();
        let mut complete = Vec::new();
        for (_, at) in order {
            prop_assert!(serde_json::to_string(&frames[at]).unwrap().len() <= 32 << 10);
            let ToRunner::Run { id, part, of, data, .. } = frames[at].clone() else { panic!() };
            complete.extend(incomplete.add(&id, part, of, data));
        }
        prop_assert!(complete.contains(&start) && complete.contains(&other));
        prop_assert!(complete.iter().all(|one| *one == start || *one == other));
    }
}

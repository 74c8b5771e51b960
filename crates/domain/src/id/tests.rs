use super::*;

#[test]
fn an_id_reads_back_from_its_own_text() {
    let id = SessionId::from_ulid(Ulid::from_parts(1_700_000_000_000, 42));
    assert_eq!(id.to_string().parse(), Ok(id));
}

#[test]
fn an_id_of_another_kind_or_spelling_is_refused() {
    let id = JobId::from_ulid(Ulid::from_parts(1_700_000_000_000, 42)).to_string();
    assert!(id.parse::<SessionId>().is_err());
    assert!(id.to_lowercase().parse::<JobId>().is_err());
    assert!("job_".parse::<JobId>().is_err());
    assert!("job_é".parse::<JobId>().is_err());
}

#[test]
fn the_entries_of_a_session_have_distinct_stable_ids() {
    let session = SessionId::from_ulid(Ulid::from_parts(5, 7));
    let at = Timestamp::from_millis(9);
    assert_eq!(EventId::of(session, 1, at), EventId::of(session, 1, at));
    assert_ne!(EventId::of(session, 1, at), EventId::of(session, 2, at));
}

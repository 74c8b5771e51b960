use super::*;

const ARM64: Pricing = Pricing { architecture: Architecture::Arm64, public_address: false };
const X86_64: Pricing = Pricing { architecture: Architecture::X86_64, public_address: false };

fn held(minutes: u64) -> Usage {
    Usage { task: Duration::from_mins(minutes), ..Usage::default() }
}

/// Dollars for a thousand such sessions, to the cent.
fn thousand(dollars: f64) -> f64 {
    (dollars * 100_000.0).round() / 100.0
}

#[test]
fn a_task_is_priced_by_size_architecture_and_seconds() {
    let sixteen_minutes = Duration::from_mins(16);
    assert_eq!(thousand(ARM64.task(Size::DEFAULT, false, sixteen_minutes)), 2.63);
    assert_eq!(thousand(X86_64.task(Size::DEFAULT, false, sixteen_minutes)), 3.29);
    let large = Size::new(4096, 8192).unwrap();
    let hour = Duration::from_hours(1);
    let expected = 4.0 * 0.032_38 + 8.0 * 0.003_56;
    assert!((ARM64.task(large, false, hour) - expected).abs() < 1e-9);
}

#[test]
fn spot_capacity_costs_less_but_its_public_address_does_not() {
    let hour = Duration::from_hours(1);
    let (full, cheap) =
        (ARM64.task(Size::DEFAULT, false, hour), ARM64.task(Size::DEFAULT, true, hour));
    assert!((cheap / full - 0.3).abs() < 1e-9);
    let public = Pricing { public_address: true, ..ARM64 };
    assert!((public.task(Size::DEFAULT, true, hour) - cheap - 0.005).abs() < 1e-9);
}

#[test]
fn a_task_is_charged_for_a_minute_at_least_and_no_task_costs_nothing() {
    let second = ARM64.task(Size::DEFAULT, false, Duration::from_secs(1));
    let minute = ARM64.task(Size::DEFAULT, false, Duration::from_mins(1));
    assert!((second - minute).abs() < 1e-12);
    assert_eq!(ARM64.task(Size::DEFAULT, false, Duration::ZERO), 0.0);
}

#[test]
fn commands_their_time_and_refused_attempts_add_to_a_session() {
    let none = ARM64.estimate(Size::DEFAULT, false, &held(15));
    let commands = |jobs, wall_ms| Some(Tally { jobs, wall_ms, cpu_ms: 0 });
    let few = Usage { commands: commands(20, 0), ..held(15) };
    let long = Usage { commands: commands(20, 600_000), ..held(15) };
    let refused = Usage { refusals: 6, ..long };
    let dollars = [few, long, refused].map(|usage| ARM64.estimate(Size::DEFAULT, false, &usage));
    assert!(none < dollars[0] && dollars[0] < dollars[1] && dollars[1] < dollars[2], "{dollars:?}");
    // Of each command ten seconds are followed, and of the rest a small share.
    let worker = (200.0 + 400.0 * 0.06) * 0.125 * 13.333_4e-6;
    assert!((dollars[1] - dollars[0] - worker).abs() < 2e-6, "{dollars:?}");
}

#[test]
fn an_estimate_is_rounded_to_millionths_of_a_dollar() {
    let dollars = ARM64.estimate(Size::DEFAULT, false, &held(7));
    assert_eq!(dollars.to_string().parse::<f64>().unwrap(), (dollars * 1e6).round() / 1e6);
    assert!(dollars.to_string().len() <= "0.123456".len(), "{dollars}");
}

#[test]
fn tallies_add_up_and_never_overflow() {
    let one = Tally { jobs: 1, wall_ms: u64::MAX, cpu_ms: 3 };
    let sum: Tally = [one, one].into_iter().sum();
    assert_eq!(sum, Tally { jobs: 2, wall_ms: u64::MAX, cpu_ms: 6 });
}

#[test]
fn a_transfer_costs_two_requests_the_days_of_its_object_and_what_leaves() {
    let pricing = Pricing { architecture: Architecture::Arm64, public_address: true };
    let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found}");
    close(pricing.transfer(0.0, false), 5.4e-6);
    close(pricing.transfer(1.0, false), 5.4e-6 + 0.023 / 15.0);
    close(pricing.transfer(1.0, true), 5.4e-6 + 0.023 / 15.0 + 0.09);
}

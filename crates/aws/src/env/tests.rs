use std::collections::HashMap;

use handlers::permissions::{FUNCTIONS, Trigger};

use super::*;

/// The variables of a function, derived from its list as the deployment does.
fn variables(function: &Function) -> HashMap<String, String> {
    let mut names = vec![
        "AWS_ACCESS_KEY_ID".to_owned(),
        "AWS_SECRET_ACCESS_KEY".to_owned(),
        "AWS_REGION".to_owned(),
    ];
    for permission in function.uses {
        names.extend(of(*permission));
    }
    names.into_iter().map(|name| (name, "x".to_owned())).collect()
}

fn of(permission: Permission) -> Vec<String> {
    let names: &[&str] = match permission {
        Permission::Store => &["EPHEMERAL_TABLE"],
        Permission::Queue(lane) => {
            let name = lane.name().replace('-', "_").to_uppercase();
            return vec![format!("EPHEMERAL_QUEUE_{name}")];
        }
        Permission::StartExecution => &["EPHEMERAL_STATE_MACHINE"],
        Permission::RunTask => &[
            "EPHEMERAL_CLUSTER",
            "EPHEMERAL_TASK_DEFINITION",
            "EPHEMERAL_SUBNETS",
            "EPHEMERAL_SECURITY_GROUP_EGRESS",
        ],
        Permission::StopTask | Permission::ReadTasks | Permission::Shell => &["EPHEMERAL_CLUSTER"],
        Permission::Transfers => &["EPHEMERAL_FILES_BUCKET", "EPHEMERAL_FILES_URL"],
        Permission::Publish => &["EPHEMERAL_BUS"],
        Permission::ResumeExecution | Permission::Webhooks | Permission::PostCommands => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The functions that call handlers.
fn with_ports() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().filter(|function| !function.may(Permission::Publish))
}

fn policy(more: &[(&str, &str)]) -> Result<handlers::Policy, VariableError> {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    policy::read(&Variables::from(more.collect::<HashMap<_, _>>()))
}

#[test]
fn every_function_opens_with_the_variables_of_what_it_uses() {
    for function in with_ports() {
        let opened = open(function, &variables(function).into());
        assert!(opened.is_ok(), "{}: {}", function.name, opened.unwrap_err());
    }
}

#[test]
fn the_function_that_publishes_events_opens_with_its_variables() {
    let function = Function::named(handlers::permissions::PUBLISH).unwrap();
    let all = variables(function);
    bus(&all.clone().into()).unwrap();
    let mut rest = all;
    rest.remove("EPHEMERAL_BUS");
    let error = bus(&rest.into()).unwrap_err();
    assert!(error.to_string().contains("EPHEMERAL_BUS"), "{error}");
}

#[test]
fn each_of_them_is_needed_and_named_when_it_is_missing() {
    for function in with_ports() {
        let all = variables(function);
        for missing in all.keys() {
            let mut rest = all.clone();
            rest.remove(missing);
            let error = open(function, &rest.into()).expect_err(missing);
            assert!(error.to_string().contains(missing), "{}: {error}", function.name);
        }
    }
}

#[tokio::test]
async fn what_a_function_does_not_list_is_refused() {
    use domain::{SessionId, TaskId, message::Message, ports::RunTask};

    for function in with_ports() {
        let env = open(function, &variables(function).into()).unwrap();
        let (task, session) = (TaskId::new("t"), SessionId::from_ulid(env.ids.ulid()));
        let refused = |permission: Permission, error: &dyn std::error::Error| {
            let message = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(
                message.contains("does not list"),
                "{} {permission:?}: {message}",
                function.name
            );
        };
        if !function.may(Permission::Queue(Lane::Control)) {
            let sent = env.queue.send(&Message::FillPool, std::time::Duration::ZERO).await;
            refused(Permission::Queue(Lane::Control), &sent.unwrap_err());
        }
        if !function.may(Permission::StartExecution) {
            refused(Permission::StartExecution, &env.workflow.start(session).await.unwrap_err());
        }
        if !function.may(Permission::ReadTasks) {
            refused(Permission::ReadTasks, &env.compute.list(None).await.unwrap_err());
        }
        if !function.may(Permission::StopTask) {
            refused(Permission::StopTask, &env.compute.stop(&task, "r").await.unwrap_err());
        }
        if !function.may(Permission::RunTask) {
            let request = RunTask {
                started_by: session.to_string(),
                client_token: "c".into(),
                image: IMAGE.into(),
                size: domain::size::Size::DEFAULT,
                network: domain::size::Network::Egress,
                spot: false,
                lifetime: std::time::Duration::from_hours(1),
            };
            refused(Permission::RunTask, &env.compute.run(&request).await.unwrap_err());
        }
        if !function.may(Permission::Shell) {
            refused(Permission::Shell, &env.shell.probe(&task).await.unwrap_err());
        }
    }
}

#[test]
fn the_api_needs_neither_a_cluster_nor_a_state_machine() {
    let api = FUNCTIONS.iter().find(|function| function.trigger == Trigger::Http).unwrap();
    let names: Vec<String> = variables(api).into_keys().collect();
    assert!(!names.iter().any(|name| name.contains("CLUSTER") || name.contains("MACHINE")));
}

#[test]
fn a_deployment_without_settings_has_the_default_limits() {
    let policy = policy(&[("EPHEMERAL_SECURITY_GROUP_EGRESS", "sg")]).unwrap();
    assert_eq!(policy.max_active_sessions, 5);
    assert_eq!(policy.starts_per_minute, std::num::NonZeroU32::new(600));
    assert_eq!(policy.default_ttl.as_secs(), 3600);
    assert_eq!(policy.max_ttl.as_secs(), 28_800);
    assert_eq!(policy.retention.as_secs(), 7 * 86_400);
    assert_eq!(policy.default_network, domain::size::Network::None);
    assert_eq!((policy.max_size, policy.max_lifetime), (handlers::MaxSize::default(), None));
    assert!(!policy.streaming && !policy.webhook_allow_private);
    let refused: Vec<_> = policy.refused_networks.into_keys().collect();
    assert_eq!(refused, [domain::size::Network::None]);
}

#[test]
fn the_default_ttl_is_at_most_the_maximum() {
    let policy = policy(&[("EPHEMERAL_MAX_TTL_SECONDS", "60")]).unwrap();
    assert_eq!((policy.default_ttl.as_secs(), policy.max_ttl.as_secs()), (60, 60));
}

#[test]
fn a_deployment_may_limit_sizes_and_lifetimes() {
    let policy = policy(&[
        ("EPHEMERAL_MAX_CPU", "1024"),
        ("EPHEMERAL_MAX_MEMORY_MIB", "4096"),
        ("EPHEMERAL_MAX_LIFETIME_SECONDS", "7200"),
    ])
    .unwrap();
    assert_eq!((policy.max_size.cpu, policy.max_size.memory_mib), (1024, 4096));
    assert_eq!(policy.max_lifetime.map(|lifetime| lifetime.as_secs()), Some(7200));
}

#[test]
fn sessions_on_instances_have_no_price_and_no_disk_of_their_own() {
    let fargate = policy(&[]).unwrap();
    assert!(fargate.pricing.is_some());
    assert_eq!(fargate.placed_within.as_secs(), 480);
    let ec2 = policy(&[("EPHEMERAL_CAPACITY", "ec2")]).unwrap();
    assert_eq!((ec2.pricing, ec2.max_size.disk_mib), (None, 20_480));
}

#[test]
fn instances_need_the_names_of_their_capacity_providers() {
    let function = with_ports().find(|function| function.may(Permission::RunTask)).unwrap();
    let mut all = variables(function);
    all.insert("EPHEMERAL_CAPACITY".to_owned(), "ec2".to_owned());
    for name in ["EPHEMERAL_CAPACITY_PROVIDER", "EPHEMERAL_CAPACITY_PROVIDER_SPOT"] {
        let error = open(function, &all.clone().into()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        all.insert(name.to_owned(), "group".to_owned());
    }
    open(function, &all.clone().into()).unwrap();
    all.insert("EPHEMERAL_ISOLATION".to_owned(), "none".to_owned());
    let error = open(function, &all.into()).unwrap_err();
    assert!(error.to_string().contains("EPHEMERAL_ISOLATION"), "{error}");
}

#[test]
fn an_invalid_value_is_named() {
    for (name, value) in [
        ("EPHEMERAL_MAX_TTL_SECONDS", "0"),
        ("EPHEMERAL_MAX_TTL_SECONDS", "28801"),
        ("EPHEMERAL_DEFAULT_TTL_SECONDS", "an hour"),
        ("EPHEMERAL_RETENTION_DAYS", "0"),
        ("EPHEMERAL_MAX_ACTIVE_SESSIONS", "-1"),
        ("EPHEMERAL_WARM", "some"),
        ("EPHEMERAL_MAX_CPU", "much"),
        ("EPHEMERAL_MAX_LIFETIME_SECONDS", "long"),
        ("EPHEMERAL_WEBHOOK_ALLOW_PRIVATE", "yes"),
        ("EPHEMERAL_ARCHITECTURE", "mips"),
        ("EPHEMERAL_ASSIGN_PUBLIC_IP", "1"),
        ("EPHEMERAL_CAPACITY", "lambda"),
        ("EPHEMERAL_PLACED_WITHIN_SECONDS", "481"),
    ] {
        let error = policy(&[(name, value)]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

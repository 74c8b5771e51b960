//! Attacks from inside of a shell, as the user of its commands.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Attack;
use crate::server::Server;

pub(super) const ATTACKS: [Attack; 8] = [
    Attack::new("escape from the mounts and namespaces", |server| {
        Box::pin(program(server, "escape", include_str!("../../programs/escape.py")))
    }),
    Attack::new("take over PID 1", |server| {
        Box::pin(program(server, "pid1", include_str!("../../programs/pid1.py")))
    }),
    Attack::new("reach the kernel behind the filter", |server| {
        Box::pin(program(server, "kernel", include_str!("../../programs/kernel.py")))
    }),
    Attack::new("read and change the host", |server| {
        Box::pin(program(server, "host", include_str!("../../programs/host.py")))
    }),
    Attack::new("run as another user", |server| Box::pin(users(server))),
    Attack::new("start in a hidden directory", |server| Box::pin(directories(server))),
    Attack::new("misuse the environment of a command", |server| Box::pin(environment(server))),
    Attack::new("use more memory than the shell has", |server| Box::pin(memory(server))),
];

async fn program(server: &Server, name: &str, program: &str) -> Result<Option<String>> {
    let mallory = server.user(name).await?;
    let session = mallory.ready().await?;
    let held = mallory.attack(&session, program).await;
    mallory.stop(&session).await?;
    held
}

/// No spelling of a user's name leads to root of the host. A server may allow root of the shell itself,
/// which is an ordinary user of the host.
async fn users(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("users").await?;
    let session = mallory.ready().await?;
    let names = [
        "root",
        "0",
        "00",
        "0x0",
        "+0",
        "-0",
        " root",
        "root ",
        "root.",
        "Root",
        "ROOT",
        "-1",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "../etc/passwd",
        "root:root",
        "0:0",
        "shelluser:root",
        "root\n",
        "root\0",
        "\u{ff10}",
        "",
    ];
    for name in names {
        let body =
            json!({"sessionId": session, "command": "id -u; cat /proc/self/uid_map", "user": name});
        let answer = mallory.post("/shell/execute", &body).await?;
        if answer.status != 202 {
            let refused = matches!(answer.status, 400 | 403);
            ensure!(refused, "user {name:?}: {} {}", answer.status, answer.body);
            continue;
        }
        let job = mallory.finished(answer.body["jobId"].as_str().unwrap_or_default()).await?;
        let output = job["stdout"]["text"].as_str().unwrap_or_default();
        let mut lines = output.lines();
        let is_root = lines.next() == Some("0");
        let of_host = lines.any(|map| map.split_whitespace().take(2).eq(["0", "0"]));
        ensure!(!is_root || (name == "root" && !of_host), "user {name:?} ran as {output:?}");
    }
    mallory.stop(&session).await?;
    Ok(None)
}

/// The working directory is entered with the rights of the command's user.
async fn directories(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("directories").await?;
    let session = mallory.ready().await?;
    let links =
        "ln -s /root r; ln -s /run/ephemeral e; ln -s /proc/1/root p; mkdir -p d; chmod 0 d";
    mallory.output_of(&session, links).await?;
    let mut directories: Vec<String> =
        ["/root", "/run/ephemeral", "/run/ephemeral/jobs", "/proc/1/root", "/proc/1/cwd"]
            .map(str::to_owned)
            .into();
    directories.extend(["r", "e", "p", "d"].map(|name| format!("/home/shelluser/{name}")));
    directories.extend((0..16).map(|fd| format!("/proc/self/fd/{fd}")));
    directories.extend(
        ["/dev/fd/4", "/proc/thread-self/fd/4", "/proc/self/task/1/cwd"].map(str::to_owned),
    );
    directories.push(format!("/{}", "a/".repeat(2000)));
    for directory in directories {
        let body = json!({"sessionId": session, "command": ["ls", "-la"], "cwd": directory});
        let answer = mallory.post("/shell/execute", &body).await?;
        if answer.status != 202 {
            ensure!(answer.status == 400, "{directory:.80}: {} {}", answer.status, answer.body);
            continue;
        }
        let job = mallory.finished(answer.body["jobId"].as_str().unwrap_or_default()).await?;
        ensure!(job["status"] != "completed", "started in {directory:.80}: {job}");
    }
    mallory.stop(&session).await?;
    Ok(None)
}

/// Variables that the loader, the shell and the runner read give no rights.
async fn environment(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("environment").await?;
    let session = mallory.ready().await?;
    let uid = mallory.output_of(&session, "id -u").await?;
    for (name, value) in [
        ("HOME", "/root"),
        ("PATH", "/tmp"),
        ("PATH", ""),
        ("LD_PRELOAD", "/tmp/x.so"),
        ("LD_LIBRARY_PATH", "/tmp"),
        ("BASH_ENV", "/root/.bashrc"),
        ("ENV", "/root/.profile"),
        ("SHELL", "/opt/ephemeral/runner"),
    ] {
        let env = json!({name: value});
        let command = json!({"command": ["/usr/bin/id", "-u"], "env": env});
        let job = mallory.run(&session, &command).await?;
        ensure!(job["stdout"]["text"] == uid.as_str(), "{name}={value}: {job}");
    }
    mallory.stop(&session).await?;
    Ok(None)
}

/// Memory of programs, files in memory and shared memory count, and only the shell itself suffers.
async fn memory(server: &Server) -> Result<Option<String>> {
    let (mallory, alice) = (server.user("memory").await?, server.user("alice").await?);
    let (session, victim) = (mallory.ready().await?, alice.ready().await?);
    let lines = [
        "python3 -c 'x = bytearray(700 << 20); print(len(x))'",
        "python3 -c 'import os; f = os.memfd_create(\"x\"); [os.write(f, bytes(1 << 20)) for _ in range(700)]; print(1)'",
        "head -c 700M /dev/zero > /dev/shm/x && echo 1",
    ];
    for line in lines {
        let job = mallory.run(&session, &json!({"command": line})).await?;
        let printed = job["stdout"]["text"].as_str().unwrap_or_default().trim() != "";
        ensure!(!printed || job["exitCode"] != 0, "{line}: {job}");
        mallory.output_of(&session, "rm -f /dev/shm/x").await?;
    }
    let answer = alice.output_of(&victim, "echo alive").await?;
    ensure!(answer == "alive\n", "another user's shell suffered: {answer}");
    mallory.stop(&session).await?;
    alice.stop(&victim).await?;
    Ok(None)
}

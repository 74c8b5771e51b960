//! An emulator for one test: on a free loopback port, with its own data.

use std::{
    env,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{behavior_version::BehaviorVersion, http::SharedHttpClient};
use aws_types::{SdkConfig, region::Region};
use tempfile::TempDir;

/// Time limit of the start, long enough for a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running emulator. Its process ends when this is dropped, and also when the test process dies.
#[derive(Debug)]
pub(crate) struct Ministack {
    port: u16,
    guard: Child,
    guard_stdin: Option<ChildStdin>,
    _dir: TempDir,
}

impl Ministack {
    /// Starts an emulator with these services (`dynamodb,sqs`). Prints a note and returns none if ministack
    /// is not installed.
    pub(crate) fn start(services: &str) -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: ministack is not installed (scripts/aws-tools installs it)");
            return None;
        };
        // Another process may take the free port before ministack binds it.
        let started = (0..5).find_map(|_| Self::try_start(&program, services));
        Some(started.expect("ministack starts"))
    }

    fn try_start(program: &Path, services: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // The guard kills ministack when its standard input is closed, which the death of this process
        // does too.
        let mut guard = Command::new("sh")
            .args([
                "-c",
                r#""$0" >ministack.log 2>&1 </dev/null & cat >/dev/null; kill $!; wait $!"#,
            ])
            .arg(program)
            .current_dir(dir.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("SERVICES", services)
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            // These services would listen on fixed ports of all addresses.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let guard_stdin = guard.stdin.take();
        let server = Self { port, guard, guard_stdin, _dir: dir };
        let started = Instant::now();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if started.elapsed() > START_TIMEOUT {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// The URL of the emulator.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The configuration of clients over this HTTP client.
    pub(crate) fn config_over(&self, http: SharedHttpClient) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint())
            .http_client(http)
            .build()
    }
}

/// An HTTP client without TLS.
pub(crate) fn plain_http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

impl Drop for Ministack {
    fn drop(&mut self) {
        drop(self.guard_stdin.take());
        let _ended = self.guard.wait();
    }
}

fn program() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = env::var_os("MINISTACK").map(PathBuf::from);
    given.or_else(|| Some(root.join("target/venv/bin/ministack"))).filter(|path| path.exists())
}

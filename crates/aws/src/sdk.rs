//! What all clients of AWS's services share.
//!
//! Made by hand of the environment that Lambda gives, not by the SDK's own chain of profiles, metadata
//! services and single sign-on: none of that is there, and what is not linked need not be loaded.

use std::{sync::OnceLock, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::{
    SdkConfig,
    region::Region,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};

use crate::variable::{BadVariable, Variables};

/// A try that takes longer is taken for lost and repeated. The slowest call is a task's start.
const ATTEMPT: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(2);

/// The region, the credentials and the endpoints of this environment. Opens nothing: connections, and the
/// certificates that they trust, come with the first call.
pub fn config(variables: &Variables) -> Result<SdkConfig, BadVariable> {
    let credentials = Credentials::new(
        variables.required("AWS_ACCESS_KEY_ID")?,
        variables.required("AWS_SECRET_ACCESS_KEY")?,
        variables.optional("AWS_SESSION_TOKEN").map(str::to_owned),
        None,
        "environment",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variables.required("AWS_REGION")?.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client())
        .timeout_config(timeouts)
        .service_config(ServiceEndpoints(variables.clone()));
    config.set_endpoint_url(variables.optional("AWS_ENDPOINT_URL").map(str::to_owned));
    Ok(config.build())
}

/// `AWS_ENDPOINT_URL_<SERVICE>`, as the SDKs read it
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>).
#[derive(Debug)]
struct ServiceEndpoints(Variables);

impl LoadServiceConfig for ServiceEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.0.optional(&format!("{}_{service}", key.env())).map(str::to_owned)
    }
}

/// One pool of connections for all clients; https by ring, http for endpoints of tests.
fn http_client() -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        connector.get_or_init(|| open(settings, components)).clone()
    })
}

fn open(settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
    let mut builder = Connector::builder().connector_settings(settings.clone());
    builder.set_sleep_impl(components.sleep_impl());
    SharedHttpConnector::new(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build())
}

//! The MCP server of one client.

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
        ServerConfig, Tool,
    },
    service::{NotificationContext, RequestContext, ServerInitializeError},
    transport::async_rw::AsyncRwTransport,
};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    api::{Api, Requests},
    error::ToolError,
    follow::Call,
    own_shell::OwnShell,
    resources,
    tools::{DEFINITIONS, Tools},
};

const INSTRUCTIONS: &str = "Commands run in disposable, isolated shells, not on the user's machine. Each \
    connection has a shell of its own, which starts at the first use and is deleted with its files at the \
    end; write results that matter somewhere else before. Commands have no network unless their shell was \
    started with one (`start_shell`). A command that takes long runs on after `run` has returned: `wait` \
    for it, `poll` it, or `cancel` it.";

/// The longest message of a client. Bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The client's messages are not those of MCP.
#[derive(Debug, thiserror::Error)]
#[error("the client's messages are not those of MCP")]
pub struct ServeError;

/// The MCP server of one client. Clones share its shell.
#[derive(Clone)]
pub struct Server {
    tools: Arc<Tools>,
    /// The versions of the protocol that are spoken.
    versions: &'static [ProtocolVersion],
}

impl Server {
    /// A server whose tools use this API. The client's own shell starts with these options, which are those
    /// of the API's start request.
    pub fn new(api: Arc<dyn Api>, own_shell: Map<String, Value>) -> Self {
        let api = Requests::new(api);
        let own = OwnShell::new(api.clone(), own_shell);
        let tools = Arc::new(Tools { api, own });
        Self { tools, versions: ProtocolVersion::KNOWN_VERSIONS }
    }

    /// The same server for a session over HTTP. Since 2026-07-28 the protocol has no sessions there, to
    /// which a shell could belong; clients fall back to the version before.
    pub(crate) fn with_sessions(self) -> Self {
        let versions = ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25);
        Self { versions, ..self }
    }

    /// Serves a client on a byte stream, one JSON-RPC message a line, until its end.
    ///
    /// # Errors
    /// If the client does not open the protocol as it must.
    pub async fn serve(
        &self,
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), ServeError> {
        let transport =
            AsyncRwTransport::new_server(input, output).with_max_line_length(MAX_MESSAGE);
        match rmcp::serve_server(self.clone(), transport).await {
            Ok(running) => running.waiting().await.map(drop).map_err(|_| ServeError),
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            // The SDK's error shows the whole message of the client.
            Err(_) => Err(ServeError),
        }
    }

    /// Stops the client's own shell.
    pub async fn close(&self) {
        self.tools.own.stop().await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let implementation = Implementation::new("ephemeral", env!("CARGO_PKG_VERSION"))
            .with_title("Disposable shells");
        ServerConfig::new(capabilities)
            .with_server_info(implementation)
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.versions)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(DEFINITIONS.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        DEFINITIONS.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (call, cancelled) = (Call::new(context.clone()), context.ct);
        let called = self.tools.call(&request.name, request.arguments, &call);
        let result = tokio::select! {
            result = called => result,
            () = cancelled.cancelled() => Some(cancelled_call()),
        };
        let unknown =
            || ErrorData::invalid_params(format!("unknown tool {:?}", request.name), None);
        result.map(CallToolResponse::from).ok_or_else(unknown)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::default())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        resources::read(&self.tools.api, &request.uri).await.map(ReadResourceResponse::from)
    }

    async fn on_initialized(&self, _: NotificationContext<RoleServer>) {}
}

/// The result for a client that no longer waits for one.
fn cancelled_call() -> CallToolResult {
    let message = "the call was cancelled; what it started runs on";
    ToolError::new("cancelled", message, "Call `list` for the ids of commands.").into_result()
}

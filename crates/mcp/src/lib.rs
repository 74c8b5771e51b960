//! An MCP server (<https://modelcontextprotocol.io>) whose tools use the HTTP API.
//!
//! [`Server`] serves one client on a byte stream; [`HttpServer`] serves the clients of many users over
//! streamable HTTP. Both have the same tools, which reach the API through the port [`Api`]: over HTTP, or
//! within the process that serves the API.
//!
//! A client has a shell of its own, which starts when a tool first needs it and ends with the client.

mod api;
mod error;
mod follow;
mod http_server;
mod output;
mod own_shell;
mod resources;
mod schema;
mod server;
mod text;
mod tools;

pub use api::{Api, UnreachableError};
pub use http_server::{HttpServer, SessionError};
pub use server::{ServeError, Server};

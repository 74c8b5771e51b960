//! Looks names up and keeps only outside addresses. The connection goes to what this gives, so a
//! name that answers differently the next time gains nothing.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// The name leads to inside addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct Forbidden;

/// Gives public addresses only.
#[derive(Debug)]
pub(super) struct Public;

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

//! Looks names up and keeps only outside addresses. The connection goes to what this gives, so a
//! name that answers differently the next time gains nothing.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// The name leads to inside addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct Forbidden;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Gives public addresses only.
pub(super) struct Public {
    look_up: Arc<dyn Fn(String) -> Found + Send + Sync>,
    is_public: fn(IpAddr) -> bool,
}

impl Public {
    #[cfg(test)]
    pub(super) fn new(
        look_up: impl Fn(String) -> Found + Send + Sync + 'static,
        is_public: fn(IpAddr) -> bool,
    ) -> Self {
        Self { look_up: Arc::new(look_up), is_public }
    }
}

impl Default for Public {
    /// Asks this system's resolver.
    fn default() -> Self {
        let look_up = |name: String| -> Found {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        };
        Self { look_up: Arc::new(look_up), is_public }
    }
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, is_public) = ((self.look_up)(name.as_str().to_owned()), self.is_public);
        Box::pin(async move {
            let mut public = found.await?;
            public.retain(|at| is_public(at.ip()));
            if public.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public").finish_non_exhaustive()
    }
}

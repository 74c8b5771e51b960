//! Resolves names to public addresses only. The connection is made to an address that was checked, so
//! DNS rebinding has no effect.

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

/// The name resolves to no public address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct ForbiddenAddressError;

/// The lookup of a name under way.
type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A resolver that returns public addresses only.
pub(super) struct PublicResolver {
    lookup: Arc<dyn Fn(String) -> Lookup + Send + Sync>,
    is_public: fn(IpAddr) -> bool,
}

impl PublicResolver {
    #[cfg(test)]
    pub(super) fn new(
        lookup: impl Fn(String) -> Lookup + Send + Sync + 'static,
        is_public: fn(IpAddr) -> bool,
    ) -> Self {
        Self { lookup: Arc::new(lookup), is_public }
    }
}

impl Default for PublicResolver {
    /// Uses the resolver of this system.
    fn default() -> Self {
        let lookup = |name: String| -> Lookup {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        };
        Self { lookup: Arc::new(lookup), is_public }
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, is_public) = ((self.lookup)(name.as_str().to_owned()), self.is_public);
        Box::pin(async move {
            let mut public = found.await?;
            public.retain(|at| is_public(at.ip()));
            if public.is_empty() {
                return Err(ForbiddenAddressError.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for PublicResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicResolver").finish_non_exhaustive()
    }
}

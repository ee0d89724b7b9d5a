//! Wrapping a backend with behaviour.

use std::fmt;

use crate::backend::{SecretBackend, SharedBackend, shared};

/// Wraps a backend and gives one back.
///
/// State lives in the layer, wrappers are cheap: one layer put around two backends shares its state between them.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Wraps `inner`.
    fn layer(&self, inner: SharedBackend) -> SharedBackend;
}

/// Puts layers around a backend; the first of the list becomes the innermost.
#[must_use]
pub fn stack(backend: impl SecretBackend, layers: &[&dyn Layer]) -> SharedBackend {
    layers.iter().fold(shared(backend), |inner, layer| layer.layer(inner))
}

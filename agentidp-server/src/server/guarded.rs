//! An answer that holds something until it was handed over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// A body that is dropped when the connection has taken it, or has given it up; and `held` with it.
pub(super) struct Guarded<G> {
    body: Full<Bytes>,
    _held: G,
}

impl<G> Guarded<G> {
    pub(super) fn new(body: Full<Bytes>, held: G) -> Self {
        Self { body, _held: held }
    }
}

impl<G: Unpin> Body for Guarded<G> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

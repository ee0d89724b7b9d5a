//! What is left of a body whose request was answered early.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;
use tokio::runtime::Handle;

use crate::places::Seat;

/// How much of the rest is read, in bytes: four whole bodies of ours. One that is known to be longer ends its connection.
const READ: u64 = 256 * 1024;

/// How long a connection is kept for the rest.
const TIME: Duration = Duration::from_secs(2);

/// A body of HTTP/1.1. A socket that is closed over unread bytes is reset, and a client that is still sending may lose the answer by
/// it. So what a handler leaves is read and dropped while the answer goes out, without a place, and within bounds.
pub(super) struct Unread {
    /// None once it has ended.
    body: Option<Incoming>,
    seat: Arc<Seat>,
    /// The client sends the body when it is asked to, which reading it does.
    waits: bool,
    /// Set when the connection cannot go on after the answer.
    closes: Arc<AtomicBool>,
}

impl Unread {
    pub(super) fn wrap(request: Request<Incoming>, seat: &Arc<Seat>, closes: &Arc<AtomicBool>) -> Request<Self> {
        let waits = request.headers().contains_key(EXPECT);
        request.map(|body| Self { body: Some(body), seat: Arc::clone(seat), waits, closes: Arc::clone(closes) })
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let is_short = body.size_hint().exact().is_some_and(|rest| rest <= READ);
        if self.waits || !is_short {
            self.closes.store(true, Ordering::Relaxed);
        }
        if let (false, Ok(runtime)) = (self.waits, Handle::try_current()) {
            let seat = Arc::clone(&self.seat);
            seat.give_back();
            runtime.spawn(async move {
                let _ = seat.unless_evicted(tokio::time::timeout(TIME, read(body))).await;
            });
        }
    }
}

/// Reads up to the end. What is too long stays unread: the client cannot go on sending, and has its answer.
async fn read(mut body: Incoming) {
    let mut left = READ;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return std::future::pending().await,
        }
    }
}

//! One connection: HTTP/1.1, or HTTP/2 where the client begins with it (prior knowledge, RFC 9113 §3.3).

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::bounds::Bounds;
use super::connections::Listed;
use super::guarded::Guarded;
use super::head_deadline::HeadDeadline;
use super::requests::Requests;
use super::unread::Unread;
use crate::app::App;
use crate::error::ApiError;
use crate::http::{self, respond, respond::Response};
use crate::places::{Activity, Places, Seat};
use crate::rate_limit::network;
use crate::routes;
use crate::write_deadline::WriteDeadline;

/// Longest request head in bytes; beyond it the answer is 431. A bearer token of ours has under 1 KiB.
const MAX_HEADER_SIZE: u16 = 16 * 1024;

/// What a short answer has at most, in bytes: an error, a token, one agent.
const SHORT: u64 = 2048;

/// Requests of one HTTP/2 connection at a time: the least that RFC 9113 §6.5.2 recommends.
const MAX_STREAMS: u32 = 100;

/// What a client may send of a body before it is read, on one stream and on all of a connection: a whole body of ours, and
/// four. hyper would take a megabyte of each.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two looks at a preface that comes in parts. No client does that, and nothing wakes whoever waits for the rest.
const PREFACE_PAUSE: Duration = Duration::from_millis(20);

/// How long a connection that has to go may take to hand over the refusal of its requests.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) listed: Listed,
    /// No new requests from now on.
    pub(super) draining: CancellationToken,
    /// Room for requests, of all connections together.
    pub(super) places: Places,
}

/// What each request of a connection needs.
#[derive(Clone)]
struct Context {
    app: Arc<App>,
    peer: SocketAddr,
    places: Places,
    activity: Arc<Activity>,
}

impl Connection {
    pub(super) async fn serve(self, bounds: Bounds, app: Arc<App>) {
        let Self { stream, peer, permit, listed, draining, places } = self;
        let activity = Arc::clone(&listed.activity);
        // Answers are written at once; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let begins = tokio::time::timeout(bounds.header_timeout, begins_with_http2(&stream));
        let begins = draining.run_until_cancelled(begins);
        let is_http2 = match activity.evicted.run_until_cancelled(begins).await.flatten() {
            Some(Ok(Ok(is_http2))) => is_http2,
            Some(Ok(Err(error))) => return debug!(%error, "a connection ended before its first request"),
            Some(Err(_)) => return debug!("a connection was closed: it sent nothing"),
            None => return,
        };
        let stream = WriteDeadline::new(stream, bounds.write_timeout);
        let context = Context { app, peer, places, activity: Arc::clone(&activity) };
        let served = async {
            if is_http2 {
                serve_http2(stream, bounds, context, draining).await
            } else {
                serve_http1(stream, bounds, context, draining).await
            }
        };
        match until_evicted(served, &activity).await {
            Some(Err(error)) => debug!(%error, "a connection ended early"),
            Some(Ok(())) => {}
            None => debug!("a connection was closed: there are too many, and the server did no work on it"),
        }
        drop((listed, permit));
    }
}

/// Runs a connection to its end, or until it has to go. One with requests may hand over their refusals first.
async fn until_evicted<T>(served: impl Future<Output = T>, activity: &Activity) -> Option<T> {
    let mut served = pin!(served);
    tokio::select! {
        served = served.as_mut() => return Some(served),
        () = activity.evicted.cancelled() => {}
    }
    if activity.is_idle() {
        return None;
    }
    tokio::time::timeout(FAREWELL, served).await.ok()
}

/// Whether the client begins with the preface of HTTP/2. Takes nothing from the stream.
async fn begins_with_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == PREFACE.len() || !PREFACE.starts_with(&seen[..count]) || count == 0 {
            return Ok(seen[..count] == *PREFACE);
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

async fn serve_http1(
    stream: WriteDeadline<TcpStream>,
    bounds: Bounds,
    context: Context,
    draining: CancellationToken,
) -> hyper::Result<()> {
    let (fresh, head_came) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicBool>::default());
    let (is_fresh, comes) = (Arc::clone(&fresh), Arc::clone(&head_came));
    // Of the one request that is in progress.
    let closes = Arc::<AtomicBool>::default();
    let limits = [bounds.idle_timeout, bounds.header_timeout];
    let stream = HeadDeadline::new(stream, limits, Arc::clone(&context.activity), head_came);
    let service = service_fn(move |request| {
        let (context, is_first) = (context.clone(), is_fresh.swap(false, Ordering::Relaxed));
        let closes = Arc::clone(&closes);
        comes.store(true, Ordering::Relaxed);
        async move {
            // One request of a connection for each turn: those that were sent at once would all be answered before any other
            // connection has its turn.
            if !is_first {
                tokio::task::yield_now().await;
            }
            let seat = context.seat(request.headers());
            let mut answer = answer(&context, Unread::wrap(request, &seat, &closes), &seat).await;
            let is_over = closes.swap(false, Ordering::Relaxed);
            // The client is to come back elsewhere, and never to send into a connection that is just being closed.
            if is_over || context.app.stopping.is_cancelled() || context.activity.evicted.is_cancelled() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        // The stream has limits of its own, one for a head and one for the time before.
        .header_read_timeout(None)
        .max_header_size(usize::from(MAX_HEADER_SIZE))
        // A client that has sent its request may close its half, and is answered.
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let turn = poll_fn(|cx| {
        fresh.store(true, Ordering::Relaxed);
        connection.as_mut().poll(cx)
    });
    tokio::select! {
        served = turn => return served,
        () = draining.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Requests share [`Bounds::connections`] places among all connections, so that many streams on few connections
/// take no more of the server than as many connections would. A long answer keeps its place until the connection has taken it; a short
/// one waits without, or clients that take none would have the places of all others.
/// A client that takes none (it grants no window, which no time limit on writes would see) loses its connection. A stream
/// that is reset frees its place at once; one that is opened and reset over and over ends its connection (hyper's and h2's
/// own limits against rapid resets are on).
async fn serve_http2(
    stream: WriteDeadline<TcpStream>,
    bounds: Bounds,
    context: Context,
    draining: CancellationToken,
) -> hyper::Result<()> {
    let settings = &context.app.settings;
    // The longest that all of it may take: the body, the answer, and the client to read it.
    let longest = settings.body_timeout + settings.request_timeout + bounds.write_timeout;
    let requests = Arc::new(Requests::default());
    let all = Arc::clone(&requests);
    let service = service_fn(move |request| {
        let (context, in_progress) = (context.clone(), all.begin());
        async move {
            let seat = context.seat(request.headers());
            let answer = answer(&context, request, &seat).await;
            if answer.body().size_hint().upper().is_some_and(|bytes| bytes <= SHORT) {
                seat.give_back();
            }
            Ok::<_, Infallible>(answer.map(|body| Guarded::new(body, (in_progress, seat))))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::from(MAX_HEADER_SIZE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // A peer that is gone is noticed while a request of it is waited for.
        .keep_alive_interval(bounds.header_timeout)
        .keep_alive_timeout(bounds.header_timeout)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = draining.cancelled() => connection.as_mut().graceful_shutdown(),
        () = requests.idle_for(bounds.header_timeout, bounds.idle_timeout) => connection.as_mut().graceful_shutdown(),
        () = requests.overdue(longest) => return Ok(()),
    }
    // Requests in progress finish. A client that keeps its end open after that is cut off.
    tokio::time::timeout(longest, connection).await.unwrap_or(Ok(()))
}

impl Context {
    /// Behind a trusted proxy, of the client that it asks for: all of them share its connections.
    fn seat(&self, headers: &HeaderMap) -> Arc<Seat> {
        let sender = http::sender(headers, self.peer, &self.app.settings.trusted_proxies);
        Seat::new(&self.places, network(sender), &self.activity)
    }
}

/// A panic is a fault of ours: the client is told so, and the connection and the process live on.
async fn answer<B>(context: &Context, mut request: Request<B>, seat: &Arc<Seat>) -> Response
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Sync + 'static,
{
    request.extensions_mut().insert(Arc::clone(seat));
    let handled = routes::handle_from_wire(&context.app, request, context.peer);
    AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
        // The panic hook has logged where.
        respond::error(&ApiError::internal("a handler panicked"))
    })
}

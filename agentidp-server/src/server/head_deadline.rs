//! A stream whose client may rest between requests, and may not dawdle within a request's head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::places::Activity;

/// Fails a read between two requests when the client has been silent for `idle`, or has begun a head and not ended it within
/// `head`. hyper has one limit for both. What came along with the request before counts as no beginning: that client may take
/// as long as one that is silent.
#[derive(Debug)]
pub(super) struct HeadDeadline<S> {
    stream: S,
    idle: Duration,
    head: Duration,
    activity: Arc<Activity>,
    /// Set by the service for each head that is complete.
    head_came: Arc<AtomicBool>,
    awaited: Awaited,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// A request is in progress.
    Nothing,
    /// The first byte of a head.
    Head,
    /// The rest of one.
    Rest,
}

impl<S> HeadDeadline<S> {
    pub(super) fn new(
        stream: S,
        [idle, head]: [Duration; 2],
        activity: Arc<Activity>,
        head_came: Arc<AtomicBool>,
    ) -> Self {
        Self { stream, idle, head, activity, head_came, awaited: Awaited::Nothing, timer: Box::pin(sleep(idle)) }
    }

    /// Notes what is awaited after a read, and until when.
    fn note(&mut self, has_come: bool) {
        if self.head_came.swap(false, Ordering::Relaxed) {
            self.awaited = Awaited::Nothing;
        }
        let awaited = match self.awaited {
            _ if !self.activity.is_idle() => Awaited::Nothing,
            Awaited::Rest => Awaited::Rest,
            _ if has_come => Awaited::Rest,
            _ => Awaited::Head,
        };
        if awaited == self.awaited {
            return;
        }
        self.awaited = awaited;
        match awaited {
            Awaited::Nothing => {}
            Awaited::Head => self.timer.as_mut().reset(Instant::now() + self.idle),
            Awaited::Rest => self.timer.as_mut().reset(Instant::now() + self.head),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadDeadline<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.note(read.is_ready());
        if read.is_ready() || this.awaited == Awaited::Nothing {
            return read;
        }
        ready!(this.timer.as_mut().poll(cx));
        let why = if this.awaited == Awaited::Head { "the client sends nothing" } else { "the head takes too long" };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadDeadline<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::places::{Places, Seat};

    const IDLE: Duration = Duration::from_secs(75);
    const HEAD: Duration = Duration::from_secs(10);

    struct Ends {
        near: HeadDeadline<DuplexStream>,
        far: DuplexStream,
        activity: Arc<Activity>,
        head_came: Arc<AtomicBool>,
    }

    fn ends() -> Ends {
        let (near, far) = duplex(64);
        let (activity, head_came) = (Activity::new(), Arc::<AtomicBool>::default());
        let near = HeadDeadline::new(near, [IDLE, HEAD], Arc::clone(&activity), Arc::clone(&head_came));
        Ends { near, far, activity, head_came }
    }

    /// How long a read waits before it fails.
    async fn patience(near: &mut HeadDeadline<DuplexStream>) -> Duration {
        let start = Instant::now();
        assert_eq!(near.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_be_silent_for_longer_than_it_may_dawdle() {
        let mut silent = ends();
        assert_eq!(patience(&mut silent.near).await, IDLE);

        let mut slow = ends();
        let mut far = slow.far;
        let trickle = tokio::spawn(async move {
            sleep(IDLE - Duration::from_secs(1)).await;
            while far.write_u8(b'a').await.is_ok() {
                sleep(HEAD / 4).await;
            }
        });
        slow.near.read_u8().await.unwrap();
        let start = Instant::now();
        while slow.near.read_u8().await.is_ok() {}
        assert_eq!(start.elapsed(), HEAD, "a byte now and then does not help");
        drop(slow.near);
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn after_each_request_the_client_may_rest_again() {
        let mut ends = ends();
        let places = Places::new(1);
        for has_body in [true, false, true, false] {
            ends.far.write_u8(b'a').await.unwrap();
            ends.near.read_u8().await.unwrap();
            ends.head_came.store(true, Ordering::Relaxed);
            let seat = Seat::new(&places, [192, 0, 2, 1].into(), &ends.activity);
            if has_body {
                let long = tokio::time::timeout(IDLE * 2, ends.near.read_u8()).await;
                assert!(long.is_err(), "the body and the answer have limits of their own");
            }
            drop(seat);
            let rest = tokio::time::timeout(IDLE - Duration::from_secs(1), ends.near.read_u8()).await;
            assert!(rest.is_err(), "it rests");
        }
        assert_eq!(patience(&mut ends.near).await, Duration::from_secs(1));
    }
}

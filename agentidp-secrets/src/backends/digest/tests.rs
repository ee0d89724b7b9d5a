//! Tests of the frame over a digester that begins and ends when told.

use std::pin::Pin;
use std::sync::mpsc::{Receiver as Gate, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::backend::Custody;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::record::BackendId;

/// Says how many digests a computation is about when it begins, and lets it end when told. A digest is a group's
/// number; one without a number has none.
#[derive(Debug)]
struct Gated {
    info: BackendInfo,
    begun: UnboundedSender<usize>,
    released: Mutex<Gate<()>>,
}

impl Gated {
    fn pass(&self, digests: usize) {
        self.begun.send(digests).unwrap();
        self.released.lock().unwrap().recv().expect("the gate panics when the test drops its end");
    }
}

impl Digester for Gated {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn digest(&self, _key: &CredentialKey, _secret: &ClientSecret) -> Result<String> {
        self.pass(1);
        Ok("digest".to_owned())
    }

    fn verify(&self, _key: &CredentialKey, _digest: &str, _candidate: &ClientSecret) -> Result<Verdict> {
        self.pass(1);
        Ok(Verdict::Match)
    }

    fn group(&self, digest: &str) -> Option<u32> {
        digest.parse().ok()
    }

    /// A match for whoever has its own digest as the secret.
    fn verify_group(&self, group: u32, attempts: &[Attempt<'_>]) -> Vec<Result<Verdict>> {
        self.pass(attempts.len());
        assert!(attempts.iter().all(|attempt| self.group(attempt.digest) == Some(group)));
        let matches = |attempt: &Attempt<'_>| attempt.key.client_id().as_str() == attempt.candidate.expose_secret();
        attempts.iter().map(|it| Ok(if matches(it) { Verdict::Match } else { Verdict::Mismatch })).collect()
    }
}

struct Fixture {
    backend: DigestBackend<Gated>,
    begins: UnboundedReceiver<usize>,
    release: Sender<()>,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new(threads: usize, waiting: usize) -> Self {
        let (begun, begins) = unbounded_channel();
        let (release, released) = channel();
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record).with_max_secret_len(72).with_lanes(4);
        let digester = Gated { info, begun, released: Mutex::new(released) };
        let limits = DigestLimits::default()
            .max_concurrency(threads)
            .max_waiting(waiting)
            .max_wait(Duration::from_secs(1))
            .clock(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { backend: DigestBackend::with_limits(digester, limits).unwrap(), begins, release, clock }
    }
}

fn key(client: &str) -> CredentialKey {
    CredentialKey::parse(client, "credential").unwrap()
}

/// Polls once, so that the call is queued.
fn queued<F: Future>(call: F) -> Pin<Box<F>> {
    let mut call = Box::pin(call);
    assert!((&mut call).now_or_never().is_none(), "nothing has released the work");
    call
}

#[tokio::test]
async fn work_that_has_begun_keeps_its_thread_until_it_ends_and_what_waits_can_be_given_up() {
    let Fixture { backend, mut begins, release, .. } = Fixture::new(1, 1);
    let (key, secret) = (key("a"), ClientSecret::from("secret"));
    let begun = queued(backend.store(&key, &secret));
    assert_eq!(begins.recv().await, Some(1));
    drop(begun);
    let waiting = queued(backend.store(&key, &secret));
    let load = backend.load();
    assert_eq!((load.waiting(), load.busy()), (1, 1));
    let refused = backend.store(&key, &secret).await.unwrap_err();
    assert_eq!((refused.kind(), refused.operation()), (ErrorKind::Throttled, Some(Operation::Store)));
    drop(waiting);
    let last = queued(backend.store(&key, &secret));
    assert!(begins.try_recv().is_err(), "the abandoned work still runs");
    release.send(()).unwrap();
    assert_eq!(begins.recv().await, Some(1));
    release.send(()).unwrap();
    last.await.unwrap();
    assert!(begins.try_recv().is_err(), "the call that was given up must not have begun");
}

#[tokio::test]
async fn a_free_thread_takes_what_waits_and_can_run_together() {
    let Fixture { backend, mut begins, release, .. } = Fixture::new(1, 10);
    let (clients, secret) = (["a", "b", "c", "d", "e", "f"].map(key), ClientSecret::from("c"));
    let records = ["10", "10", "10", "10", "12", "none"].map(|digest| StoredSecret::new(BackendId::BCRYPT, digest));
    let lone = queued(backend.verify(&clients[0], &records[0], &secret));
    assert_eq!(begins.recv().await, Some(1), "at once");
    let mut calls = Vec::new();
    for (client, record) in clients.iter().zip(&records) {
        calls.push(queued(backend.verify(client, record, &secret)));
    }
    for together in [4, 1, 1] {
        release.send(()).unwrap();
        assert_eq!(begins.recv().await, Some(together));
    }
    release.send(()).unwrap();
    assert_eq!(lone.await.unwrap(), Verdict::Match);
    let verdicts: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let expected = [false, false, true, false, true, true];
    assert_eq!(verdicts.iter().map(|verdict| verdict.is_match()).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn whoever_waits_too_long_is_refused() {
    let Fixture { backend, mut begins, release, clock } = Fixture::new(1, 10);
    let (key, secret) = (key("a"), ClientSecret::from("secret"));
    let first = queued(backend.store(&key, &secret));
    begins.recv().await;
    let late = queued(backend.store(&key, &secret));
    clock.advance(Duration::from_nanos(1));
    let in_time = queued(backend.store(&key, &secret));
    clock.advance(Duration::from_secs(1));
    release.send(()).unwrap();
    release.send(()).unwrap();
    first.await.unwrap();
    let refused = late.await.unwrap_err();
    assert_eq!((refused.kind(), refused.backend()), (ErrorKind::Throttled, Some(&BackendId::BCRYPT)));
    in_time.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_never_computed() {
    let Fixture { backend, mut begins, .. } = Fixture::new(1, 1);
    let (key, record) = (key("a"), StoredSecret::new(BackendId::BCRYPT, "digest"));
    for text in [String::new(), "nul\0".to_owned(), "a".repeat(73)] {
        let secret = ClientSecret::from(text);
        assert_eq!(backend.store(&key, &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
        assert_eq!(backend.rotate(&key, &record, &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
        assert_eq!(backend.verify(&key, &record, &secret).await.unwrap(), Verdict::Mismatch);
    }
    assert!(begins.try_recv().is_err());
}

#[tokio::test]
async fn a_record_of_another_backend_is_malformed() {
    let Fixture { backend, .. } = Fixture::new(1, 1);
    let (key, secret) = (key("a"), ClientSecret::from("secret"));
    let foreign = StoredSecret::new(BackendId::ARGON2, "digest");
    assert_eq!(backend.verify(&key, &foreign, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(backend.rotate(&key, &foreign, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(backend.revoke(&key, &foreign).await.unwrap_err().kind(), ErrorKind::Malformed);
    backend.revoke(&key, &StoredSecret::new(BackendId::BCRYPT, "digest")).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_threads_live_on() {
    let Fixture { backend, release, .. } = Fixture::new(1, 1);
    drop(release);
    for _ in 0..2 {
        let error = backend.store(&key("a"), &ClientSecret::from("secret")).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Internal, Some(Operation::Store)));
    }
}

#[tokio::test]
async fn the_threads_end_with_the_backend() {
    let Fixture { backend, mut begins, release, .. } = Fixture::new(2, 1);
    let (key, secret) = (key("a"), ClientSecret::from("secret"));
    let abandoned = queued(backend.store(&key, &secret));
    begins.recv().await;
    drop(abandoned);
    drop(backend);
    release.send(()).unwrap();
    // The last thread drops the digester, and with it the sender.
    assert_eq!(begins.recv().await, None);
}

#[test]
fn no_threads_and_no_places_are_no_settings() {
    for limits in [DigestLimits::default().max_concurrency(0), DigestLimits::default().max_waiting(0)] {
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record);
        let digester = Gated { info, begun: unbounded_channel().0, released: Mutex::new(channel().1) };
        let error = DigestBackend::with_limits(digester, limits).unwrap_err();
        assert_eq!((error.kind(), error.backend()), (ErrorKind::InvalidConfig, Some(&BackendId::BCRYPT)));
    }
}

#[tokio::test]
async fn each_thread_begins_with_what_it_is_told_to_and_survives_it() {
    let (told, threads) = channel();
    let limits = DigestLimits::default().max_concurrency(1).on_thread_start(move || {
        told.send(std::thread::current().name().map(str::to_owned)).unwrap();
        panic!("the caller's");
    });
    let (begun, mut begins) = unbounded_channel();
    let (release, released) = channel();
    let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record);
    let backend = DigestBackend::with_limits(Gated { info, begun, released: Mutex::new(released) }, limits).unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    for _ in 0..2 {
        release.send(()).unwrap();
        backend.store(&key, &"secret".into()).await.unwrap();
        assert_eq!(begins.recv().await, Some(1));
    }
    drop(backend);
    assert_eq!(threads.iter().collect::<Vec<_>>(), [Some("bcrypt-digest".to_owned())]);
}

/// A backend with one thread that rests for so long after each run, and what it begins.
fn resting(rest: Duration) -> (DigestBackend<Gated>, UnboundedReceiver<usize>, Sender<()>) {
    let (begun, begins) = unbounded_channel();
    let (release, released) = channel();
    let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record);
    let limits = DigestLimits::default().max_concurrency(1).pace(move |_| rest);
    let gated = Gated { info, begun, released: Mutex::new(released) };
    (DigestBackend::with_limits(gated, limits).unwrap(), begins, release)
}

#[tokio::test]
async fn a_thread_rests_after_its_answer_and_before_its_next_run() {
    let rest = Duration::from_millis(20);
    let (backend, _begins, release) = resting(rest);
    let (key, secret) = (key("a"), ClientSecret::from("secret"));
    let started = SystemClock.instant();
    for _ in 0..2 {
        release.send(()).unwrap();
        backend.store(&key, &secret).await.unwrap();
    }
    assert!(SystemClock.instant() - started >= rest);
}

#[tokio::test]
async fn a_thread_rests_no_longer_than_its_backend_lives() {
    let (backend, mut begins, release) = resting(Duration::MAX);
    release.send(()).unwrap();
    backend.store(&key("a"), &ClientSecret::from("secret")).await.unwrap();
    assert_eq!(begins.recv().await, Some(1));
    drop(backend);
    // The thread drops the digester at its end, and with it the sender.
    assert_eq!(begins.recv().await, None);
}

//! The queue, and the task that empties it.
//!
//! There is no timer: while one batch is being written the next one gathers, so a lone event is written at once and many
//! share a commit exactly when commits are what they wait for. The task lives while there is something to write.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::mode::AuditMode;
use crate::domain::AuditEvent;
use crate::repo::{AuditRepo, QueryObserver, RepoError, Result};

/// Events accepted and not yet written, at most; an event beyond them waits. It is also what `AUDIT_MODE=async` can lose:
/// at about 1 KiB each, 4 MiB.
pub(super) const ROOM: usize = 4096;

/// Events of one statement. A commit costs about as much as inserting some dozens; many more would only make those wait
/// longer that came first.
const MOST_EVENTS: usize = 256;

/// How long `AUDIT_MODE=async` lets events gather: nobody waits for them, and one statement for many costs less than many
/// for one.
const GATHERING: Duration = Duration::from_millis(5);

/// How long `AUDIT_MODE=async` leaves a database alone that is out of reach.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stop may take to write what is left: as long as one try to reach the database.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Events on their way into the trail.
pub(super) struct Batcher(Arc<Inner>);

struct Inner {
    audit: Arc<dyn AuditRepo>,
    mode: AuditMode,
    observer: Arc<dyn QueryObserver>,
    room: Arc<Semaphore>,
    queue: Mutex<Queue>,
    emptied: Notify,
    /// What is left is written without delay.
    stopping: CancellationToken,
    /// What cannot be written from now on is given up.
    stopped: CancellationToken,
}

#[derive(Default)]
struct Queue {
    /// `None` is what only waits for a commit.
    events: VecDeque<(Option<AuditEvent>, Place)>,
    /// Whether the task is there.
    is_written: bool,
}

/// An event's place in the queue: taken until it was written or given up.
struct Place {
    /// Who waits for it; none when nobody does.
    answer: Option<oneshot::Sender<Result<()>>>,
    _room: OwnedSemaphorePermit,
}

/// What goes into one statement.
#[derive(Default)]
struct Batch {
    events: Vec<AuditEvent>,
    places: Vec<Place>,
    /// Of those who wait for the commit without an event.
    beside: Vec<Place>,
}

impl Batcher {
    pub(super) fn new(audit: Arc<dyn AuditRepo>, mode: AuditMode, observer: Arc<dyn QueryObserver>) -> Self {
        Self(Arc::new(Inner {
            audit,
            mode,
            observer,
            room: Arc::new(Semaphore::new(ROOM)),
            queue: Mutex::default(),
            emptied: Notify::new(),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
        }))
    }

    /// Hands over an event, and in sync mode waits until it is durable. An event that was handed over is written also when
    /// its caller goes away.
    pub(super) async fn record(&self, event: &AuditEvent) -> Result<()> {
        self.hand_over(Some(event.clone())).await
    }

    /// Takes as long as handing over an event, and records nothing.
    pub(super) async fn pretend(&self) -> Result<()> {
        match self.0.mode {
            AuditMode::Sync => self.hand_over(None).await,
            // Nobody waits for an event either.
            AuditMode::Async => Ok(()),
        }
    }

    async fn hand_over(&self, event: Option<AuditEvent>) -> Result<()> {
        let room = Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| given_up())?;
        match self.0.mode {
            AuditMode::Sync => {
                let (answer, written) = oneshot::channel();
                self.0.enqueue(event, Place { answer: Some(answer), _room: room });
                written.await.unwrap_or_else(|_| Err(given_up()))
            }
            AuditMode::Async => {
                self.0.enqueue(event, Place { answer: None, _room: room });
                Ok(())
            }
        }
    }

    /// Writes what is left, for a limited time; what the database has not taken by then is given up, and so are events that
    /// come later.
    pub(super) async fn stop(&self) {
        self.0.stopping.cancel();
        if tokio::time::timeout(FLUSH_TIMEOUT, self.0.empty()).await.is_err() {
            self.0.stopped.cancel();
            self.0.empty().await;
        }
        self.0.stopped.cancel();
    }
}

impl Inner {
    fn enqueue(self: &Arc<Self>, event: Option<AuditEvent>, place: Place) {
        let mut queue = self.queue();
        queue.events.push_back((event, place));
        if !queue.is_written {
            queue.is_written = true;
            tokio::spawn(Arc::clone(self).write_all());
        }
    }

    async fn write_all(self: Arc<Self>) {
        loop {
            self.gather().await;
            let Some(batch) = self.next() else { return };
            self.write(batch).await;
        }
    }

    /// Lets more events come in where that delays nobody: in sync mode those of the tasks that are ready to run, which on a
    /// busy server are many, and on an idle one none; in async mode those of some milliseconds.
    async fn gather(&self) {
        match self.mode {
            AuditMode::Sync => tokio::task::yield_now().await,
            AuditMode::Async => {
                let few = self.queue().events.len() < MOST_EVENTS;
                if few && !self.stopping.is_cancelled() {
                    let _ = self.stopping.run_until_cancelled(tokio::time::sleep(GATHERING)).await;
                }
            }
        }
    }

    /// Takes what waits, up to a statement's worth. None: nothing does, and the task ends.
    fn next(&self) -> Option<Batch> {
        let mut queue = self.queue();
        if queue.events.is_empty() {
            queue.is_written = false;
            self.emptied.notify_waiters();
            return None;
        }
        let (mut batch, events) = (Batch::default(), queue.events.len().min(MOST_EVENTS));
        for (event, place) in queue.events.drain(..events) {
            match event {
                Some(event) => {
                    batch.events.push(event);
                    batch.places.push(place);
                }
                None => batch.beside.push(place),
            }
        }
        Some(batch)
    }

    /// Writes a batch and answers all who wait for it. One in which the database refuses something is written event by
    /// event, so that each answers for its own.
    async fn write(&self, Batch { events, places, beside }: Batch) {
        let (mut left, mut outcome) = (vec![(events, places)], Ok(()));
        while let Some((events, places)) = left.pop() {
            match self.append(&events).await {
                Ok(()) => answer(places, &Ok(())),
                Err(RepoError::Refused { .. }) if events.len() > 1 => {
                    left.extend(events.into_iter().zip(places).map(|(event, place)| (vec![event], vec![place])));
                }
                Err(refused @ RepoError::Refused { .. }) => self.give_up(places, refused),
                Err(outage) if self.mode == AuditMode::Async && !self.stopped.is_cancelled() => {
                    warn!(error = %chain(&outage), "audit events could not be written: they are kept and tried again");
                    left.push((events, places));
                    let _ = self.stopped.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
                // Others would fail as well, each after as long a wait.
                Err(outage) => {
                    outcome = Err(outage.again());
                    let places = left.drain(..).flat_map(|(_, places)| places).chain(places).collect();
                    self.give_up(places, outage);
                }
            }
        }
        answer(beside, &outcome);
    }

    /// Appends the events. A panic on the way is an outage: whoever waits must hear of it.
    async fn append(&self, events: &[AuditEvent]) -> Result<()> {
        let write = async {
            match events {
                [] => self.audit.pretend().await,
                events => self.audit.append_all(events).await,
            }
        };
        let append = AssertUnwindSafe(write).catch_unwind();
        match self.stopped.run_until_cancelled(append).await {
            Some(Ok(written)) => written,
            Some(Err(_panic)) => Err(RepoError::unavailable("audit.append", "the driver panicked")),
            None => Err(given_up()),
        }
    }

    /// Those who wait get the error. Events for which nobody waits are lost: that is said and counted.
    fn give_up(&self, places: Vec<Place>, error: RepoError) {
        let lost = places.iter().filter(|place| place.answer.is_none()).count() as u64;
        if lost > 0 {
            error!(lost, error = %chain(&error), "audit events are lost: the database did not take them");
            self.observer.audit_events_lost(lost);
        }
        answer(places, &Err(error));
    }

    /// Waits until nothing is left to be written.
    async fn empty(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if !self.queue().is_written {
                return;
            }
            emptied.await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock leaves it half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(places: Vec<Place>, outcome: &Result<()>) {
    for waiting in places.into_iter().filter_map(|place| place.answer) {
        // Who has gone away does not hear it.
        let _ = waiting.send(outcome.as_ref().map(drop).map_err(RepoError::again));
    }
}

fn given_up() -> RepoError {
    RepoError::unavailable("audit.append", "the server is stopping")
}

fn chain(error: &RepoError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

//! What a ledger asks: to listen, and to acknowledge.

use std::fmt;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::lease::{LEASE, MARGIN, Memory};
use super::list::{List, Listed, Tables};
use super::listener;
use super::questions::Questions;
use super::wait::{Next, Obeyed, Wait};

/// This process among the replicas on its database. Cheap to clone; clones are the same replica.
#[derive(Clone)]
pub struct Replicas(Arc<List>);

impl Replicas {
    /// A process that keeps no rows until it [listens](Self::listen). The table `agentidp_replicas` must be there.
    #[must_use]
    pub fn new(pool: PgPool, tables: Tables) -> Self {
        Self(Arc::new(List { pool, tables, questions: Questions::default() }))
    }

    /// Listens for as long as it is polled, connecting again whenever it has to, and keeps the lease of `memory` alive. Tells whether
    /// changes are heard of: from now on, or no longer and why.
    pub async fn listen(
        &self,
        options: PgConnectOptions,
        memory: Arc<dyn Memory>,
        tell: impl Fn(Result<(), &str>) + Send + Sync,
    ) {
        listener::run(&self.0, options, &*memory, &tell).await;
    }

    /// Returns when no replica decides by rows that are older than a change which was committed before this is called.
    pub async fn acknowledge(&self) -> Obeyed {
        let mut seat = self.0.questions.open();
        let asked = timeout(LEASE + MARGIN, self.0.ask(seat.own(), seat.number())).await;
        let Ok(listed) = asked else { return Obeyed::Waited };
        let began = Instant::now();
        let Listed { replicas, beside_old } =
            listed.unwrap_or_else(|_| Listed { replicas: Vec::new(), beside_old: true });
        let mut wait = Wait::new(replicas, beside_old, seat.is_heard());
        loop {
            match wait.next(began.elapsed()) {
                Next::Obeyed(obeyed) => return obeyed,
                Next::Until(end) if seat.is_heard() => match timeout_at(began + end, seat.answer()).await {
                    Ok(Some(replica)) => wait.answered(&replica),
                    Ok(None) => wait.is_deaf(),
                    Err(_) => {}
                },
                Next::Until(end) => sleep_until(began + end).await,
                Next::TakeOff(silent) => {
                    let silent_count = silent.len();
                    // Where it takes longer, the next change waits for them again.
                    let _ = timeout(LEASE + MARGIN, self.0.take_off(silent)).await;
                    return Obeyed::TookOff(silent_count);
                }
            }
        }
    }

    /// Takes this process off the list, once it has stopped to listen.
    pub async fn leave(&self) {
        if let Some(own) = self.0.questions.own() {
            // Otherwise the next change waits for this lease.
            let _ = timeout(LEASE + MARGIN, self.0.remove(&[own])).await;
        }
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").finish_non_exhaustive()
    }
}

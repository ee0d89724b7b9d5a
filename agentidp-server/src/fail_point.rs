//! Calls of the lifecycle to the database at which a test has the process die, stand still, or lose the answer to a commit.
//!
//! `AGENTIDP_FAIL_POINT` is `FAULT N`: the fault happens at the N-th beginning or end of a transaction, and for `lose` and
//! `undo` at the N-th commit. `die-within N` counts every call. Without the feature `fail-points`, which no release has, all of
//! this is nothing.

#[cfg(not(feature = "fail-points"))]
pub(crate) use self::none::{boundary, fate, within};
#[cfg(feature = "fail-points")]
pub(crate) use self::some::{boundary, fate, within};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "fail-points"), expect(dead_code, reason = "only tests lose answers"))]
pub(crate) enum Fate {
    /// It is carried out, and its answer arrives.
    Plain,
    /// It is carried out, and its answer is lost.
    Lost,
    /// It is not carried out, and nobody hears of it.
    Undone,
}

#[cfg(not(feature = "fail-points"))]
mod none {
    use super::Fate;

    pub(crate) const fn within() {}

    pub(crate) fn boundary() -> std::future::Ready<()> {
        std::future::ready(())
    }

    pub(crate) const fn fate() -> Fate {
        Fate::Plain
    }
}

#[cfg(feature = "fail-points")]
mod some {
    use std::path::Path;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::Fate;

    static ASKED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var_os("AGENTIDP_FAIL_POINT")?.into_string().ok()?;
        let (fault, number) = text.split_once(' ')?;
        Some((fault.to_owned(), number.parse().ok()?))
    });

    /// A paused process goes on when this file is gone from its folder.
    const PAUSED: &str = "paused-at-a-fail-point";

    static CALLS: AtomicU64 = AtomicU64::new(0);
    static BOUNDARIES: AtomicU64 = AtomicU64::new(0);
    static COMMITS: AtomicU64 = AtomicU64::new(0);

    /// Counts this call, and says whether it is the one that `fault` was asked for at.
    fn is_here(fault: &str, counter: &AtomicU64) -> bool {
        let Some((asked, number)) = &*ASKED else { return false };
        asked == fault && counter.fetch_add(1, Ordering::SeqCst) + 1 == *number
    }

    /// Ends the process without a destructor or a flush, as a kill would.
    fn die() -> ! {
        tracing::error!("dying at a fail point");
        std::process::abort()
    }

    /// A call of the lifecycle to the database.
    pub(crate) fn within() {
        if is_here("die-within", &CALLS) {
            die();
        }
    }

    /// Before a transaction begins, or after it was committed.
    pub(crate) async fn boundary() {
        within();
        if is_here("die", &BOUNDARIES) {
            die();
        }
        if is_here("pause", &BOUNDARIES) && std::fs::write(PAUSED, "").is_ok() {
            tracing::error!("standing still at a fail point");
            while Path::new(PAUSED).exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// What becomes of the commit that is about to be carried out.
    pub(crate) fn fate() -> Fate {
        let fate = if is_here("lose", &COMMITS) {
            Fate::Lost
        } else if is_here("undo", &COMMITS) {
            Fate::Undone
        } else {
            return Fate::Plain;
        };
        tracing::error!(?fate, "losing the answer to a commit at a fail point");
        fate
    }
}

//! What the accept loop keeps within.

use std::time::Duration;

/// Bounds of the accept loop.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "data, built from the configuration and by tests")]
pub struct Bounds {
    /// Requests answered at a time; more wait for a place. Also how many connections are kept, beside a few in reserve for
    /// probes; beyond them those go on which the server does no work, first those of the peer that has the most.
    pub connections: usize,
    /// How long a request's head may take to arrive from its first byte on, and that byte on a connection without a request yet.
    pub header_timeout: Duration,
    /// How long a connection may stay idle after a request.
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// How long the server goes on as before once it was asked to stop, all the while saying that it is not ready, so that
    /// a load balancer turns elsewhere first.
    pub delay: Duration,
    /// How long requests in progress may hold up a shutdown.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        // 900: a process has 1024 file descriptors on many systems, and database, Vault and log need some of them.
        Self {
            connections: 900,
            header_timeout: seconds(10),
            // Longer than the 60 seconds after which many load balancers let an idle connection go: it is theirs to close, or a
            // request may meet our end.
            idle_timeout: seconds(75),
            write_timeout: seconds(30),
            delay: Duration::ZERO,
            drain: seconds(10),
        }
    }
}

//! The accept loop: bounded connections, bounded waiting, and a shutdown that lets requests in progress finish.

mod bounds;
mod connection;
mod connections;
mod guarded;
mod head_deadline;
mod requests;
mod unread;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::connection::Connection;
use self::connections::Connections;
use crate::app::App;
use crate::places::Places;
use crate::rate_limit::network;
use crate::workers;

pub use self::bounds::Bounds;

/// How long to leave the listener alone after it failed, which it does when file descriptors run out.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(200);

/// Connections beside those that [`Bounds::connections`] are kept: while all places are taken, `/ready`, `/health` and
/// `/metrics` are asked on these. Few enough for the 1024 files that many systems give a process.
const RESERVE: usize = 48;

/// Connections that have to go, and are still handing over a refusal.
const LEAVING: usize = 16;

/// The longest that a stop waits for a database to note when secrets were last used.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Serves `app` on `listener`, with the background work, until `shutdown` completes. Then it is no longer ready, and after
/// [`Bounds::delay`] it accepts no more, lets requests in progress finish for at most [`Bounds::drain`], and closes the
/// database.
///
/// # Errors
/// When the listener has no address, that is, never listened. Failures to accept are waited out.
pub async fn run(
    bounds: Bounds,
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    info!(address = %listener.local_addr()?, "serving");
    let draining = CancellationToken::new();
    // Whoever connects first is told the truth. Both are bounded.
    tokio::join!(workers::dependencies::database_round(&app), workers::dependencies::vault_round(&app));
    let workers = workers::start(&app, &draining);
    let listed = Connections::new(bounds.connections.saturating_add(RESERVE));
    let permits = Arc::new(Semaphore::new(bounds.connections.saturating_add(RESERVE + LEAVING)));
    let places = Places::new(bounds.connections);
    let (open, waiting) = (Arc::clone(&listed), places.clone());
    app.metrics.connections(move || open.len(), move || waiting.waiting());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(async {
        shutdown.await;
        info!(delay_ms = bounds.delay.as_millis() as u64, "asked to stop: not ready any more");
        app.stopping.cancel();
        tokio::time::sleep(bounds.delay).await;
    });
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_) = connections.join_next() => {}
            (stream, peer, permit) = accept(&listener, &permits) => {
                let (listed, evicted) = listed.list(network(peer.ip().to_canonical()));
                if evicted {
                    app.metrics.connection_evicted();
                }
                let (draining, places) = (draining.clone(), places.clone());
                let connection = Connection { stream, peer, permit, listed, draining, places };
                connections.spawn(connection.serve(bounds, Arc::clone(&app)));
            }
        }
    }
    // From here on the system refuses new connections, so that a balancer turns elsewhere.
    drop(listener);
    info!(connections = connections.len(), "shutting down");
    draining.cancel();
    drain(connections, workers, bounds.drain).await;
    // Those that were answered since the worker has written the others.
    if tokio::time::timeout(LAST_WRITE, app.life().write_uses()).await.is_err() {
        warn!("when secrets were last used is not written for the last minute: the database did not answer");
    }
    app.repos.database.close().await;
    info!("stopped");
    Ok(())
}

/// The next connection, once there is room for it. Safe to drop: nothing that was accepted is lost.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            // Nobody closes the semaphore.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_the_clients(&error) => debug!(%error, "a client left before it was accepted"),
            Err(error) => {
                warn!(%error, "cannot accept connections: if this persists, raise the limit of open files");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn drain(mut connections: JoinSet<()>, mut workers: JoinSet<()>, deadline: Duration) {
    let finished = async {
        while connections.join_next().await.is_some() {}
        while workers.join_next().await.is_some() {}
    };
    if tokio::time::timeout(deadline, finished).await.is_err() {
        warn!(connections = connections.len(), "requests in progress were cut: they took longer than SHUTDOWN_TIMEOUT");
    }
    connections.shutdown().await;
    workers.shutdown().await;
}

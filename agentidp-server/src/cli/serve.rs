//! `serve`: what the server is for.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;
use tokio::net::TcpSocket;
use tracing::{info, warn};

use super::deletions::watch_time;
use super::stop_signal::stop_signal;
use super::terminal::print;
use crate::app::App;
use crate::config::Config;
use crate::domain::Page;
use crate::repo::AgentFilter;
use crate::server::{self, Bounds};
use crate::welcome::Welcome;
use crate::wiring::{self, StartError};

/// Connections that the system keeps until they are accepted, as tokio has it by default.
const BACKLOG: u32 = 1024;

/// Serves until the process is asked to stop.
pub(super) async fn serve(config: &Config) -> Result<ExitCode, StartError> {
    let failed = |what| move |source| StartError::System { what, source };
    let address = config.listen.address();
    let refused = |source| StartError::Listen { address, source };
    // Ahead of everything that needs the port: PORT=0 takes a free one, and the issuer may be made of it.
    let socket = bind(address).map_err(refused)?;
    let address = socket.local_addr().map_err(failed("the address could not be read back"))?;
    let config = &config.bound_to(address.port());
    let app = wiring::build(config, Arc::new(SystemClock::default()), watch_time()).await?;
    if let Some(warning) = config.issuer_warning() {
        warn!("{warning}");
    }
    if let Some(advice) = config.selector_advice() {
        info!("{advice}");
    }
    let listener = socket.listen(BACKLOG).map_err(refused)?;
    // Ahead of the line that says we listen, so that whoever waits for it may stop us.
    let stop = stop_signal().map_err(failed("signals cannot be listened for"))?;
    print(format_args!("listening on http://{address}"))?;
    if config.storage.database_url.is_none() && is_empty(&app).await {
        print(Welcome::new(config, address))?;
    }
    let bounds = Bounds {
        connections: config.http.max_connections,
        idle_timeout: config.http.idle_timeout,
        delay: config.http.shutdown_delay,
        drain: config.http.shutdown_timeout,
        ..Bounds::default()
    };
    server::run(bounds, listener, app, stop).await.map_err(failed("the server stopped"))?;
    Ok(ExitCode::SUCCESS)
}

/// A socket that has the address, and refuses connections until it listens.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again must not wait until the connections of the one before have timed out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Whether there has never been an agent.
async fn is_empty(app: &App) -> bool {
    match app.repos.agents.list(&AgentFilter::default(), Page::new(1, 1)).await {
        Ok(agents) => agents.total == 0,
        Err(error) => {
            warn!(%error, "the agents could not be counted");
            false
        }
    }
}

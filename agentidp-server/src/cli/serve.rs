//! `serve`: what the server is for.

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;
use tokio::net::TcpListener;
use tracing::warn;

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

/// Serves until the process is asked to stop.
pub(super) async fn serve(config: &Config) -> Result<ExitCode, StartError> {
    let failed = |what| move |source| StartError::System { what, source };
    let app = wiring::build(config, Arc::new(SystemClock::default()), watch_time()).await?;
    let address = config.listen.address();
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr().map_err(failed("the address could not be read back"))?;
    // Ahead of the line that says we listen, so that whoever waits for it may stop us.
    let stop = stop_signal().map_err(failed("signals cannot be listened for"))?;
    print(format_args!("listening on http://{address}"))?;
    if config.storage.database_url.is_none() && is_empty(&app).await {
        print(Welcome::new(config, address))?;
    }
    let bounds = Bounds {
        connections: config.http.max_connections,
        delay: config.http.shutdown_delay,
        drain: config.http.shutdown_timeout,
        ..Bounds::default()
    };
    server::run(bounds, listener, app, stop).await.map_err(failed("the server stopped"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether there has never been an agent.
async fn is_empty(app: &App) -> bool {
    match app.repos.agents.list(&AgentFilter::default(), Page { page: 1, limit: 1 }).await {
        Ok(agents) => agents.total == 0,
        Err(error) => {
            warn!(%error, "the agents could not be counted");
            false
        }
    }
}

//! Whether requests should be sent to this server, apart from whether it is well.
//!
//! `/health` tells people and alerts how things are, Vault included. `/ready` answers a load balancer's one question, so it
//! looks only at what keeps this server from serving anybody: another replica may then be better off. Both answer from what
//! a background task found in the last seconds.

use hyper::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::http::Response;
use crate::http::respond::json;

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    /// `yes`, or `stopping` from the stop signal on.
    serving: &'static str,
    /// `connected`, `refuses_writes` when it answers and takes no writes, or `disconnected`.
    database: &'static str,
    /// `current`, `behind`, or `unknown` while the database does not say.
    migrations: &'static str,
}

/// `GET /ready`. 200 when requests can be served; else 503, and which check says no. Vault is none of them: without it
/// digests are still served, and every replica would be as badly off. Nor are the signing keys: a server that has none does
/// not start.
pub(super) fn check(app: &App) -> Response {
    let stopping = app.stopping.is_cancelled();
    let database = app.dependencies.database(app.clock.instant());
    let ready = !stopping && database.writes && database.current == Some(true);
    let answer = Ready {
        status: if ready { "ready" } else { "unready" },
        checks: Checks {
            serving: if stopping { "stopping" } else { "yes" },
            database: match (database.answers, database.writes) {
                (true, true) => "connected",
                (true, false) => "refuses_writes",
                (false, _) => "disconnected",
            },
            migrations: match database.current {
                Some(true) => "current",
                Some(false) => "behind",
                None => "unknown",
            },
        },
    };
    json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &answer)
}

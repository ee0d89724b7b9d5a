//! The documented names and labels.

use agentidp_secrets::ErrorKind;

use super::*;
use crate::domain::Outcome;
use crate::repo::{QueryObserver as _, RowCacheOutcome, Waiting};

#[test]
fn the_documented_names_and_labels_are_rendered() {
    let metrics = Metrics::new();
    metrics.token_issued(Outcome::Success);
    metrics.agent_registered(Outcome::Failure);
    metrics.http_request("GET", "/health", 200, Duration::from_millis(3));
    metrics.rate_limited();
    metrics.audit_events_lost(3);
    metrics.row_cache(RowCacheOutcome::Hit);
    metrics.listener(true);
    metrics.verifies(&BackendId::VAULT_KV2);
    metrics.verified(&BackendId::BCRYPT, Verified::Failed(ErrorKind::Throttled), Duration::from_millis(70));
    metrics.token_refused("expired");
    metrics.purge_backlog(Waiting { due: 2, later: 1 });
    metrics.connections(|| 7, || 0);
    metrics.observe("agents.find", Duration::from_millis(2));
    let text = metrics.render();
    for line in [
        "agentidp_tokens_issued_total{outcome=\"success\"} 1",
        "agentidp_tokens_issued_total{outcome=\"failure\"} 0",
        "agentidp_agents_registered_total{outcome=\"failure\"} 1",
        "agentidp_http_requests_total{method=\"GET\",path=\"/health\",status_code=\"200\"} 1",
        "agentidp_http_request_duration_seconds_bucket{method=\"GET\",path=\"/health\",le=\"0.005\"} 1",
        "agentidp_http_request_duration_seconds_count{method=\"GET\",path=\"/health\"} 1",
        "agentidp_rate_limit_rejections_total 1",
        "agentidp_audit_events_lost_total 3",
        "agentidp_row_cache_total{outcome=\"hit\"} 1",
        "agentidp_listener_up 1",
        "agentidp_verifications_total{backend=\"vault-kv2\",outcome=\"match\"} 0",
        "agentidp_verifications_total{backend=\"bcrypt\",outcome=\"throttled\"} 1",
        "agentidp_verification_duration_seconds_bucket{backend=\"bcrypt\",le=\"0.1\"} 1",
        "agentidp_tokens_refused_total{cause=\"expired\"} 1",
        "agentidp_tokens_refused_total{cause=\"not_yet_valid\"} 0",
        "agentidp_purge_backlog{state=\"due\"} 2",
        "agentidp_connections 7",
        "agentidp_http_requests_total{method=\"POST\",path=\"/api/v1/token\",status_code=\"500\"} 0",
        "agentidp_db_query_duration_seconds_bucket{operation=\"agents.find\",le=\"0.001\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn two_servers_in_one_process_do_not_mix() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.rate_limited();
    assert!(other.render().contains("agentidp_rate_limit_rejections_total 0"));
}

/// Without turns the stranger's text is the fifty-first.
#[tokio::test]
async fn a_scraper_has_its_turn_beside_an_address_that_asks_without_end() {
    let metrics = Metrics::new();
    let [flood, scraper] = [1, 2].map(|number| IpAddr::from([192, 0, 2, number]));
    let served = Arc::new(Mutex::new(Vec::new()));
    let ask = |address| {
        let (metrics, served) = (metrics.clone(), Arc::clone(&served));
        async move {
            let _turn = metrics.turn(address).await;
            tokio::task::yield_now().await;
            locked(&served).push(address);
        }
    };
    let asked = std::iter::repeat_n(flood, 50).chain([scraper]);
    futures_util::future::join_all(asked.map(ask)).await;
    let place = locked(&served).iter().position(|address| *address == scraper);
    assert!(place.is_some_and(|place| place <= 2), "{place:?}");
}

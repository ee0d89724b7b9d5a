//! A rotation after which the secret before works for some time (contract §9).

use std::time::Duration;

use agentidp_secrets::testkit::FaultLayer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::{Reply, Site, use_vault};
use crate::support::{self, bao::Mount};

async fn in_vault() -> (Site, Mount) {
    let mount = support::bao().fresh_mount(2).await;
    (Site::vault(&mount, &FaultLayer::new()).await, mount)
}

async fn rotate(site: &Site, agent: Uuid, credential: Uuid, body: Value) -> Reply {
    site.call("POST", &format!("/agents/{agent}/credentials/{credential}/rotate"), body).await
}

async fn end_previous(site: &Site, agent: Uuid, credential: Uuid) -> Reply {
    site.call("DELETE", &format!("/agents/{agent}/credentials/{credential}/previous"), Value::Null).await
}

/// What the list of an agent's only credential shows.
async fn shown(site: &Site, agent: Uuid) -> Value {
    site.get(&format!("/agents/{agent}/credentials")).await.json()["data"][0]["previousExpiresAt"].clone()
}

async fn is_accepted(site: &Site, agent: Uuid, secret: &str) -> bool {
    let reply = site.grant(agent, secret).await;
    assert!(reply.status == 200 || reply.refusal() == (401, "invalid_client".to_owned()), "{reply:?}");
    reply.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_work_until_the_overlap_ends_by_itself() {
    let (vaulted, _mount) = in_vault().await;
    for site in [Site::bcrypt().await, Site::build_on_postgres(|_| {}).await, vaulted] {
        let agent = site.agent("a@agents.example").await;
        let (credential, old) = site.credential(agent).await;
        assert_eq!(shown(&site, agent).await, Value::Null);
        let reply = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await;
        let until = site.app.now().plus(Duration::from_secs(60)).to_string();
        assert_eq!((reply.status, &reply.json()["previousExpiresAt"]), (200, &json!(until)), "{reply:?}");
        assert_eq!(shown(&site, agent).await, until);

        site.clock.advance(Duration::from_millis(59_999));
        assert!(is_accepted(&site, agent, &old).await && is_accepted(&site, agent, &reply.secret()).await);
        site.clock.advance(Duration::from_millis(1));
        assert!(!is_accepted(&site, agent, &old).await, "its time is over");
        assert!(is_accepted(&site, agent, &reply.secret()).await);
        assert_eq!(shown(&site, agent).await, Value::Null, "what does not count is not shown");
        assert_eq!(end_previous(&site, agent, credential).await.failure(), (409, "NO_PREVIOUS_SECRET".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_move_to_vault_keep_the_overlap() {
    let mount = support::bao().fresh_mount(2).await;
    let mut site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, digest) = site.credential(agent).await;
    site.change(|app| use_vault(app, &mount, &FaultLayer::new()));
    let moved = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();

    let site = site.again(site.app.repos.clone(), |app| use_vault(app, &mount, &FaultLayer::new()));
    assert!(is_accepted(&site, agent, &digest).await && is_accepted(&site, agent, &moved).await);
    site.clock.advance(Duration::from_secs(60));
    assert!(!is_accepted(&site, agent, &digest).await && is_accepted(&site, agent, &moved).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_rotation_ends_the_previous_secret_of_the_one_before() {
    let (vaulted, _mount) = in_vault().await;
    for site in [Site::bcrypt().await, vaulted] {
        let agent = site.agent("a@agents.example").await;
        let (credential, first) = site.credential(agent).await;
        let second = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
        let third = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
        let accepted = [
            is_accepted(&site, agent, &first).await,
            is_accepted(&site, agent, &second).await,
            is_accepted(&site, agent, &third).await,
        ];
        assert_eq!(accepted, [false, true, true]);
        let fourth = site.rotate(agent, credential).await.secret();
        assert!(!is_accepted(&site, agent, &third).await, "without an overlap the old secret ends at once");
        assert!(is_accepted(&site, agent, &fourth).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_is_ended_early_once_and_on_the_trail() {
    let (vaulted, _mount) = in_vault().await;
    for site in [Site::bcrypt().await, Site::build_on_postgres(|_| {}).await, vaulted] {
        let agent = site.agent("a@agents.example").await;
        let (credential, old) = site.credential(agent).await;
        assert_eq!(end_previous(&site, agent, credential).await.failure(), (409, "NO_PREVIOUS_SECRET".to_owned()));
        let new = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
        site.tick();

        let stranger = site.agent("b@agents.example").await;
        let path = format!("/agents/{agent}/credentials/{credential}/previous");
        let refused = site.send(&site.token(stranger), "DELETE", &path, "").await;
        assert_eq!(refused.failure(), (403, "FORBIDDEN".to_owned()), "an agent manages its own credentials only");
        assert_eq!(site.call("POST", &path, Value::Null).await.status, 405);
        assert!(is_accepted(&site, agent, &old).await);

        assert_eq!(end_previous(&site, agent, credential).await.failure(), (409, "PREVIOUS_SECRET_IN_USE".to_owned()));
        for unclear in ["force=yes", "Force=true", "force=true&force=true"] {
            let refused = site.call("DELETE", &format!("{path}?{unclear}"), Value::Null).await;
            assert_eq!(refused.failure().0, 400, "{unclear}");
        }
        assert!(is_accepted(&site, agent, &old).await, "nothing has ended");
        assert_eq!(site.call("DELETE", &format!("{path}?force=true"), Value::Null).await.status, 204);
        assert!(!is_accepted(&site, agent, &old).await && is_accepted(&site, agent, &new).await);
        assert_eq!(end_previous(&site, agent, credential).await.failure(), (409, "NO_PREVIOUS_SECRET".to_owned()));

        let events = site.get(&format!("/audit?agentId={agent}&action=credential.rotated")).await.json();
        assert_eq!(events["total"], 2, "{events}");
        assert_eq!(events["data"][0]["metadata"]["ended"], "previous", "{events}");
        assert_eq!(events["data"][0]["metadata"]["credentialId"], credential.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_the_credential_ends_both_secrets() {
    let (site, mount) = in_vault().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, old) = site.credential(agent).await;
    let new = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
    assert_eq!(site.revoke(agent, credential).await.status, 204);
    assert!(!is_accepted(&site, agent, &old).await && !is_accepted(&site, agent, &new).await);
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    assert!(support::bao().read_root(&path).await.is_none(), "Vault has forgotten both");
    let gone = (409, "CREDENTIAL_ALREADY_REVOKED".to_owned());
    assert_eq!(end_previous(&site, agent, credential).await.failure(), gone);
    assert_eq!(end_previous(&site, agent, Uuid::new_v4()).await.failure().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_that_cannot_be_is_refused_and_rotates_nothing() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, secret) = site.credential(agent).await;
    let end = site.app.now().plus(Duration::from_secs(60)).to_string();
    for body in [
        json!({ "overlapSeconds": -1 }),
        json!({ "overlapSeconds": 1.5 }),
        json!({ "overlapSeconds": "60" }),
        json!({ "overlapSeconds": 7 * 86_400 + 1 }),
        json!({ "overlapSeconds": 61, "expiresAt": end }),
    ] {
        assert_eq!(rotate(&site, agent, credential, body.clone()).await.fields(), ["overlapSeconds"], "{body}");
    }
    let misspelt = json!({ "overlap_seconds": 60 });
    assert_eq!(rotate(&site, agent, credential, misspelt).await.failure().0, 400);
    assert!(is_accepted(&site, agent, &secret).await, "nothing was rotated");
    let reply = rotate(&site, agent, credential, json!({ "overlapSeconds": 60, "expiresAt": end })).await;
    assert_eq!((reply.status, &reply.json()["previousExpiresAt"]), (200, &json!(end)), "as long as the credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_secret_that_vault_no_longer_has_matches_nothing() {
    let (site, mount) = in_vault().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, old) = site.credential(agent).await;
    let new = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().destroy(&path, 1).await;
    assert!(is_accepted(&site, agent, &new).await);
    for wrong in ["wrong", &old] {
        assert!(!is_accepted(&site, agent, wrong).await, "a mismatch, and no outage");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_secret_works_while_vault_no_longer_has_the_present_one() {
    let (site, mount) = in_vault().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, old) = site.credential(agent).await;
    let new = rotate(&site, agent, credential, json!({ "overlapSeconds": 60 })).await.secret();
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().destroy(&path, 2).await;
    assert!(is_accepted(&site, agent, &old).await);
    for other in ["wrong", &new] {
        assert_eq!(site.grant(agent, other).await.status, 500, "it may be the present one: never called wrong");
    }
    let third = site.rotate(agent, credential).await.secret();
    assert!(is_accepted(&site, agent, &third).await && !is_accepted(&site, agent, &old).await);
}

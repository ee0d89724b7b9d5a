//! Credentials.

use std::cmp::Reverse;

use agentidp_server::domain::{AgentStatus, CredentialStatus, Page};
use uuid::Uuid;

use super::*;

on_both!(
    a_credential_reads_back_equal_for_its_client_only,
    lists_are_newest_first_and_of_one_client,
    authentication_sees_what_may_be_used,
);

async fn a_credential_reads_back_equal_for_its_client_only(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    for secret in [digest("a"), vaulted("secret/data/a", 3)] {
        let credential = Credential { expires_at: Some(later(60)), ..credential(agent.agent_id, secret) };
        rows::put(&db.repos, &credential).await;
        assert_eq!(db.credential_now(&credential).await, credential);
        assert_eq!(db.repos.credentials.find(other.agent_id, credential.credential_id).await.unwrap(), None);
    }
}

async fn lists_are_newest_first_and_of_one_client(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    db.credential(&other, digest("x")).await;
    let mut expected = Vec::new();
    for number in 0..5u64 {
        let credential = Credential { created_at: later(number / 2), ..credential(agent.agent_id, digest("a")) };
        rows::put(&db.repos, &credential).await;
        expected.push(credential);
    }
    expected.sort_by_key(|credential| Reverse((credential.created_at, credential.credential_id)));
    let mut listed = Vec::new();
    for page in 1..=3 {
        let paged = db.repos.credentials.list(agent.agent_id, None, Page::new(page, 2)).await.unwrap();
        assert_eq!(paged.total, 5);
        listed.extend(paged.data);
    }
    assert_eq!(listed, expected);

    db.end(&listed[0], later(9)).await;
    for (status, total) in [(CredentialStatus::Active, 4), (CredentialStatus::Revoked, 1)] {
        let paged = db.repos.credentials.list(agent.agent_id, Some(status), ALL).await.unwrap();
        assert_eq!(paged.total, total);
        assert!(paged.data.iter().all(|credential| credential.status == status));
    }
}

async fn authentication_sees_what_may_be_used(db: Database) {
    assert!(db.repos.credentials.authenticate(Uuid::new_v4(), now()).await.unwrap().is_none());
    let agent = db.agent().await;
    let known = db.repos.credentials.authenticate(agent.agent_id, now()).await.unwrap().unwrap();
    assert_eq!((known.may_authenticate(), known.len()), (true, 0));

    let mut usable = Vec::new();
    for (number, expires_at) in [(0, None), (1, Some(later(60))), (2, Some(later(61)))] {
        let secret = digest(&number.to_string());
        let credential = Credential { created_at: later(number), expires_at, ..credential(agent.agent_id, secret) };
        rows::put(&db.repos, &credential).await;
        usable.insert(0, credential);
    }
    let ended = db.credential(&agent, digest("ended")).await;
    db.end(&ended, now()).await;

    let at = async |at| db.repos.credentials.authenticate(agent.agent_id, at).await.unwrap().unwrap();
    let expected = |usable: &[Credential]| -> Vec<_> {
        let row = |credential: &Credential| (credential.to_row().unwrap().key, credential.secret.to_secrets().unwrap());
        usable.iter().map(row).collect()
    };
    assert_eq!(at(later(59)).await.candidates(), expected(&usable));
    usable.retain(|credential| credential.expires_at != Some(later(60)));
    assert_eq!(at(later(60)).await.candidates(), expected(&usable), "it ends at its expiry, not after it");

    db.replace(&changed(&agent, AgentStatus::Suspended)).await;
    let known = at(now()).await;
    assert_eq!((known.may_authenticate(), known.len()), (false, 3));
}

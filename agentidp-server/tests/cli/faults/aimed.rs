//! Faults that aim at one credential: failing commits, races, late calls. The credentials are an agent's of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use tokio::sync::RwLockWriteGuard;

use super::account::{Account, Change, Entry, TOLD};
use super::driver::{Driver, nothing_was_done, secret, text};
use super::field::Field;
use super::tally::Counts;
use super::{now, say};
use crate::support::process::{pause, until};

/// How many versions Vault keeps of a place, and how many rotations in a row get no commit there.
const FAILING: [(u64, usize); 2] = [(10, 12), (2, 3)];

/// Rotations of one credential at once.
const RACING: usize = 40;

/// Credentials of earlier faults that stay active.
const MOST: usize = 4;

impl Driver {
    /// Rotations whose commit fails, many in a row (F2): the secret that was shown last works throughout, and so does the next
    /// rotation.
    pub(super) async fn rotate_in_vain(&self, field: &Field) {
        let mut account = self.aimed_at().write().await;
        for (kept, times) in FAILING {
            let mut entry = self.make(&mut account, 0).await;
            field.keep_versions(&account.agent, &entry.id, kept).await;
            field.cut_commits(true).await;
            for number in 0..times {
                let answer = self.api(number % 2, Method::POST, &rotation(&account, &entry)).await;
                let status = answer.map(|(status, _)| status);
                assert!(status.is_none_or(|status| status >= 500), "{entry:?}: {status:?} without a commit");
                self.must_count(field, &account.agent, &entry).await;
            }
            field.cut_commits(false).await;
            self.rotate_on(&account.agent, &mut entry, 1).await;
            self.must_count(field, &account.agent, &entry).await;
            account.credentials.push(entry);
        }
    }

    /// Rotations of one credential at both servers at once (F2): one of the secrets that were shown works, and no other.
    pub(super) async fn race(&self, field: &Field) {
        let mut account = self.aimed_at().write().await;
        for kept in [10, 2] {
            let mut entry = self.make(&mut account, 1).await;
            field.keep_versions(&account.agent, &entry.id, kept).await;
            let path = rotation(&account, &entry);
            let answers = join_all((0..RACING).map(|number| self.api(number % 2, Method::POST, &path))).await;
            let shown: Vec<String> = answers
                .iter()
                .flatten()
                .filter(|(status, _)| *status == 200)
                .map(|(_, body)| text(body, "clientSecret"))
                .collect();
            assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "{entry:?}: shown twice");
            assert!(!shown.is_empty(), "{entry:?}: {:?}", answers.first());
            let begun = now();
            let mut accepted = self.accepted(&account.agent, &shown).await;
            while accepted.len() != 1 && now() - begun < TOLD {
                accepted = self.accepted(&account.agent, &shown).await;
            }
            let last = accepted.iter().next().copied();
            let counts = self.counts();
            match accepted.len() {
                0 => counts.note(&counts.wrongly_refused, format!("none of {} that {entry:?} was given", shown.len())),
                1 => {}
                more => counts.note(&counts.wrongly_accepted, format!("{more} secrets of {entry:?}")),
            }
            let others = (0..shown.len()).filter(|number| Some(*number) != last).chain(last);
            for number in others {
                entry.rotated(Some(shown[number].clone()), 1);
            }
            if last.is_some() {
                self.must_count(field, &account.agent, &entry).await;
            }
            account.credentials.push(entry);
        }
    }

    /// A rotation, a creation and a deletion by one server that Vault carries out after their caller gave up (F3), the
    /// other server's rotation meanwhile. Further calls are held up as the load makes them.
    pub(super) async fn change_late(&self, field: &Field) {
        let mut account = self.aimed_at().write().await;
        let (mut rotated, mut revoked) = (self.make(&mut account, 1).await, self.make(&mut account, 1).await);
        let credentials = format!("/api/v1/agents/{}/credentials", account.agent);
        let (rotate, revoke) = (rotation(&account, &rotated), format!("{credentials}/{}", revoked.id));
        field.proxies.hold_up(true);
        let (rotation, creation, revocation) = tokio::join!(
            self.api(0, Method::POST, &rotate),
            self.api(0, Method::POST, &credentials),
            self.api(0, Method::DELETE, &revoke),
        );
        until("calls to be held up", async || {
            field.proxies.held_up("POST") >= 2 && field.proxies.held_up("DELETE") >= 1
        })
        .await;
        field.proxies.hold_up(false);
        assert!(rotation.is_none_or(|(status, _)| status >= 500), "{rotated:?}: a rotation without Vault");
        assert!(creation.as_ref().is_none_or(|(status, _)| *status >= 500), "a creation without Vault");
        account.creations += usize::from(!nothing_was_done(&creation));
        match revocation {
            Some((204, _)) => revoked.revoked(0),
            _ => revoked.uncertain = Some(Change::Revocation),
        }
        self.must_count(field, &account.agent, &rotated).await;
        self.rotate_on(&account.agent, &mut rotated, 1).await;
        self.must_count(field, &account.agent, &rotated).await;
        account.credentials.extend([rotated, revoked]);
    }

    /// Vault carries out what was held up, each call so long after it was made.
    pub(super) async fn carry_out(&self, field: &Field, age: Duration) {
        let (all, done) = field.proxies.carry_out(age).await;
        say(&format!("                      {all} calls came {} s late, {done} were carried out", age.as_secs()));
        let account = self.aimed_at().read().await;
        for entry in account.credentials.iter().rev().filter(|entry| entry.current.is_some()).take(2) {
            self.must_count(field, &account.agent, entry).await;
        }
    }

    async fn make(&self, account: &mut RwLockWriteGuard<'_, Account>, server: usize) -> Entry {
        while let Some(old) = account.credentials.iter().rev().filter(|entry| !entry.ended).nth(MOST) {
            let path = format!("/api/v1/agents/{}/credentials/{}", account.agent, old.id);
            let id = old.id.clone();
            let revocation = self.api(server, Method::DELETE, &path).await;
            let old = account.credentials.iter_mut().find(|entry| entry.id == id).unwrap();
            match revocation {
                Some((204, _)) => old.revoked(server),
                _ => {
                    old.uncertain = Some(Change::Revocation);
                    break;
                }
            }
        }
        let path = format!("/api/v1/agents/{}/credentials", account.agent);
        let answer = self.api(server, Method::POST, &path).await;
        let Some((201, body)) = answer else { panic!("no fault yet: {:?}", answer.map(|(status, _)| status)) };
        Entry::new(text(&body, "credentialId"), secret(&body), server)
    }

    /// Rotates until it works, within 30 s.
    async fn rotate_on(&self, agent: &str, entry: &mut Entry, server: usize) {
        let path = format!("/api/v1/agents/{agent}/credentials/{}/rotate", entry.id);
        let begun = now();
        loop {
            let answer = self.api(server, Method::POST, &path).await;
            if let Some((200, body)) = &answer {
                return entry.rotated(secret(body), server);
            }
            assert!(now() - begun < Duration::from_secs(30), "{entry:?}: {:?}", answer.map(|(status, _)| status));
            pause().await;
        }
    }

    /// Vault holds the current secret where the row says, and both servers accept it at once. They may remember it: Vault is looked
    /// at as well.
    async fn must_count(&self, field: &Field, agent: &str, entry: &Entry) {
        let (counts, secret) = (self.counts(), entry.current.as_ref().unwrap());
        if field.held(agent, &entry.id).await.as_ref() != Some(secret) {
            counts.note(&counts.lost, format!("Vault does not hold what {entry:?} pins"));
        }
        for server in 0..2 {
            until("an answer", async || match self.token(server, agent, secret).await {
                Some((200, _)) => true,
                Some((401, _)) => {
                    counts.note(&counts.wrongly_refused, format!("{entry:?} by {server}, aimed at"));
                    true
                }
                _ => {
                    Counts::add(&counts.outages);
                    false
                }
            })
            .await;
        }
    }

    /// Which of the secrets a server accepts.
    async fn accepted(&self, agent: &str, secrets: &[String]) -> BTreeSet<usize> {
        let mut accepted = BTreeSet::new();
        for (number, secret) in secrets.iter().enumerate() {
            for server in 0..2 {
                if self.token(server, agent, secret).await.is_some_and(|(status, _)| status == 200) {
                    accepted.insert(number);
                }
            }
        }
        accepted
    }
}

fn rotation(account: &Account, entry: &Entry) -> String {
    format!("/api/v1/agents/{}/credentials/{}/rotate", account.agent, entry.id)
}

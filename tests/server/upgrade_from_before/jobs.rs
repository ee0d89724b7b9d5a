//! Purge jobs of every state after the upgrade.

use super::*;

on_both!(JOBS; each_job_ends_as_it_should, a_job_of_a_live_place_outlives_no_rotation);

/// A place with a secret and a job.
struct Place {
    state: &'static str,
    row: Row,
    /// Whether its secret has to be there in the end.
    stays: bool,
}

impl Before {
    /// A place with a secret, its row and a job, all as `state` says.
    async fn place(&self, state: &'static str) -> Place {
        let (agent, now, path_of) = (self.agent().await, began(), |row: &Row| self.path(row));
        let row = Row::of(agent);
        self.write(&self.vault(), &row, 1).await;
        let path = path_of(&row);
        let (row, stays) = match state {
            "of a live path" => (row.with(self.columns(&row, Some(1))), true),
            "of a credential that moved away" => {
                let digest = issue(&digests(bcrypt()), &row).await.1;
                (row.with(digest), true)
            }
            "of a credential that ended" => {
                (Row { revoked_at: Some(now), ..row.with(self.columns(&row, Some(1))) }, false)
            }
            _ => (row, false),
        };
        if row.secret.place().is_some() || row.secret.secret_hash.is_some() {
            self.insert(&row).await;
        }
        let due = if state == "not due yet" { now.plus(seconds(600)) } else { now.minus(seconds(300)) };
        self.schedule(&row, &path, due).await;
        match state {
            "claimed just now" => assert!(self.claim(&row, &path, now, now.plus(seconds(60))).await),
            "claimed long ago" => {
                assert!(self.claim(&row, &path, now.minus(seconds(300)), now.minus(seconds(240))).await);
            }
            _ => {}
        }
        Place { state, row, stays }
    }
}

async fn each_job_ends_as_it_should(before: Before) {
    let mut places = Vec::new();
    for state in [
        "due, and no row",
        "not due yet",
        "claimed just now",
        "claimed long ago",
        "of a live path",
        "of a credential that moved away",
        "of a credential that ended",
    ] {
        places.push(before.place(state).await);
    }
    let mut server = before.start(&[]).await;
    let present = async || {
        let mut present = Vec::new();
        for Place { state, row, .. } in &places {
            if before.in_vault(row).await {
                present.push(*state);
            }
        }
        present
    };
    server.run(seconds(10)).await;
    let waiting = ["not due yet", "claimed just now", "of a live path", "of a credential that moved away"];
    assert_eq!(present().await, waiting, "what is due is done at once");
    server.run(seconds(160)).await;
    assert_eq!(present().await, waiting, "the DELETE of an old claim may still be on its way");
    server.run(seconds(30)).await;
    assert_eq!(present().await, ["not due yet", "of a live path", "of a credential that moved away"]);
    server.run(LONG_ENOUGH).await;
    for Place { state, row, stays } in &places {
        assert_eq!(before.in_vault(row).await, *stays, "{state}");
    }
    assert_eq!(server.jobs().await, 0);
    assert!(before.texts("SELECT vault_path FROM purge_jobs").await.is_empty());

    // What a credential left is kept in mind, and goes with it.
    for Place { row, .. } in places.iter().filter(|place| place.stays) {
        server.revoke(row.client_id, row.credential_id).await;
        assert!(!before.in_vault(row).await);
    }
}

/// The job was made by an attempt that lost its answer to a commit.
async fn a_job_of_a_live_place_outlives_no_rotation(before: Before) {
    let Place { row, .. } = before.place("of a live path").await;
    let server = before.start(&[]).await;
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(before.texts("SELECT vault_path FROM purge_jobs").await.is_empty());
    server.site.app.life().round().await;
    server.site.granted(row.client_id, &reply.secret()).await;
}

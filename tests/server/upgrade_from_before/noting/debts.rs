//! Debts of every state after the upgrade.

use super::*;

on_both!(NOTES; each_debt_ends_as_it_should);

/// A place with a secret and a debt.
struct Owed {
    state: &'static str,
    row: Row,
}

impl Before {
    async fn owed(&self, state: &'static str) -> Owed {
        let (place, now) = (self.first_version().await.0, began());
        let path = self.path(&place);
        let row = match state {
            "void: the row points there" => place,
            "blank" | "rest" => {
                let columns = issue(&digests(bcrypt()), &place).await.1;
                place.with(columns.written_by(Uuid::new_v4()))
            }
            _ => Row { revoked_at: Some(now.minus(seconds(300))), ..place },
        };
        self.insert(&row).await;
        let kind = match state {
            "blank" => "blank",
            "rest" => "rest",
            _ => "delete",
        };
        self.connect().await.owe(&row, &path, kind, now.minus(seconds(60))).await;
        let change = match state {
            "deleted once, and due again" => format!("deletions = 1, due_at = '{}'", now.plus(seconds(80))),
            "claimed just now" => format!("claimed_until = '{0}', due_at = '{0}'", now.plus(seconds(60))),
            "claimed long ago" => format!("claimed_until = '{0}', due_at = '{0}'", now.minus(seconds(240))),
            "claimed by a wrong clock" => format!("claimed_until = '{0}', due_at = '{0}'", now.plus(seconds(86_400))),
            "failed often" => "attempts = 7".to_owned(),
            _ => return Owed { state, row },
        };
        self.sql(format!("UPDATE purge_debts SET {change} WHERE credential_id = '{}'", row.credential_id)).await;
        Owed { state, row }
    }
}

async fn each_debt_ends_as_it_should(before: Before) {
    let mut places = Vec::new();
    for state in [
        "due",
        "deleted once, and due again",
        "claimed just now",
        "claimed long ago",
        "claimed by a wrong clock",
        "failed often",
        "void: the row points there",
        "blank",
        "rest",
    ] {
        places.push(before.owed(state).await);
    }
    let mut server = before.start(&[]).await;
    let present = async || {
        let mut present = Vec::new();
        for Owed { state, row } in &places {
            if before.in_vault(row).await {
                present.push(*state);
            }
        }
        present
    };
    let stay = ["void: the row points there", "blank", "rest"];
    server.run(seconds(10)).await;
    assert_eq!(present().await, [&["deleted once, and due again", "claimed just now"][..], &stay].concat());
    server.run(seconds(100)).await;
    assert_eq!(present().await, stay);
    let [.., void, blank, rest] = &places[..] else { panic!() };
    let inspect = async |row: &Row, version| before.vault().inspect(&key(row), Some(version)).await.unwrap();
    assert!(inspect(&void.row, 1).await.secret().is_some(), "what counts is not touched");
    assert!(inspect(&blank.row, 1).await.secret().is_none(), "pushed out");
    assert!(inspect(&rest.row, 1).await.secret().is_some(), "to be deleted when the credential ends");

    for Owed { row, .. } in [void, blank, rest] {
        server.revoke(row.client_id, row.credential_id).await;
        assert!(!before.in_vault(row).await);
    }
    server.settles().await;
    // Deletions are repeated after an hour and a day.
    server.site.clock.advance(seconds(3600));
    server.run(seconds(130)).await;
    server.site.clock.advance(seconds(24 * 3600));
    server.run(seconds(130)).await;
    server.site.clock.advance(seconds(24 * 3600));
    server.run(seconds(130)).await;
    assert!(before.texts("SELECT kind FROM purge_debts").await.is_empty());
}

//! A move that is killed at random moments.

use std::process::Stdio;
use std::time::Duration;

use super::{drained, held, in_vault, mount, text, told, vault};
use crate::binary::Place;
use crate::dice::Dice;
use crate::support;

const KEYS: (&str, &str) = ("MAC_KEYS", "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");

/// So many kills unless `MOVE_KILLS` says it, with some secrets each that are left to be moved.
const KILLS: usize = 10;
const EACH: usize = 4;

/// A move of some secrets takes about so long, from its start to its end.
const A_MOVE: Duration = Duration::from_millis(200);

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_move_that_was_killed_is_finished_by_the_next_one_on_sqlite() {
    let place = Place::new();
    let url = format!("sqlite:{}", place.path().join("rows.sqlite").display());
    is_finished(&place, &url).await;
}

#[tokio::test]
async fn a_move_that_was_killed_is_finished_by_the_next_one_on_postgresql() {
    is_finished(&Place::new(), &support::postgres().fresh_database().await).await;
}

async fn is_finished(place: &Place, url: &str) {
    let kills = number("MOVE_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("MOVE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed} (set it with MOVE_SEED)");
    let (mut dice, bao) = (Dice(seed), support::bao());
    let mount = mount(bao).await;
    let operator = place.operator(&[]).await;
    let key = place.data("jwt-key.pem").to_str().unwrap().to_owned();
    let own = [("DATABASE_URL", url), ("JWT_PRIVATE_KEY_FILE", &key), ("RATE_LIMIT_PER_MINUTE", "0"), KEYS];
    let settings = [&own[..], &vault(bao, &mount)].concat();
    let server = place.serve(&settings).await;
    let mut clients = Vec::new();
    for _ in 0..kills * EACH {
        clients.push(server.agent_with_credential(&operator).await);
    }
    server.stop().await;

    for kill in 0..kills {
        let (before, further) = (in_vault(url).await, dice.below(EACH) as i64);
        let mut command = place.command(&["move", "--to", "keyed-digest", "--rate", "100"], &settings);
        let mut moving = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if kill % 2 == 0 {
            // Right after a commit.
            while before - in_vault(url).await < further && moving.try_wait().unwrap().is_none() {}
        } else {
            // Anywhere: while it connects, reads, or commits. This waits for nothing, it is the fault.
            let millis = dice.below(A_MOVE.as_millis() as usize);
            tokio::time::sleep(Duration::from_millis(millis as u64)).await;
        }
        moving.kill().await.unwrap();
    }
    let left = in_vault(url).await;
    let end = told(&place.run(&["move", "--to", "keyed-digest"], &settings).await, 0);
    let moved = format!("{left} moved to keyed-digest");
    assert!(end.starts_with(&moved), "seed {seed}: {left} were left: {end}");
    assert_eq!(in_vault(url).await, 0, "seed {seed}");

    let server = place.serve(&[&settings[..], &[("SECRET_BACKEND", "keyed-digest")]].concat()).await;
    for client in &clients {
        assert_eq!(server.token(client).await.0, 200, "seed {seed}: {}", place.log());
    }
    drained(url).await;
    assert_eq!(held(bao, &mount, &clients).await, 0, "seed {seed}");
    server.stop().await;
    let compared = place.run(&["reconcile", "--dry-run"], &settings).await;
    assert!(told(&compared, 0).contains("\n0 found, 0 for you to mend"), "seed {seed}: {}", text(&compared.stdout));
}

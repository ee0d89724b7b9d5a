//! Faults under load on real services: three OpenBao nodes, a PostgreSQL, two servers, and a driver that keeps account of
//! every secret that was ever shown.
//!
//! `./scripts/test` has each fault once. `./scripts/soak MINUTES` sets `SOAK_MINUTES`, and they come at random for so long.

mod account;
mod aimed;
mod check;
mod driver;
mod fault;
mod field;
mod neighbour;
mod proxy;
mod tally;

use std::time::{Duration, Instant};

use agentidp_secrets::{Clock as _, SystemClock};

use self::driver::Driver;
use self::fault::Fault;
use self::field::Field;
use self::tally::Tally;
use crate::dice::Dice;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_loses_a_secret_or_lets_another_in() {
    let soak = setting("SOAK_MINUTES").map(|minutes| now() + Duration::from_secs(60 * minutes));
    let seed = setting("SOAK_SEED").unwrap_or(if soak.is_some() { u64::from(std::process::id()) } else { 1 });
    say(&format!("seed {seed} (set it with SOAK_SEED)"));
    let mut dice = Dice(seed);
    let mut field = Field::start().await;
    let driver = Driver::start(&mut field, &dice).await;
    let mut tally = Tally::default();

    let mut order: Vec<Fault> = Fault::ALL.to_vec();
    loop {
        let fault = if soak.is_some() { Fault::ALL[dice.below(Fault::ALL.len())] } else { order.remove(0) };
        let recovery = field.meet(fault, &driver, &mut dice).await;
        say(&format!("{:<21} {:.1} s", fault.name(), recovery.as_secs_f64()));
        tally.recovered(fault, recovery);
        driver.check(&mut field, 3).await;
        let last = soak.map_or(order.is_empty(), |until| now() > until);
        if last || Tally::is_bad(&driver) {
            break;
        }
    }
    driver.check(&mut field, usize::MAX).await;
    say(&tally.report(&driver));
    assert!(!Tally::is_bad(&driver), "{}", tally.report(&driver));
}

fn setting(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_str().and_then(|text| text.parse().ok()).expect("a number"))
}

fn now() -> Instant {
    SystemClock::default().instant()
}

/// Who soaks watches it.
fn say(text: &str) {
    println!("{text}");
}

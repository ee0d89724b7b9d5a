//! A secret that is unused: its answer may have been lost, and the client retries the request.

use std::sync::Arc;
use std::time::Duration;

use super::{Site, clock, over, quick};
use crate::lifecycle::{Failure, Row};
use crate::secret::ClientSecret;
use crate::store::SecretStore;

const HOUR: Duration = Duration::from_secs(3600);

/// With a digest in the row, and with versions at a place.
fn sites() -> [Site; 2] {
    [
        over(&clock(), SecretStore::builder),
        over(&clock(), |memory| SecretStore::builder(Arc::new(quick())).accepts(memory)),
    ]
}

impl Site {
    fn row(&self) -> Row {
        self.ledger.entry(&self.key).state.active().unwrap().clone()
    }

    async fn work(&self, secrets: [&ClientSecret; 3]) -> [bool; 3] {
        let [one, two, three] = secrets;
        [self.works(one).await, self.works(two).await, self.works(three).await]
    }
}

#[tokio::test]
async fn it_is_replaced_and_the_overlap_goes_on() {
    for site in sites() {
        let old = site.life.issue(&site.key, ()).await.unwrap().secret;
        let lost = site.life.rotate(&site.key, HOUR, ()).await.unwrap().secret;
        site.ledger.put(site.row().unused(true));
        site.clock.advance(HOUR / 2);
        let again = site.life.replace_unused(&site.key, ()).await.unwrap();
        assert!(again.row.is_unused && site.row() == again.row);
        assert_eq!(site.work([&old, &lost, &again.secret]).await, [true, false, true]);
        site.clock.advance(HOUR / 2);
        assert_eq!(site.work([&old, &lost, &again.secret]).await, [false, false, true], "the overlap is over");
        site.ledger.put(site.row().unused(true));
        let more = site.life.replace_unused(&site.key, ()).await.unwrap();
        assert_eq!(more.row.secrets.unwrap().previous, None);
        assert!(site.works(&more.secret).await);
    }
}

#[tokio::test]
async fn one_that_was_used_stays() {
    for site in sites() {
        let used = site.life.issue(&site.key, ()).await.unwrap().secret;
        site.ledger.put(site.row().unused(true));
        assert!(site.works(&used).await && !site.row().is_unused);
        assert!(matches!(site.life.replace_unused(&site.key, ()).await, Err(Failure::Busy)));
        assert!(site.works(&used).await && site.note().is_none());
    }
}

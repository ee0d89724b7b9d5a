//! Which connections there are, and which one goes when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::places::Activity;

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    open: HashMap<u64, (IpAddr, Arc<Activity>)>,
}

/// A connection in the list, until it is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, list: Mutex::default() })
    }

    /// Lists a connection of `peer`. When there are too many one has to go, which the second part says: of the peer that has
    /// the most, one on which the server does no work; those without a request first, and then the one that has been quiet
    /// for longest. It may be the new one itself only if the server works on all others.
    pub(super) fn list(self: &Arc<Self>, peer: IpAddr) -> (Listed, bool) {
        let activity = Activity::new();
        let mut list = self.open();
        let number = list.next;
        list.next += 1;
        list.open.insert(number, (peer, Arc::clone(&activity)));
        let victim = (list.open.len() > self.limit).then(|| victim(&list.open, number)).flatten();
        if let Some(victim) = victim
            && let Some((_, activity)) = list.open.remove(&victim)
        {
            activity.evicted.cancel();
        }
        drop(list);
        (Listed { connections: Arc::clone(self), number, activity }, victim.is_some())
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open().open.len()
    }

    fn open(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn victim(open: &HashMap<u64, (IpAddr, Arc<Activity>)>, newest: u64) -> Option<u64> {
    let mut of_peer = HashMap::<IpAddr, usize>::new();
    for (peer, _) in open.values() {
        *of_peer.entry(*peer).or_default() += 1;
    }
    let may_go = open.iter().filter(|(number, (_, activity))| **number != newest && activity.may_go());
    may_go
        .max_by_key(|(_, (peer, activity))| {
            (of_peer.get(peer).copied(), activity.is_idle(), std::cmp::Reverse(activity.quiet_since()))
        })
        .map(|(number, _)| *number)
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.open().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::places::{Places, Seat};

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_quiet_connection_of_the_peer_with_the_most_goes() {
        let (connections, places) = (Connections::new(4), Places::new(9));
        let mut listed = Vec::new();
        // The first is the oldest, and the only one of its peer.
        for number in [1, 2, 2, 2] {
            listed.push(connections.list(peer(number)).0);
            advance(Duration::from_secs(1)).await;
        }
        let works = Seat::new(&places, peer(2), &listed[1].activity);
        works.take().await.unwrap();
        let (newcomer, evicted) = connections.list(peer(3));
        assert!(evicted);
        let gone = |listed: &[Listed]| listed.iter().map(|one| one.activity.evicted.is_cancelled()).collect::<Vec<_>>();
        assert_eq!(gone(&listed), [false, false, true, false], "the server works on the one that is quiet for longer");
        drop(listed.pop());
        let (_, evicted) = connections.list(peer(4));
        assert!(!evicted, "there is room");
        assert!(!newcomer.activity.evicted.is_cancelled());
    }
}

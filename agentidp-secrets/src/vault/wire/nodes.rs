//! The addresses of one cluster, and which of them is asked first.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::address::Address;

/// One address or several. The one that answered last is asked first, until it turns a request away.
#[derive(Debug)]
pub(super) struct Nodes {
    addresses: Vec<Address>,
    favourite: AtomicUsize,
}

impl Nodes {
    /// `addresses` has one at least.
    pub(super) fn new(addresses: Vec<Address>) -> Self {
        Self { addresses, favourite: AtomicUsize::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    pub(super) fn address(&self, node: usize) -> &Address {
        &self.addresses[node]
    }

    pub(super) fn favourite(&self) -> usize {
        self.favourite.load(Ordering::Relaxed)
    }

    /// All of them once, from `first` on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = usize> + Send + use<> {
        let len = self.len();
        (0..len).map(move |step| (first + step) % len)
    }

    /// The one to ask after `node`.
    pub(super) fn after(&self, node: usize) -> usize {
        (node + 1) % self.len()
    }

    /// Prefers `better` to `former`. A call that took long must not undo what later ones have found out.
    pub(super) fn prefer(&self, better: usize, former: usize) {
        if better != former {
            let _already_moved = self.favourite.compare_exchange(former, better, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::setting::Names;
    use crate::vault::wire::parse_addresses;

    #[test]
    fn the_one_that_answered_is_asked_first_and_a_late_call_does_not_undo_it() {
        let nodes = Nodes::new(parse_addresses("https://a,https://b,https://c", false, Names::default()).unwrap());
        assert_eq!(nodes.from(nodes.favourite()).collect::<Vec<_>>(), [0, 1, 2]);
        nodes.prefer(2, 0);
        assert_eq!(nodes.from(nodes.favourite()).collect::<Vec<_>>(), [2, 0, 1]);
        nodes.prefer(1, 0);
        assert_eq!(nodes.favourite(), 2, "that call began with another one");
        assert_eq!(nodes.after(2), 0);
    }
}

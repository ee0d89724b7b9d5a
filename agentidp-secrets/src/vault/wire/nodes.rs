//! The addresses of one cluster, and which of them is asked first.

use std::sync::atomic::{AtomicUsize, Ordering};

use url::Url;

/// One address or several. The one that answered last is asked first, until it turns a request away.
#[derive(Debug)]
pub(super) struct Nodes {
    bases: Vec<Url>,
    favourite: AtomicUsize,
}

impl Nodes {
    /// `bases` has one at least.
    pub(super) fn new(bases: Vec<Url>) -> Self {
        Self { bases, favourite: AtomicUsize::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.bases.len()
    }

    pub(super) fn base(&self, node: usize) -> &Url {
        &self.bases[node]
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

    #[test]
    fn the_one_that_answered_is_asked_first_and_a_late_call_does_not_undo_it() {
        let nodes = Nodes::new(["http://a", "http://b", "http://c"].map(|base| Url::parse(base).unwrap()).to_vec());
        assert_eq!(nodes.from(nodes.favourite()).collect::<Vec<_>>(), [0, 1, 2]);
        nodes.prefer(2, 0);
        assert_eq!(nodes.from(nodes.favourite()).collect::<Vec<_>>(), [2, 0, 1]);
        nodes.prefer(1, 0);
        assert_eq!(nodes.favourite(), 2, "that call began with another one");
        assert_eq!(nodes.after(2), 0);
    }
}

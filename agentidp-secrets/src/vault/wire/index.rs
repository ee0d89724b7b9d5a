//! The state of Vault's replicated storage that we know of.

use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The newest state that a write of ours has made: only forward, in whatever order the answers to concurrent writes come.
/// And one that nobody has reached, which makes whatever node is asked pass the request on to the active one.
#[derive(Default)]
pub(super) struct NewestIndex {
    newest: RwLock<Option<Noted>>,
    beyond: RwLock<Option<Beyond>>,
}

struct Beyond {
    cluster: String,
    header: HeaderValue,
}

struct Noted {
    header: HeaderValue,
    /// None where the text is not OpenBao's, and so cannot be compared.
    place: Option<Place>,
}

/// How OpenBao writes it, in Base64 of JSON. The cluster is part of it because another one counts from its own beginning.
#[derive(Deserialize, Serialize)]
struct Place {
    cluster: String,
    value: String,
}

impl NewestIndex {
    pub(super) fn get(&self) -> Option<HeaderValue> {
        let noted = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        noted.as_ref().map(|noted| noted.header.clone())
    }

    /// An index that this cluster will not reach in a lifetime, once the cluster is known from an answer.
    pub(super) fn beyond(&self) -> Option<HeaderValue> {
        let beyond = self.beyond.read().unwrap_or_else(PoisonError::into_inner);
        beyond.as_ref().map(|beyond| beyond.header.clone())
    }

    /// Takes note of where the answer to a read came from, if nothing is known yet.
    pub(super) fn note_cluster(&self, header: &HeaderValue) {
        if self.beyond().is_none() {
            self.look_beyond(Place::parse(header).as_ref());
        }
    }

    /// Takes note of the state that a write has made.
    pub(super) fn note(&self, header: &HeaderValue) {
        let place = Place::parse(header);
        self.look_beyond(place.as_ref());
        let mut noted = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let former = noted.as_ref().and_then(|noted| noted.place.as_ref());
        if former.zip(place.as_ref()).is_some_and(|(former, place)| place.is_before(former)) {
            return;
        }
        *noted = Some(Noted { header: header.clone(), place });
    }

    fn look_beyond(&self, place: Option<&Place>) {
        let Some(place) = place else { return };
        let mut beyond = self.beyond.write().unwrap_or_else(PoisonError::into_inner);
        if beyond.as_ref().is_some_and(|beyond| beyond.cluster == place.cluster) {
            return;
        }
        if let Some(header) = place.last_of_cluster() {
            *beyond = Some(Beyond { cluster: place.cluster.clone(), header });
        }
    }
}

impl Place {
    fn parse(header: &HeaderValue) -> Option<Self> {
        let json = STANDARD_NO_PAD.decode(header.to_str().ok()?.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The last number that Go, in which both servers are written, has for it.
    fn last_of_cluster(&self) -> Option<HeaderValue> {
        let last = Self { cluster: self.cluster.clone(), value: i64::MAX.to_string() };
        // OpenBao reads it with padding only.
        HeaderValue::from_str(&STANDARD.encode(serde_json::to_vec(&last).ok()?)).ok()
    }

    fn is_before(&self, other: &Self) -> bool {
        let number = |place: &Self| place.value.parse::<u64>().ok();
        self.cluster == other.cluster && number(self) < number(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(cluster: &str, value: &str) -> HeaderValue {
        let json = format!(r#"{{"cluster":"{cluster}","value":"{value}"}}"#);
        HeaderValue::from_str(&STANDARD_NO_PAD.encode(json)).unwrap()
    }

    #[test]
    fn a_late_answer_to_an_earlier_write_does_not_take_it_back() {
        let newest = NewestIndex::default();
        assert_eq!(newest.get(), None);
        for (value, expected) in [("9", "9"), ("8", "9"), ("10", "10"), ("9", "10")] {
            newest.note(&index("a", value));
            assert_eq!(newest.get(), Some(index("a", expected)));
        }
        newest.note(&index("b", "1"));
        assert_eq!(newest.get(), Some(index("b", "1")), "another cluster has its own count");
    }

    #[test]
    fn what_lies_beyond_is_of_the_cluster_that_answered_last() {
        let newest = NewestIndex::default();
        newest.note(&HeaderValue::from_static("of-2"));
        assert_eq!(newest.beyond(), None);
        newest.note_cluster(&index("a", "9"));
        let of_a = newest.beyond().unwrap();
        let place = Place::parse(&of_a).unwrap();
        assert_eq!((place.cluster.as_str(), place.value.as_str()), ("a", "9223372036854775807"));
        assert_eq!(of_a.len() % 4, 0, "padded");
        newest.note_cluster(&index("b", "9"));
        assert_eq!(newest.beyond(), Some(of_a), "a read does not change it");
        newest.note(&index("b", "9"));
        assert_eq!(Place::parse(&newest.beyond().unwrap()).unwrap().cluster, "b");
    }

    #[test]
    fn what_cannot_be_compared_is_taken_as_it_comes() {
        let newest = NewestIndex::default();
        for text in ["of-2", "of-1", "djE6YTo5"] {
            newest.note(&HeaderValue::from_static(text));
            assert_eq!(newest.get(), Some(HeaderValue::from_static(text)));
        }
    }
}

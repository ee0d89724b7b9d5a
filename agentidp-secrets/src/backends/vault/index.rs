//! The state of Vault's replicated storage that we know of.

use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;

/// The newest state that a write of ours has made: only forward, in whatever order the answers to concurrent writes come.
#[derive(Default)]
pub(super) struct NewestIndex(RwLock<Option<Noted>>);

struct Noted {
    header: HeaderValue,
    /// None where the text is not OpenBao's, and so cannot be compared.
    place: Option<Place>,
}

/// How OpenBao writes it, in Base64 of JSON. The cluster is part of it because another one counts from its own beginning.
#[derive(Deserialize)]
struct Place {
    cluster: String,
    value: String,
}

impl NewestIndex {
    pub(super) fn get(&self) -> Option<HeaderValue> {
        let noted = self.0.read().unwrap_or_else(PoisonError::into_inner);
        noted.as_ref().map(|noted| noted.header.clone())
    }

    pub(super) fn note(&self, header: &HeaderValue) {
        let place = Place::parse(header);
        let mut noted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let former = noted.as_ref().and_then(|noted| noted.place.as_ref());
        if let (Some(former), Some(place)) = (former, &place)
            && place.is_before(former)
        {
            return;
        }
        *noted = Some(Noted { header: header.clone(), place });
    }
}

impl Place {
    fn parse(header: &HeaderValue) -> Option<Self> {
        let json = STANDARD_NO_PAD.decode(header.to_str().ok()?.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&json).ok()
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
    fn what_cannot_be_compared_is_taken_as_it_comes() {
        let newest = NewestIndex::default();
        for text in ["of-2", "of-1", "djE6YTo5"] {
            newest.note(&HeaderValue::from_static(text));
            assert_eq!(newest.get(), Some(HeaderValue::from_static(text)));
        }
    }
}

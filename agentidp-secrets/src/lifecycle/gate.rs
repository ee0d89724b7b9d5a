//! Whether this database may be believed: what was cloned or restored deletes, takes over and pushes out nothing.

use crate::record::BackendId;

/// Whether places may be deleted and left versions be taken over: a database that was cloned or restored must not. Asked before
/// each deletion, of the backend that it is for: each has its own answer where a store has several.
pub trait Gate: Send + Sync + 'static {
    /// Whether this database is the one that wrote the places it knows of at the backend.
    fn may_delete(&self, at: &BackendId) -> bool;

    /// Whether what was noted here of a write to the backend was never committed elsewhere. While it may have been, a login moves no
    /// secret to the backend either: what lies there would be written over.
    fn may_adopt(&self, at: &BackendId) -> bool;

    /// Whether a rotation may push out the oldest version that the backend keeps. Not where another database may vouch for it: then a
    /// rotation goes only where there is room, and not over a record that means the latest version. Say no only where it is known
    /// that the two disagree, since rotations fail by it.
    fn may_push_out(&self, at: &BackendId) -> bool;
}

/// All have to agree: gates for one backend each, where a store has several with custody.
impl<G: Gate> Gate for Vec<G> {
    fn may_delete(&self, at: &BackendId) -> bool {
        self.iter().all(|gate| gate.may_delete(at))
    }

    fn may_adopt(&self, at: &BackendId) -> bool {
        self.iter().all(|gate| gate.may_adopt(at))
    }

    fn may_push_out(&self, at: &BackendId) -> bool {
        self.iter().all(|gate| gate.may_push_out(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one backend.
    struct Of(BackendId, bool);

    impl Gate for Of {
        fn may_delete(&self, at: &BackendId) -> bool {
            self.0 != *at || self.1
        }

        fn may_adopt(&self, at: &BackendId) -> bool {
            self.may_delete(at)
        }

        fn may_push_out(&self, at: &BackendId) -> bool {
            self.may_delete(at)
        }
    }

    #[test]
    fn several_gates_answer_each_for_its_own_backend() {
        let [eu, us] = ["eu", "us"].map(|region| BackendId::VAULT_KV2.with_instance(region).unwrap());
        for (eu_is_open, us_is_open) in [(true, true), (true, false), (false, true), (false, false)] {
            let gates = vec![Of(eu.clone(), eu_is_open), Of(us.clone(), us_is_open)];
            assert_eq!((gates.may_delete(&eu), gates.may_delete(&us)), (eu_is_open, us_is_open));
            assert_eq!((gates.may_adopt(&eu), gates.may_adopt(&us)), (eu_is_open, us_is_open));
            assert_eq!((gates.may_push_out(&eu), gates.may_push_out(&us)), (eu_is_open, us_is_open));
        }
    }
}

//! Settings of the bcrypt backend.

use std::ops::RangeInclusive;

use super::Bcrypt;
use crate::backend::{BackendInfo, Custody};
use crate::backends::digest::{DigestBackend, DigestLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;

/// Settings of [`Bcrypt`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BcryptBuilder {
    cost: u32,
    limits: DigestLimits,
    costs: RangeInclusive<u32>,
}

impl Bcrypt {
    /// Starts from [`DEFAULT_COST`](Self::DEFAULT_COST) and [`DigestLimits::default`].
    pub fn builder() -> BcryptBuilder {
        BcryptBuilder { cost: Self::DEFAULT_COST, limits: DigestLimits::default(), costs: Self::CONFIGURABLE }
    }
}

impl BcryptBuilder {
    /// Sets the cost of new digests, 10 to 14. A match on a digest of lower cost is
    /// [`MatchOutdated`](crate::Verdict::MatchOutdated).
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Sets how much digests may take of the machine, and how many may wait for how long.
    pub fn limits(mut self, limits: DigestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many threads compute digests; see [`DigestLimits::max_concurrency`].
    pub fn max_concurrency(mut self, threads: usize) -> Self {
        self.limits = self.limits.max_concurrency(threads);
        self
    }

    /// Cost 4, for tests only: a digest takes under a millisecond and protects accordingly.
    pub fn minimum_cost_for_tests(mut self) -> Self {
        self.costs = Bcrypt::COMPUTABLE;
        self.cost(*Bcrypt::COMPUTABLE.start())
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when the cost is outside 10 to 14 or a limit is zero.
    pub fn build(self) -> Result<DigestBackend<Bcrypt>> {
        if !self.costs.contains(&self.cost) {
            let message = format!("the bcrypt cost must be 10 to 14, not {}", self.cost);
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::BCRYPT));
        }
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record)
            .with_max_secret_len(Bcrypt::MAX_SECRET_LEN)
            .with_lanes(Bcrypt::LANES);
        DigestBackend::with_limits(Bcrypt { info, cost: self.cost }, self.limits)
    }
}

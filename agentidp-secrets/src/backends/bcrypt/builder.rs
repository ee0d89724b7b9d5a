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
    max_stored_cost: u32,
}

impl Bcrypt {
    /// Starts from [`DEFAULT_COST`](Self::DEFAULT_COST) and [`DigestLimits::default`].
    pub fn builder() -> BcryptBuilder {
        BcryptBuilder {
            cost: Self::DEFAULT_COST,
            limits: DigestLimits::default(),
            costs: BcryptBuilder::COSTS,
            max_stored_cost: Self::DEFAULT_MAX_STORED_COST,
        }
    }
}

impl BcryptBuilder {
    /// Costs that new digests may have. Cost 14 is most of a second.
    const COSTS: RangeInclusive<u32> = 10..=14;

    /// What the bound of stored digests may be set to. Cost 20 is a minute of a core. Cost 31 has overflowed to no work at
    /// all in another library (CVE-2022-22976).
    const STORED_COSTS: RangeInclusive<u32> = Bcrypt::LEAST_COST..=20;

    /// Sets the cost of new digests, 10 to 14. A match on a digest of lower cost is
    /// [`MatchOutdated`](crate::Verdict::MatchOutdated).
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Sets the highest cost of a stored digest that is computed: 4 to 20, 14 unless set. Each step doubles the time. A
    /// digest of a higher cost is `Malformed`, before any work is done.
    pub fn max_stored_cost(mut self, cost: u32) -> Self {
        self.max_stored_cost = cost;
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
        self.costs = Bcrypt::LEAST_COST..=*Self::COSTS.end();
        self.cost(Bcrypt::LEAST_COST)
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a cost is out of its bounds, when new digests would exceed the bound of stored ones, or when a
    /// limit is zero.
    pub fn build(self) -> Result<DigestBackend<Bcrypt>> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::BCRYPT);
        if !self.costs.contains(&self.cost) {
            return Err(invalid(format!("`cost` must be 10 to 14, not {}", self.cost)));
        }
        if !Self::STORED_COSTS.contains(&self.max_stored_cost) {
            return Err(invalid(format!("`max_stored_cost` must be 4 to 20, not {}", self.max_stored_cost)));
        }
        if self.cost > self.max_stored_cost {
            return Err(invalid("`cost` is above `max_stored_cost`: a new digest would not verify".to_owned()));
        }
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record)
            .with_max_secret_len(Bcrypt::MAX_SECRET_LEN)
            .with_lanes(Bcrypt::LANES)
            .with_parameters(super::parameters);
        DigestBackend::with_limits(Bcrypt { info, cost: self.cost, max_stored_cost: self.max_stored_cost }, self.limits)
    }
}

//! Options of one request; every default is the bucket's own setting.

use std::time::Duration;

use jedlik_protocol::limits::TIMEOUT_MAX_MS;

use crate::Quorum;

/// Options of a get that can be kept and used for many: see [`Get::options`](crate::Get::options).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetOptions {
    pub(crate) n: Option<u8>,
    pub(crate) r: Quorum,
    pub(crate) pr: Quorum,
    pub(crate) timeout: Option<Duration>,
}

/// Options of a put or a delete that can be kept and used for many: see [`Put::options`](crate::Put::options).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    pub(crate) ttl: Option<Duration>,
    pub(crate) n: Option<u8>,
    pub(crate) w: Quorum,
    pub(crate) pw: Quorum,
    pub(crate) dw: Quorum,
    pub(crate) timeout: Option<Duration>,
}

/// Options of a scan that can be kept and used for many: see [`ScanRequest::options`](crate::ScanRequest::options).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    pub(crate) values: bool,
    pub(crate) r: Quorum,
    pub(crate) page_keys: u32,
    pub(crate) partitions_at_once: usize,
    pub(crate) timeout: Option<Duration>,
}

impl GetOptions {
    /// Returns the defaults: the bucket's settings and the client's timeout.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets N, the number of replicas that the get uses; at most the bucket's N.
    #[must_use]
    pub fn n(mut self, n: impl Into<Option<u8>>) -> Self {
        self.n = n.into();
        self
    }

    /// Sets R, the number of replicas that must answer.
    #[must_use]
    pub fn r(mut self, r: impl Into<Quorum>) -> Self {
        self.r = r.into();
        self
    }

    /// Sets PR, the number of answers that must come from primaries.
    #[must_use]
    pub fn pr(mut self, pr: impl Into<Quorum>) -> Self {
        self.pr = pr.into();
        self
    }

    /// Sets the time for all attempts together.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }
}

impl PutOptions {
    /// Returns the defaults: the bucket's settings and the client's timeout.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time after which the version expires, instead of the bucket's `ttl_ms`.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets N, the number of replicas that the put uses; at most the bucket's N.
    #[must_use]
    pub fn n(mut self, n: impl Into<Option<u8>>) -> Self {
        self.n = n.into();
        self
    }

    /// Sets W, the number of replicas that must acknowledge.
    #[must_use]
    pub fn w(mut self, w: impl Into<Quorum>) -> Self {
        self.w = w.into();
        self
    }

    /// Sets PW, the number of acknowledgements that must come from primaries.
    #[must_use]
    pub fn pw(mut self, pw: impl Into<Quorum>) -> Self {
        self.pw = pw.into();
        self
    }

    /// Sets DW, the number of replicas that must have the write on disk.
    #[must_use]
    pub fn dw(mut self, dw: impl Into<Quorum>) -> Self {
        self.dw = dw.into();
        self
    }

    /// Sets the time for all attempts together.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }
}

impl ScanOptions {
    /// Returns the defaults: pages of 512 keys with their values, of four partitions at once.
    #[must_use]
    pub fn new() -> Self {
        let (values, r, timeout) = (true, Quorum::Default, None);
        Self { values, r, page_keys: 512, partitions_at_once: 4, timeout }
    }

    /// Sets whether values are read, or keys alone.
    #[must_use]
    pub fn values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }

    /// Sets R, the number of replicas of each partition that must answer.
    #[must_use]
    pub fn r(mut self, r: impl Into<Quorum>) -> Self {
        self.r = r.into();
        self
    }

    /// Sets the number of keys per page, up to 1,024.
    #[must_use]
    pub fn page_keys(mut self, page_keys: u32) -> Self {
        self.page_keys = page_keys;
        self
    }

    /// Sets the number of partitions that are read at the same time.
    #[must_use]
    pub fn partitions_at_once(mut self, partitions: usize) -> Self {
        self.partitions_at_once = partitions;
        self
    }

    /// Sets the time for one page, all attempts together.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts a duration for the wire: whole milliseconds, at least 1, at most the protocol's limit.
pub(crate) fn wire_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, TIMEOUT_MAX_MS)
}

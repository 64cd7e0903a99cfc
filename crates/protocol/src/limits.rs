//! Every bound on what may cross the wire. Units stand last in the names.

/// The longest bucket name; the shortest is 1.
pub const BUCKET_LIMIT_BYTES: usize = 256;
/// The longest key; the shortest is 1.
pub const KEY_LIMIT_BYTES: usize = 4096;
/// The largest value limit a bucket may be given.
pub const VALUE_LIMIT_MAX_BYTES: u32 = 16 << 20;
/// The largest record (all siblings together) that a bucket may be allowed to grow.
pub const RECORD_LIMIT_MAX_BYTES: u32 = 32 << 20;
/// The longest frame, length prefix excluded; longer ones end the connection that sent them.
pub const FRAME_LIMIT_BYTES: usize = 40 << 20;
/// Frames longer than this travel on a stream of their own, so that nothing small waits behind them.
pub const SMALL_FRAME_BYTES: usize = 32 << 10;
/// The most records in one scan page.
pub const SCAN_PAGE_RECORDS: u32 = 1024;
/// A scan page ends with the record that takes it past this size.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Clock entries past which the oldest without a live sibling are truncated, as a last resort.
pub const CLOCK_ENTRIES_LIMIT: usize = 64;
/// The largest N.
pub const N_MAX: u8 = 16;
/// The longest a client may ask a request to take.
pub const TIMEOUT_MAX_MS: u32 = 600_000;
/// What a request may take when its client says nothing.
pub const TIMEOUT_DEFAULT_MS: u32 = 5_000;
/// The most targets that one hint may name: no key has more primaries.
pub const HINT_TARGETS_MAX: usize = N_MAX as usize;
/// The most records in one page of a range that moves: few enough that clients don't notice while a page
/// is read at one end and synced at the other.
pub const FETCH_PAGE_RECORDS: u32 = 128;
/// The most layouts whose owners a request has to reach at a time: past it a commit is refused until data
/// has moved. For one that gives up a dead node it is twice that.
pub const LAYOUTS_MAX: usize = 8;
/// The most nodes that a cluster remembers as removed.
pub const GONE_MAX: usize = 10_000;
/// The most digests in one page of a leaf.
pub const DIGEST_PAGE_RECORDS: u32 = 1024;
/// A page of digests ends with the key that takes it past this size.
pub const DIGEST_PAGE_BYTES: usize = 256 << 10;

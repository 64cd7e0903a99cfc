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
/// The largest sibling limit a bucket may be given.
pub const SIBLING_LIMIT_MAX: u16 = 500;
/// The most siblings of one record, retries included: as many as N coordinators that don't hear one another
/// can each allow before their records meet.
pub const SIBLINGS_MAX: usize = N_MAX as usize * SIBLING_LIMIT_MAX as usize;
/// The most entries of a record's clock, and of the context that a get gives out. A coordinator leaves at most
/// the larger of [`CLOCK_ENTRIES_LIMIT`] and one more than there were siblings, and N of them may meet.
pub const CLOCK_ENTRIES_MAX: usize = 8192;
/// The longest context: its format, a clock of [`CLOCK_ENTRIES_MAX`] entries, its checksum.
pub const CONTEXT_LIMIT_BYTES: usize = 32 + CLOCK_ENTRY_BYTES * CLOCK_ENTRIES_MAX;
/// What one entry of a clock takes in its encoded form.
const CLOCK_ENTRY_BYTES: usize = 24;
/// The most targets or changes in one list of an admin's request; no cluster has more members.
pub const ADMIN_LIST_MAX: usize = 10_000;
/// The longest text in an admin's request: a zone, a property's name or its value.
pub const ADMIN_TEXT_BYTES: usize = 4096;
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

const _: () = assert!(CLOCK_ENTRIES_MAX >= N_MAX as usize * (SIBLING_LIMIT_MAX as usize + 1));
const _: () = assert!(SIBLING_LIMIT_MAX as usize > CLOCK_ENTRIES_LIMIT);

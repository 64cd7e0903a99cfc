//! Every bound on what may cross the wire. Units stand last in the names.

/// The longest bucket name; the shortest is 1.
pub const BUCKET_LIMIT_BYTES: usize = 256;
/// The longest key; the shortest is 1.
pub const KEY_LIMIT_BYTES: usize = 4096;
/// The largest value limit a bucket may be given.
pub const VALUE_LIMIT_MAX_BYTES: u32 = 16 << 20;
/// What a record takes beside its values, at most, while no more coordinators have put to it than its bucket's
/// sibling limit allows: a record limit is above the value limit by at least so much.
pub const RECORD_OVERHEAD_BYTES: u32 = 16 << 10;
/// The largest record that is stored or sent: what N coordinators that don't hear one another can each let a
/// record grow to meets within it, since no bucket's record limit is above the N-th part.
pub const RECORD_MAX_BYTES: usize = 64 << 20;
/// The longest frame, length prefix excluded; longer ones end the connection that sent them. It carries a full
/// page, which ends with the record that takes it past its size, and so the largest record and its context.
pub const FRAME_LIMIT_BYTES: usize =
    RECORD_MAX_BYTES + SCAN_PAGE_BYTES + SCAN_PAGE_RECORDS as usize * PAGE_ENTRY_BYTES;
/// What a record takes in a page beside its bytes: its key, and what tells where they are.
const PAGE_ENTRY_BYTES: usize = BUCKET_LIMIT_BYTES + KEY_LIMIT_BYTES + 64;
/// The longest frame that a client or an admin sends: a put of the largest value with the longest context, or a
/// full list of an admin's.
pub const REQUEST_LIMIT_BYTES: usize = VALUE_LIMIT_MAX_BYTES as usize
    + CONTEXT_LIMIT_BYTES
    + BUCKET_LIMIT_BYTES
    + KEY_LIMIT_BYTES
    + REQUEST_OVERHEAD_BYTES;
/// What a request takes beside what it carries.
const REQUEST_OVERHEAD_BYTES: usize = 1 << 10;
/// The versions in an answer to a get end with the one that would take their values past this size; then the
/// answer says that it does not show all.
pub const ANSWER_VALUES_BYTES: usize = FRAME_LIMIT_BYTES
    - CONTEXT_LIMIT_BYTES
    - SIBLINGS_MAX * VERSION_OVERHEAD_BYTES
    - REQUEST_OVERHEAD_BYTES;
/// What a version takes in an answer beside its value.
const VERSION_OVERHEAD_BYTES: usize = 64;
/// Values of the largest size that an idle node takes at once; queues in bytes are as long as that.
pub const LARGE_AT_ONCE: usize = 8;
/// What [`LARGE_AT_ONCE`] records with the largest value take.
pub const LARGE_AT_ONCE_BYTES: usize =
    LARGE_AT_ONCE * (VALUE_LIMIT_MAX_BYTES + RECORD_OVERHEAD_BYTES) as usize;
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
pub const DEPARTED_MAX: usize = 10_000;
/// The most digests in one page of a leaf.
pub const DIGEST_PAGE_RECORDS: u32 = 1024;
/// A page of digests ends with the key that takes it past this size.
pub const DIGEST_PAGE_BYTES: usize = 256 << 10;

/// The largest record limit that a bucket with `n` replicas may be given.
#[must_use]
pub const fn record_limit_max_bytes(n: u8) -> u32 {
    (RECORD_MAX_BYTES / if n == 0 { 1 } else { n as usize }) as u32
}

const _: () = assert!(
    RECORD_OVERHEAD_BYTES as usize > (SIBLING_LIMIT_MAX as usize + 1) * CLOCK_ENTRY_BYTES + 256
);
const _: () = assert!(ANSWER_VALUES_BYTES >= RECORD_MAX_BYTES);
const _: () = assert!(CLOCK_ENTRIES_MAX >= N_MAX as usize * (SIBLING_LIMIT_MAX as usize + 1));
const _: () = assert!(SIBLING_LIMIT_MAX as usize > CLOCK_ENTRIES_LIMIT);

//! Every bound on what may cross the wire. Names end with their unit.

/// Longest bucket name; the shortest has 1 byte.
pub const BUCKET_LIMIT_BYTES: usize = 256;
/// Longest key within a bucket; the shortest has 1 byte.
pub const KEY_LIMIT_BYTES: usize = 4096;
/// Longest name of a token or a certificate that has rights of its own.
pub const ACCESS_NAME_BYTES: usize = 256;
/// Most grants of one token or certificate.
pub const ACCESS_GRANTS_MAX: usize = 32;
/// Most bytes that the attributes of a value take in their encoded form.
pub const ATTRIBUTES_LIMIT_BYTES: usize = 64 << 10;
/// Largest value limit that a bucket may be given.
pub const VALUE_LIMIT_MAX_BYTES: u32 = 16 << 20;
/// Most bytes that a record takes beside its values while no more coordinators have put to it than its bucket's
/// sibling limit allows. A bucket's record limit exceeds its value limit by at least this.
pub const RECORD_OVERHEAD_BYTES: u32 = 16 << 10;
/// Largest record that is stored or sent. A bucket's record limit is at most the N-th part of this, so that records
/// which N isolated coordinators have each let grow to that limit can still be merged.
pub const RECORD_MAX_BYTES: usize = 64 << 20;
/// Longest frame, length prefix excluded; a longer one ends the connection that sent it. A frame carries a full
/// page, which ends with the record that takes it past its size, and so the largest record and its context.
pub const FRAME_LIMIT_BYTES: usize =
    RECORD_MAX_BYTES + SCAN_PAGE_BYTES + SCAN_PAGE_RECORDS as usize * PAGE_ENTRY_BYTES;
/// Bytes that a record takes in a page beside its own: its key, and pointers into the page.
const PAGE_ENTRY_BYTES: usize = BUCKET_LIMIT_BYTES + KEY_LIMIT_BYTES + 64;
/// Longest frame that a client or an admin sends: a put of the largest value with the longest context, or an
/// admin's longest list.
pub const REQUEST_LIMIT_BYTES: usize = VALUE_LIMIT_MAX_BYTES as usize
    + CONTEXT_LIMIT_BYTES
    + BUCKET_LIMIT_BYTES
    + KEY_LIMIT_BYTES
    + REQUEST_OVERHEAD_BYTES;
/// Bytes that a request takes beside its key, value and context.
const REQUEST_OVERHEAD_BYTES: usize = 1 << 10;
/// Total size of values past which an answer to a get ends with the version that exceeds it; the answer then says
/// that it is partial.
pub const ANSWER_VALUES_BYTES: usize = FRAME_LIMIT_BYTES
    - CONTEXT_LIMIT_BYTES
    - SIBLINGS_MAX * VERSION_OVERHEAD_BYTES
    - REQUEST_OVERHEAD_BYTES;
/// Bytes that a version takes in an answer beside its value.
const VERSION_OVERHEAD_BYTES: usize = 64;
/// Largest values that an idle node accepts at once; queues that are bounded in bytes have room for so many.
pub const LARGE_AT_ONCE: usize = 8;
/// Total size of [`LARGE_AT_ONCE`] records with a value of the largest size.
pub const LARGE_AT_ONCE_BYTES: usize =
    LARGE_AT_ONCE * (VALUE_LIMIT_MAX_BYTES + RECORD_OVERHEAD_BYTES) as usize;
/// Frame size above which a frame travels on a stream of its own, so that no small frame waits behind it.
pub const SMALL_FRAME_BYTES: usize = 32 << 10;
/// Most records in one scan page.
pub const SCAN_PAGE_RECORDS: u32 = 1024;
/// Size past which a scan page ends with the record that exceeds it.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Clock entries past which the oldest without a live sibling are truncated, as a last resort.
pub const CLOCK_ENTRIES_LIMIT: usize = 64;
/// Largest N that a bucket may be given.
pub const N_MAX: u8 = 16;
/// Largest sibling limit that a bucket may be given.
pub const SIBLING_LIMIT_MAX: u16 = 500;
/// Most siblings of one record, retries included: as many as N isolated coordinators can each allow before their
/// records are merged.
pub const SIBLINGS_MAX: usize = N_MAX as usize * SIBLING_LIMIT_MAX as usize;
/// Most entries of a record's clock, and of the context that a get returns. A coordinator leaves at most the larger
/// of [`CLOCK_ENTRIES_LIMIT`] and one more than there were siblings, and N such clocks may be merged.
pub const CLOCK_ENTRIES_MAX: usize = 8192;
/// Longest context: its format, a clock of [`CLOCK_ENTRIES_MAX`] entries, its checksum.
pub const CONTEXT_LIMIT_BYTES: usize = 32 + CLOCK_ENTRY_BYTES * CLOCK_ENTRIES_MAX;
/// Encoded size of one clock entry.
const CLOCK_ENTRY_BYTES: usize = 24;
/// Most targets or changes in one list of an admin's request; no cluster has more members.
pub const ADMIN_LIST_MAX: usize = 10_000;
/// Longest text in an admin's request: a zone, a property's name or its value.
pub const ADMIN_TEXT_BYTES: usize = 4096;
/// Longest timeout that a client may set for a request; the shortest is 1.
pub const TIMEOUT_MAX_MS: u32 = 600_000;
/// Timeout of a client's request unless the program sets another.
pub const TIMEOUT_DEFAULT_MS: u32 = 5_000;
/// Most targets that one hint may name: no key has more primaries.
pub const HINT_TARGETS_MAX: usize = N_MAX as usize;
/// Most records in one page of a partition that moves. It is small enough for clients not to notice while a page
/// is read at one end and synced at the other.
pub const FETCH_PAGE_RECORDS: u32 = 128;
/// Most layouts whose owners one request has to reach. Past it a commit is refused until data has moved; for a commit
/// that gives up a dead node the limit is twice that.
pub const LAYOUTS_MAX: usize = 8;
/// Most departed nodes that a cluster remembers.
pub const DEPARTED_MAX: usize = 10_000;
/// Most digests in one page of leaves.
pub const DIGEST_PAGE_RECORDS: u32 = 1024;
/// Size past which a page of digests ends with the key that exceeds it.
pub const DIGEST_PAGE_BYTES: usize = 256 << 10;

/// Returns the largest record limit that a bucket with `n` replicas may be given.
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

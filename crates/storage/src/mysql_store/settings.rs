//! Settings of the server without which a write would not be durable, or would not fit.
//!
//! Invariant: no engine is opened, and no batch written, on a server that may lose what it says it has.

use jedlik_protocol::limits::RECORD_MAX_BYTES;
use mysql::prelude::{FromValue, Queryable};
use mysql::{Conn, FromValueError, Value};

use super::failures::Failure;

/// Size of the largest statement, about, in bytes: a record of the largest size, its key and what stands around them.
pub(super) const PACKET_LEAST_BYTES: u64 = RECORD_MAX_BYTES as u64 + (1 << 20);

/// Refuses a server whose settings may lose what was written.
pub(super) fn check(conn: &mut Conn) -> Result<(), Failure> {
    let is = |setting: &str, needed: &str, why: &str| {
        let what = format!("the server has {setting}; {why}: set {needed}");
        Failure::Refused(what)
    };
    let of = |conn: &mut Conn, name: &str| -> Result<Option<String>, Failure> {
        let row: Option<(String, Value)> =
            conn.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'"))?;
        Ok(row.map(|(_, value)| text(value)).transpose().map_err(mysql::Error::from)?)
    };
    let needed = [
        ("innodb_flush_log_at_trx_commit", "1", "a commit would not be durable"),
        ("innodb_doublewrite", "ON", "a power cut could tear pages"),
    ];
    for (name, value, why) in needed {
        let found = of(conn, name)?.unwrap_or_default();
        // Newer servers of MySQL have a longer word for ON.
        let is_on = value == "ON" && found.eq_ignore_ascii_case("DETECT_AND_RECOVER");
        if !found.eq_ignore_ascii_case(value) && !is_on {
            return Err(is(&format!("{name} = {found}"), &format!("{name} = {value}"), why));
        }
    }
    let (log, synced) = (of(conn, "log_bin")?, of(conn, "sync_binlog")?.unwrap_or_default());
    if log.is_some_and(|log| log.eq_ignore_ascii_case("ON")) && synced != "1" {
        let why = "a crash could undo commits that its binary log lacks";
        return Err(is(&format!("sync_binlog = {synced}"), "sync_binlog = 1", why));
    }
    let method = of(conn, "innodb_flush_method")?.unwrap_or_default();
    if method.eq_ignore_ascii_case("nosync") || method.eq_ignore_ascii_case("littlesync") {
        let why = "it does not sync what it writes";
        let setting = format!("innodb_flush_method = {method}");
        return Err(is(&setting, "innodb_flush_method = O_DIRECT", why));
    }
    let packet = of(conn, "max_allowed_packet")?.unwrap_or_default();
    if packet.parse::<u64>().is_ok_and(|bytes| bytes < PACKET_LEAST_BYTES) {
        let why = "the largest record would not fit into a statement";
        let needed = format!("max_allowed_packet = {PACKET_LEAST_BYTES} or more");
        return Err(is(&format!("max_allowed_packet = {packet}"), &needed, why));
    }
    Ok(())
}

fn text(value: Value) -> Result<String, FromValueError> {
    String::from_value_opt(value)
}

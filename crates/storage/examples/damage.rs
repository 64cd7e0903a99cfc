//! Removes or alters records of a stopped node behind its back: `damage FILE remove|alter EVERY`, where
//! FILE is a shard's `records.redb`, and every EVERY-th record is hit.
//!
//! A removed record leaves no trace; an altered one fails its checksum from then on. See the drawings
//! in `redb_store.rs` and `format.rs`. What the shard has kept over a clean stop does not know of it.

use std::env;
use std::error::Error;
use std::path::Path;

use jedlik_storage::open_redb_file;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: damage FILE remove|alter EVERY";
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, how, every] = arguments.as_slice() else { return Err(usage.into()) };
    let every: usize = every.parse()?;
    let database = open_redb_file(Path::new(file), 1 << 20)?;
    let keys: Vec<Vec<u8>> = database
        .begin_read()?
        .open_table(RECORDS)?
        .range::<&[u8]>(..)?
        .step_by(every.max(1))
        .map(|row| row.map(|(key, _)| key.value().to_vec()))
        .collect::<Result<_, _>>()?;
    let transaction = database.begin_write()?;
    {
        let mut records = transaction.open_table(RECORDS)?;
        for key in &keys {
            match how.as_str() {
                "remove" => drop(records.remove(key.as_slice())?),
                "alter" => {
                    let Some(row) = records.get(key.as_slice())? else { continue };
                    let mut value = row.value().to_vec();
                    drop(row);
                    // The last byte is the record's.
                    if let Some(last) = value.last_mut() {
                        *last ^= 1;
                    }
                    records.insert(key.as_slice(), value.as_slice())?;
                }
                _ => return Err(usage.into()),
            }
        }
    }
    transaction.commit()?;
    println!("{} records: {how}", keys.len());
    Ok(())
}

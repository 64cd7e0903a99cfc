//! Loads many keys with many puts in flight, prints the progress, and counts the keys afterwards.
//!
//!     cargo run -p jedlik-client --example bulk_load -- 127.0.0.1:7101 .jedlik/client/tls /usr/share/dict/words

use std::error::Error;

use jedlik_client::{Client, ClientError, Identity, PutOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seed, tls, path] = &words[..] else {
        return Err("give HOST:PORT, a folder and a file of lines".into());
    };
    let file = |name: &str| format!("{tls}/{name}.pem");
    let identity = Identity::from_pem_files(file("ca"), file("cert"), file("key"))?;
    let db = Client::builder().seeds([seed]).identity(identity).connect().await?;
    let lines: Vec<String> = std::fs::read_to_string(path)?.lines().map(str::to_owned).collect();
    println!("{:?}", run(&db, lines).await?);
    Ok(())
}

/// Outcome of a load: counts of keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) stored: usize,
    pub(crate) failed: usize,
    /// Keys that the bucket lists afterwards, including those of earlier loads.
    pub(crate) there: usize,
}

/// Stores every line under itself as the key.
pub(crate) async fn run(db: &Client, lines: Vec<String>) -> Result<Loaded, ClientError> {
    let (words, total) = (db.bucket("example-words"), lines.len());
    let entries = lines.into_iter().map(|line| (line.clone(), line));
    let mut puts = words.put_many(entries).concurrency(128).options(&PutOptions::new().w(2));
    let mut loaded = Loaded::default();
    while let Some((key, outcome)) = puts.next().await {
        match outcome {
            Ok(_) => loaded.stored += 1,
            Err(error) => {
                loaded.failed += 1;
                eprintln!("{}: {error}", key.escape_ascii());
            }
        }
        let done = loaded.stored + loaded.failed;
        if done * 10 / total > (done - 1) * 10 / total {
            println!("{} %", done * 100 / total);
        }
    }

    let mut keys = words.keys().await?;
    while let Some(key) = keys.next().await {
        key?;
        loaded.there += 1;
    }
    Ok(loaded)
}

//! A set that many clients add to at the same time with `update`: each of them finds its tag in it afterwards.
//!
//!     cargo run -p jedlik-client --example tags -- 127.0.0.1:7101 .jedlik/client/tls

use std::collections::BTreeSet;
use std::error::Error;

use jedlik_client::{Bucket, Client, ClientError, Identity, Sibling, Updated};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seed, tls] = &words[..] else { return Err("give HOST:PORT and a folder".into()) };
    let file = |name: &str| format!("{tls}/{name}.pem");
    let identity = Identity::from_pem_files(file("ca"), file("cert"), file("key"))?;
    let db = Client::builder().seeds([seed]).identity(identity).connect().await?;
    println!("the tags: {:?}", run(&db, 16).await?);
    Ok(())
}

/// Lets this many tasks add a tag each, and returns the tags that are there afterwards.
pub(crate) async fn run(db: &Client, writers: usize) -> Result<BTreeSet<String>, ClientError> {
    let photos = db.bucket("example-photos");
    let mut adding = JoinSet::new();
    for writer in 0..writers {
        let photos = photos.clone();
        adding.spawn(async move { add(&photos, "cat.jpg", &format!("tag-{writer}")).await });
    }
    for updated in adding.join_all().await {
        let updated = updated?;
        println!("added in {} attempts", updated.attempts());
    }
    Ok(union(photos.get("cat.jpg").await?.siblings()))
}

/// Adds a tag. Adding it twice is the same as adding it once, as `update` demands.
async fn add(photos: &Bucket, photo: &str, tag: &str) -> Result<Updated, ClientError> {
    let with_tag = |siblings: &[Sibling]| {
        let mut tags = union(siblings);
        tags.insert(tag.to_owned());
        tags.into_iter().collect::<Vec<_>>().join("\n")
    };
    photos.update(photo, with_tag).attempts(100).await
}

/// Returns the tags of all siblings, each once.
fn union(siblings: &[Sibling]) -> BTreeSet<String> {
    let values = siblings.iter().filter_map(Sibling::value);
    values
        .flat_map(|value| {
            let text = String::from_utf8_lossy(value);
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

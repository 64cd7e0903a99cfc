//! A shopping cart that two devices fill at the same time: both writes succeed, and nothing that was put in is lost.
//!
//!     cargo run -p jedlik-client --example cart -- 127.0.0.1:7101 .jedlik/client/tls

use std::collections::BTreeMap;
use std::error::Error;

use jedlik_client::{Client, ClientError, Identity, Sibling};

/// Count of each item in a cart.
type Cart = BTreeMap<String, u32>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seed, tls] = &words[..] else { return Err("give HOST:PORT and a folder".into()) };
    let file = |name: &str| format!("{tls}/{name}.pem");
    let identity = Identity::from_pem_files(file("ca"), file("cert"), file("key"))?;
    let db = Client::builder().seeds([seed]).identity(identity).connect().await?;
    println!("the cart: {:?}", run(&db).await?);
    Ok(())
}

/// Fills a cart from two devices and returns its contents afterwards.
pub(crate) async fn run(db: &Client) -> Result<Cart, ClientError> {
    let carts = db.bucket("example-carts");

    // Neither device has seen what the other has written, so the values become siblings.
    carts.put("alice", "tea 1\nmilk 1").await?;
    carts.put("alice", "tea 2\ncoffee 1").await?;

    // The next reader sees both, and replaces them with what they mean together.
    let found = carts.get("alice").await?;
    println!("{} siblings", found.siblings().len());
    let merged = merge(found.siblings());
    carts.put("alice", to_text(&merged)).context(found.context()).await?;

    let found = carts.get("alice").await?;
    println!("{} sibling", found.siblings().len());
    Ok(merge(found.siblings()))
}

/// Merges all siblings into one cart: of each item as many as the fullest cart has.
fn merge(siblings: &[Sibling]) -> Cart {
    let mut merged = Cart::new();
    for value in siblings.iter().filter_map(Sibling::value) {
        for line in String::from_utf8_lossy(value).lines() {
            let Some((item, count)) = line.split_once(' ') else { continue };
            let most = merged.entry(item.to_owned()).or_default();
            *most = (*most).max(count.parse().unwrap_or(0));
        }
    }
    merged
}

fn to_text(cart: &Cart) -> String {
    let lines = cart.iter().map(|(item, count)| format!("{item} {count}"));
    lines.collect::<Vec<_>>().join("\n")
}

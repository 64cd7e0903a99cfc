//! Writes and reads all the time and prints the effects of a node's failure: kill a node meanwhile.
//!
//!     cargo run -p jedlik-client --example failover -- 127.0.0.1:7101 .jedlik/client/tls

use std::error::Error;
use std::time::{Duration, Instant};

use jedlik_client::{Client, Identity};

/// Time above which a round of two requests is printed.
const LONG: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seed, tls] = &words[..] else { return Err("give HOST:PORT and a folder".into()) };
    let file = |name: &str| format!("{tls}/{name}.pem");
    let identity = Identity::from_pem_files(file("ca"), file("cert"), file("key"))?;
    let db = Client::builder().seeds([seed]).identity(identity).connect().await?;
    let end = Instant::now() + Duration::from_secs(60);
    println!("{:?}", run(&db, |_| Instant::now() < end).await);
    Ok(())
}

/// Counts of what the requests met, and the longest round.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Gets that did not return the value put just before. A get and a put may each have met another stand-in for the
    /// node that is down; the value is stored, and returned later.
    pub(crate) late: u64,
    pub(crate) longest: Duration,
    /// Names of the members that were reported down.
    pub(crate) down: Vec<String>,
}

/// Puts a value and gets it again, key after key, while `goes_on`.
pub(crate) async fn run(db: &Client, goes_on: impl Fn(&Seen) -> bool) -> Seen {
    let (beats, mut seen) = (db.bucket("example-beats"), Seen::default());
    for beat in 0_u64.. {
        if !goes_on(&seen) {
            break;
        }
        let (key, begun) = (format!("beat-{}", beat % 64), Instant::now());
        let put = beats.update(&key, |_| beat.to_string()).await.map(|_| ());
        let found = beats.get(&key).await;
        let took = begun.elapsed();
        seen.requests += 2;
        seen.longest = seen.longest.max(took);
        if took > LONG {
            println!("{took:.0?} for beat {beat}");
        }
        for error in [put.as_ref().err(), found.as_ref().err()].into_iter().flatten() {
            seen.failed += 1;
            println!("beat {beat}: {error}");
        }
        if let (Ok(()), Ok(found)) = (put, found) {
            let value = beat.to_string();
            seen.late += u64::from(!found.values().any(|found| *found == value));
        }
        for member in db.members().into_iter().filter(|member| !member.alive) {
            if !seen.down.contains(&member.name) {
                println!("{} is down", member.name);
                seen.down.push(member.name);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

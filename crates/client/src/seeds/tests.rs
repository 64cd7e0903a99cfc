//! Names whose look-up is quick, slow or endless, on virtual time.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::{LookedUp, look_up};
use crate::hedge::DELAY_MAX;
use crate::request_loop::now;

const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves `after-MS` after that many milliseconds and `never` not at all; any other name is unknown.
async fn lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    match name.strip_prefix("after-").map(|ms| ms.parse().unwrap()) {
        Some(ms) => {
            sleep(Duration::from_millis(ms)).await;
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], ms as u16))])
        }
        None if name == "never" => pending().await,
        None => Err(io::Error::other("unknown")),
    }
}

/// Looks names up and returns the ports found, the unusable seeds, and the time taken.
async fn ports(names: &[&str]) -> (Vec<u16>, Vec<String>, Duration) {
    let (begun, names) = (now(), names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let LookedUp { addresses, errors } = look_up(&names, begun + PATIENCE, lookup).await;
    let ports = addresses.iter().map(SocketAddr::port).collect();
    (ports, errors.into_iter().map(|error| error.seed).collect(), now() - begun)
}

#[tokio::test(start_paused = true)]
async fn addresses_come_in_the_order_of_the_seeds_and_take_no_time() {
    let (found, unusable, took) = ports(&["127.0.0.1:2", "127.0.0.1:1", "unknown"]).await;
    assert_eq!((found, unusable), (vec![2, 1], vec!["unknown".to_owned()]));
    assert!(took < DELAY_MAX, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_takes_long_holds_the_others_up_for_a_moment_only() {
    let (found, unusable, took) = ports(&["never", "127.0.0.1:1", "after-50"]).await;
    assert_eq!((found, unusable), (vec![1, 50], vec!["never".to_owned()]));
    assert!(took < 2 * DELAY_MAX, "{took:?}");
    let (found, _, took) = ports(&["never", "after-900", "after-1000"]).await;
    assert_eq!(found, [900, 1000], "a moment from the first that is known");
    assert!(took < Duration::from_millis(900) + 2 * DELAY_MAX, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn names_of_which_none_is_found_are_waited_for_until_the_time_is_up() {
    let (found, unusable, took) = ports(&["never"]).await;
    assert_eq!((found, unusable, took), (vec![], vec!["never".to_owned()], PATIENCE));
}

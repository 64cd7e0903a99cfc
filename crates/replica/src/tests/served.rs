//! For whose sake a replica asks what it asks.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Durability, EncodedRecord, Record};
use jedlik_storage_port::Holding;

use super::cluster::{Cluster, blind, get_request, terms};
use crate::{Input, Output};

const ME: NodeId = NodeId(1);

/// Gives the node an input, answers its loads with nothing, and returns what it asks: whether a call to a peer, and
/// whom that serves.
fn asked(cluster: &mut Cluster, input: Input) -> Vec<(bool, Option<u64>)> {
    let now = cluster.now;
    let replica = &mut cluster.node(ME).replica;
    replica.handle(now, input);
    let mut asked = Vec::new();
    while let Some(output) = replica.poll_output() {
        let (is_call, id) = match &output {
            Output::Load { ticket, .. } | Output::Apply { ticket, .. } => (false, *ticket),
            Output::Request { id, .. } => (true, *id),
            _ => continue,
        };
        asked.push((is_call, replica.served_by(id, |_| true)));
        assert_eq!(replica.served_by(id, |_| false), None, "only what is wanted counts");
        assert_eq!(replica.awaits(id), is_call, "{output:?}");
        if let Output::Load { ticket, .. } = output {
            replica.handle(now, Input::Loaded { ticket, result: Ok(Holding::default()) });
        }
    }
    asked
}

#[test]
fn what_is_asked_says_which_request_it_serves() {
    let mut cluster = Cluster::new(3, &[]);
    let get = Input::Client { reply: 71, request: ClientRequest::Get(get_request("tea")) };
    let of_get = asked(&mut cluster, get);
    assert_eq!(of_get[0], (false, Some(71)), "its own copy");
    assert!(of_get[1..].contains(&(true, Some(71))), "{of_get:?}");
    let put = ClientRequest::Put(blind("tea", "green"));
    let put = Input::Client { reply: 72, request: put };
    let of_put = asked(&mut cluster, put);
    // What it is minted on is read for all puts of the key.
    assert_eq!(of_put[0], (false, None));
    assert!(
        of_put.contains(&(false, Some(72))) && of_put.contains(&(true, Some(72))),
        "{of_put:?}"
    );
    let layouts = cluster.view(ME).active_layouts();
    let record = EncodedRecord::encode(&Record::new());
    let (key, durability) = (cluster.placed("milk").key, Durability::Synced);
    let request = PeerRequest::Write { key, record, durability };
    let clock = Cluster::config(ME, 1).clock_start + cluster.now.mono_us;
    let (from, reply, terms) = (NodeId(2), 73, terms(layouts, clock));
    let write = Input::Peer { from, reply, terms, request };
    assert_eq!(asked(&mut cluster, write), [(false, Some(73))]);
}

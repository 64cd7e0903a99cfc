//! Kept connections to the other members and to the seeds.
//!
//! Invariant: there is one link for each member with an address, dialled at that address and to that
//! node alone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use jedlik_hashing::NodeId;
use jedlik_net::{Connection, Endpoint, Peer, PeerState, SendError};
use jedlik_protocol::codec::Frame;

/// Member that a link is kept to.
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    /// Whether the member is dialled seldom, since nothing depends on it.
    pub(crate) seldom: bool,
}

/// Links of this node to members and seeds.
#[derive(Default)]
pub(crate) struct Peers {
    links: RwLock<Links>,
}

#[derive(Default)]
struct Links {
    members: HashMap<NodeId, Arc<Peer>>,
    seeds: HashMap<SocketAddr, Arc<Peer>>,
}

impl Peers {
    /// Sends a frame to a member; never blocks.
    pub(crate) fn send(&self, node: NodeId, frame: Frame) -> Result<(), SendError> {
        let link = self.read(|links| links.members.get(&node).cloned());
        link.ok_or(SendError::Closed)?.send(frame)
    }

    /// Sends a frame to the node that listens at `address`. To be called within the runtime.
    pub(crate) fn send_to_seed(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        frame: Frame,
    ) -> Result<(), SendError> {
        let known = self.read(|links| links.seeds.get(&address).cloned());
        let link = known.unwrap_or_else(|| {
            let link = Arc::new(Peer::new(endpoint, address, None));
            self.write(|links| links.seeds.insert(address, Arc::clone(&link)));
            link
        });
        link.send(frame)
    }

    /// Gives up the links to addresses that are no seeds any more.
    pub(crate) fn retain_seeds(&self, seeds: &[SocketAddr]) {
        self.write(|links| links.seeds.retain(|address, _| seeds.contains(address)));
    }

    /// Gives up the links to seeds that don't answer: the next message to one dials it once more.
    pub(crate) fn rest_silent_seeds(&self) {
        let answers = |link: &Arc<Peer>| !matches!(link.state(), PeerState::Down { .. });
        self.write(|links| links.seeds.retain(|_, link| answers(link)));
    }

    /// Returns the state of the link to each seed that was ever sent to.
    pub(crate) fn seed_states(&self) -> BTreeMap<SocketAddr, PeerState> {
        let state = |(address, link): (&SocketAddr, &Arc<Peer>)| (*address, link.state());
        self.read(|links| links.seeds.iter().map(state).collect())
    }

    /// Makes and keeps links to `members`, and gives up all others. To be called within the runtime.
    pub(crate) fn update(&self, endpoint: &Endpoint, members: impl Iterator<Item = Member>) {
        self.write(|links| {
            let mut before = std::mem::take(&mut links.members);
            for Member { node, address, seldom } in members {
                let kept = before.remove(&node).filter(|link| link.address() == address);
                let link =
                    kept.unwrap_or_else(|| Arc::new(Peer::new(endpoint, address, Some(node))));
                link.dial_seldom(seldom);
                links.members.insert(node, link);
            }
        });
    }

    /// Dials a member at once that was just heard from, if it was taken to be down.
    pub(crate) fn wake(&self, node: NodeId) {
        if let Some(link) = self.read(|links| links.members.get(&node).cloned()) {
            link.wake();
        }
    }

    /// Gives up every link.
    pub(crate) fn clear(&self) {
        self.write(|links| *links = Links::default());
    }

    /// Whether the link to `node` stands on another connection than `lost`.
    pub(crate) fn has_other_connection(&self, node: NodeId, lost: &Connection) -> bool {
        let link = self.read(|links| links.members.get(&node).cloned());
        let current = link.and_then(|link| link.connection());
        current.is_some_and(|current| current.id() != lost.id() && !current.is_closed())
    }

    /// Returns the number of members that are connected.
    pub(crate) fn connected(&self) -> usize {
        self.read(|links| links.members.values().filter(|link| link.connection().is_some()).count())
    }

    // A panic while the lock is held can't leave the tables half changed: both maps stay valid.
    fn read<T>(&self, look: impl FnOnce(&Links) -> T) -> T {
        look(&self.links.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Links) -> T) -> T {
        change(&mut self.links.write().unwrap_or_else(PoisonError::into_inner))
    }
}

//! Replicas driven by hand.

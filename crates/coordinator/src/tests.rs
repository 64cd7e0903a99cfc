//! Machines driven by hand.

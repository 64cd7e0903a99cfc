//! Clocks: order and joins.

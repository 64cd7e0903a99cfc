//! The actor rule.

//! Reads Tables.

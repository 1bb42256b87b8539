//! The runner library.

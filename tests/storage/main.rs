//! Journal, database and store against a disk that forgets, and against damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backup;
mod damage;
mod database;
mod erase;
mod files;
mod journal;
mod records;
mod reference;
mod rows;
mod store;
mod twice_torn;

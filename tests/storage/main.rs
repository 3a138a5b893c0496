//! Journal, database and store against a disk that forgets, and against damage.

mod damage;
mod database;
mod journal;
mod records;
mod reference;
mod rows;
mod store;

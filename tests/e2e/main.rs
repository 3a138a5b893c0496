//! The real program from end to end: server, client and operator's commands, as people use them.
//!
//! What each rule says is tested beside the engine; here it is shown that the parts are joined.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod backup;
mod client;
mod corpus;
mod crowd;
mod devices;
mod durable;
mod examples;
mod hostile;
mod invites;
mod kept;
#[cfg(feature = "links")]
mod links;
mod lockout;
mod logs;
#[cfg(feature = "links")]
mod many;
mod operator;
mod original;
mod people;
mod presence;
mod protocol;
mod proxy;
mod regressions;
mod relay;
#[cfg(feature = "relay")]
mod relayed;
mod shares;
mod slow;
mod soak;
#[cfg(feature = "links")]
mod swarm;
mod terminal;
mod tls;
mod versions;

use std::path::Path;

use serde_json::{Value, json};
use whoelse_tests::program::{Server, Setup};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_whoelse");

/// A server that knows these people.
fn server(names: &[&str]) -> Server {
    setup(names).start()
}

/// A server to be started that knows these people.
fn setup(names: &[&str]) -> Setup {
    Setup::new(PROGRAM).people(names)
}

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn message(user: &str, text: &str) -> Value {
    json!({"action": "message", "user": user, "message": text})
}

fn message_with_id(user: &str, text: &str, id: &str) -> Value {
    json!({"action": "message", "user": user, "message": text, "id": id})
}

fn broadcast(text: &str) -> Value {
    json!({"action": "broadcast", "message": text})
}

fn block(user: &str) -> Value {
    json!({"action": "block", "user": user})
}

fn unblock(user: &str) -> Value {
    json!({"action": "unblock", "user": user})
}

fn whoelse() -> Value {
    json!({"action": "whoelse"})
}

fn whoelsesince(seconds: u64) -> Value {
    json!({"action": "whoelsesince", "since": seconds})
}

fn ack(number: u64) -> Value {
    json!({"action": "ack", "number": number})
}

fn logout() -> Value {
    json!({"action": "logout"})
}

//! A whoelse client without a screen.
//!
//! [`core`] decides: a plain value that is told what happened and when, and says what to send,
//! what to tell the person and when to connect again. It reads no clock, draws no randomness and
//! does no IO, so that hours of a bad line are a test of microseconds. [`driver`] is the loop
//! around it that has a socket and a clock; [`trust`] decides whom it talks to, [`known`] and
//! [`profile`] keep what must be known at the next start. What a person sees is made by others out of
//! [`Notice`]s; this crate never prints and never reads the environment.

pub mod command;
mod connect;
pub mod core;
pub mod driver;
mod folder;
pub mod known;
pub mod links;
pub mod log;
mod mailbox;
pub mod notice;
mod outbox;
mod pauses;
pub mod profile;
mod tls;
pub mod trust;
pub mod unencrypted;

pub use command::{Command, Passwords, SafetyStep};
pub use core::Core;
pub use known::KnownServers;
pub use notice::{
    Answer, Ending, LoginRefusal, Loss, NoLog, Notice, Question, Refusal, Security, Tell, Told,
    Trouble, Waiting, Why,
};
pub use trust::Distrust;

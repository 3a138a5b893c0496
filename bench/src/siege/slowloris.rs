//! Requests before login that never end: each connection sends one byte a second.

use std::time::{Duration, Instant};

use super::cli::SlowlorisTerms;
use super::verdict::Verdict;
use super::visitor::{self, Visitor};
use super::wire::{News, Wire};
use super::{Field, progress};
use crate::failure::Failure;
use crate::server::Server;

/// What is sent, byte by byte; longer than anybody can send in the time there is.
const REQUEST: &[u8] =
    b"{\"action\":\"login\",\"username\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu";

/// How long a request may take, and how much later its end may be seen.
const CUT_SECONDS_MAX: f64 = 10.0 + 2.0;

/// An end before this many seconds is not the request's own: somebody newer needed the place.
const PUSHED_OUT_SECONDS: f64 = 9.5;

/// From one visit to the next.
const VISIT_EVERY: Duration = Duration::from_millis(200);

/// How long to watch those who should have been cut.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds the line, with a visitor throughout.
pub(crate) fn attack(field: &Field, terms: &SlowlorisTerms) -> Result<Verdict, Failure> {
    field.against(visitor::PEOPLE, &[], |server| hold(server, terms))
}

/// A connection: when it sent its first byte, how many it has sent, and how long it lived.
#[derive(Clone, Copy, Debug)]
struct Loris {
    begun: Instant,
    sent: usize,
    lived: Option<Duration>,
}

fn hold(server: &Server, terms: &SlowlorisTerms) -> Result<Verdict, Failure> {
    let visitor = Visitor::begin(server.address, VISIT_EVERY)?;
    let mut wire = Wire::new(server.address)?;
    let mut lorises: Vec<Loris> = Vec::new();
    let begun = Instant::now();
    for place in 0..terms.connections as usize {
        wire.connect_at(place)?;
        wire.say(place, &REQUEST[..1]);
        lorises.push(Loris { begun: Instant::now(), sent: 1, lived: None });
        if place % 100 == 99 {
            listen(&mut wire, &mut lorises, Duration::from_millis(1))?;
        }
    }
    let opening = begun.elapsed();
    progress(&format!("slowloris: {} connections in {opening:.1?}", lorises.len()));
    let deadline = Instant::now() + PATIENCE;
    while lorises.iter().any(|loris| loris.lived.is_none()) && Instant::now() < deadline {
        send(&mut wire, &mut lorises);
        listen(&mut wire, &mut lorises, Duration::from_millis(50))?;
    }
    let visits = visitor.end()?;

    let lived: Vec<f64> =
        lorises.iter().filter_map(|loris| loris.lived).map(|lived| lived.as_secs_f64()).collect();
    let pushed_out = lived.iter().filter(|seconds| **seconds < PUSHED_OUT_SECONDS).count();
    let mut verdict = Verdict::on("slowloris");
    verdict.note("connections", lorises.len());
    verdict.note("pushed_out", pushed_out);
    verdict.note("timed_out", lived.len() - pushed_out);
    verdict.none("not_cut", (lorises.len() - lived.len()) as u64);
    let longest = lived.iter().copied().fold(f64::NAN, f64::max);
    verdict.at_most("longest_s", longest, CUT_SECONDS_MAX);
    visits.judge(&mut verdict);
    Ok(verdict)
}

/// Sends the bytes that are due.
fn send(wire: &mut Wire, lorises: &mut [Loris]) {
    for (place, loris) in lorises.iter_mut().enumerate() {
        let due = loris.begun + Duration::from_secs(loris.sent as u64);
        if loris.lived.is_none() && Instant::now() >= due && loris.sent < REQUEST.len() {
            wire.say(place, &REQUEST[loris.sent..=loris.sent]);
            loris.sent += 1;
        }
    }
}

fn listen(wire: &mut Wire, lorises: &mut [Loris], patience: Duration) -> Result<(), Failure> {
    wire.pump(patience, |place, news, _| {
        if news == News::Ended {
            lorises[place].lived = Some(lorises[place].begun.elapsed());
        }
    })
}

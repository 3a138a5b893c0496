//! Connections that come and go at once: nothing of them may stay.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::cli::KnockTerms;
use super::figures::{mebibytes, slope};
use super::verdict::Verdict;
use super::visitor::{self, Visitor};
use super::{Field, progress};
use crate::failure::{Explain, Failure};
use crate::server::Server;

/// Knocks between two looks at the server.
const ROUND: u32 = 1000;

/// Knocks after which memory is expected not to grow, and the least time they may have taken.
///
/// The server remembers for up to 20 s that a connection was to end, and 10 s that a request had
/// begun, also of connections that are gone: at a steady rate that is a steady amount.
const WARM_UP: u32 = 5000;
const WARM_UP_TIME: Duration = Duration::from_secs(40);

/// Looks at memory that make a line.
const POINTS_MIN: usize = 4;

/// From one visit to the next: seldom, because what a visit does is remembered for good.
const VISIT_EVERY: Duration = Duration::from_secs(1);

/// How long the server may take to let go of a round.
const LET_GO_PATIENCE: Duration = Duration::from_secs(5);

/// What is sent that is no request, or none to this server.
const GARBAGE: [&[u8]; 6] = [
    b"\x00\xff\xfe\x80\x9b31m\n\n}{][\"\\\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"{\"action\":\"login\",\"username\":7}\n{{{{{{{{{{{{{{{{{{{{{{{{{{\n",
    b"[1,2,3]\nnull\n\"\xed\xa0\x80\"\n",
    b"{\"action\":\"whoelse\"}{\"action\":\"whoelse\"}{\"action\":",
];

/// Knocks, with a visitor throughout.
pub(crate) fn attack(field: &Field, terms: &KnockTerms) -> Result<Verdict, Failure> {
    field.against(visitor::PEOPLE, &[], |server| knock(server, terms))
}

fn knock(server: &Server, terms: &KnockTerms) -> Result<Verdict, Failure> {
    // Whatever is made once for the first visit is not what the knocks leave behind.
    let visitor = Visitor::begin(server.address, VISIT_EVERY)?;
    thread::sleep(Duration::from_secs(2));
    visitor.end()?;
    let before = at_rest(server, 0)?;

    let visitor = Visitor::begin(server.address, VISIT_EVERY)?;
    let (mut resident, mut anonymous) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for round in 1..=terms.times / ROUND {
        for knock in 0..ROUND {
            knock_once(server.address, knock)?;
            let knocks = (round - 1) * ROUND + knock + 1;
            wait_for_turn(begun, knocks, terms.rate);
        }
        // Host and visitor, who may be on the way in or out.
        at_rest(server, before + 2)?;
        let (rss, anon) = (server.resident_bytes()?, server.anonymous_bytes()?);
        let knocks = round * ROUND;
        progress(&format!("knock: {knocks} times, {:.2} MiB resident", mebibytes(rss)));
        if knocks >= WARM_UP && begun.elapsed() >= WARM_UP_TIME {
            resident.push((f64::from(round), rss as f64 / 1024.0));
            anonymous.push((f64::from(round), anon as f64 / 1024.0));
        }
    }
    let elapsed = begun.elapsed();
    let visits = visitor.end()?;
    let after = at_rest(server, before)?;

    let mut verdict = Verdict::on("knock");
    verdict.note("times", terms.times / ROUND * ROUND);
    let per_second = f64::from(terms.times) / elapsed.as_secs_f64();
    verdict.note("per_second", format_args!("{per_second:.0}"));
    let is_line = resident.len() >= POINTS_MIN;
    verdict.note("points", resident.len());
    let rise = if is_line { slope(&resident) } else { f64::NAN };
    verdict.at_most("slope_kib_per_1000", rise, 1.0);
    verdict.note("anon_slope_kib_per_1000", format_args!("{:.2}", slope(&anonymous)));
    verdict.note("rss_mib", format_args!("{:.1}", mebibytes(server.resident_bytes()?)));
    verdict.note("descriptors_before", before);
    verdict.none("descriptors_left", after.saturating_sub(before) as u64);
    visits.judge(&mut verdict);
    Ok(verdict)
}

/// Waits until the server has let go of all but so many descriptors, or 0: until their number
/// stays; says how many it has.
fn at_rest(server: &Server, expected: usize) -> Result<usize, Failure> {
    let deadline = Instant::now() + LET_GO_PATIENCE;
    let mut descriptors = server.descriptors()?;
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut descriptors, server.descriptors()?);
        if descriptors <= expected || (expected == 0 && descriptors == before) {
            break;
        }
    }
    Ok(descriptors)
}

/// Waits until so many knocks are due.
fn wait_for_turn(begun: Instant, knocks: u32, rate: u32) {
    if rate > 0 {
        let due = Duration::from_secs_f64(f64::from(knocks) / f64::from(rate));
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

fn knock_once(address: SocketAddr, knock: u32) -> Result<(), Failure> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(10))
        .explain(|| "knocking".into())?;
    let bytes: &[u8] = match knock % 4 {
        0 => b"",
        1 => b"{\"action\":\"login\",\"username\":\"u00",
        2 => {
            set_socket_linger(&socket, Some(Duration::ZERO)).explain(|| "setting linger".into())?;
            if knock % 8 == 2 { b"" } else { b"{\"action\":" }
        }
        _ => GARBAGE[knock as usize / 4 % GARBAGE.len()],
    };
    // A server that has already hung up has done so for good reason.
    socket.write_all(bytes).ok();
    Ok(())
}

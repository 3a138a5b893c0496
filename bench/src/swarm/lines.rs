//! Lines with a limited upload, as homes have: what is sent from some ports, over whatever way, the
//! kernel holds to so many bytes a second.
//!
//! This is a network of its own, with nothing but its loopback in it, so that it needs no rights of the
//! machine and disturbs nobody: `unshare`, `ip` (iproute2) and `tc` make it.

use std::env;
use std::net::SocketAddr;
use std::process::Command;

use crate::failure::{Explain, Failure};
use crate::server::become_program;

/// How long what was sent may wait before a line, in milliseconds: what is more is lost.
const QUEUE_MS: u64 = 50;

/// What a line lets through at once, in bytes: one packet of the loopback and a little.
const BURST: u64 = 128 * 1024;

/// Begins this program again in a network of its own; returns only when that fails.
pub(super) fn enter() -> Result<(), Failure> {
    let program = env::current_exe().explain(|| "finding this program".into())?;
    let mut command =
        ["unshare", "--user", "--map-root-user", "--net", "--"].map(Into::into).to_vec();
    command.push(program.into_os_string());
    command.extend(env::args_os().skip(1));
    command.push("--inside".into());
    become_program(&command)
}

/// Brings up the loopback of a network of our own.
pub(super) fn begin() -> Result<(), Failure> {
    run("ip", "link set lo up")
}

/// One line for each source. Taken away when dropped.
pub(super) struct Lines(());

impl Lines {
    /// Lays so many.
    pub(super) fn lay(count: usize, bytes_per_second: u64) -> Result<Self, Failure> {
        run("tc", "qdisc add dev lo root handle 1: htb default 0")?;
        let lines = Self(());
        let queue = bytes_per_second * QUEUE_MS / 1000 + BURST;
        for class in 1..=count {
            run(
                "tc",
                &format!(
                    "class add dev lo parent 1: classid 1:{class} htb \
                     rate {bytes_per_second}bps burst {BURST} cburst {BURST} quantum 65536"
                ),
            )?;
            run("tc", &format!("qdisc add dev lo parent 1:{class} bfifo limit {queue}"))?;
        }
        Ok(lines)
    }

    /// Has a line carry all that is sent from the ports of these addresses.
    pub(super) fn put(&self, at: usize, from: &[SocketAddr]) -> Result<(), Failure> {
        for address in from {
            let (class, port) = (at + 1, address.port());
            let (priority, protocol, header) =
                if address.is_ipv4() { (1, "ip", "ip") } else { (2, "ipv6", "ip6") };
            run(
                "tc",
                &format!(
                    "filter add dev lo parent 1: protocol {protocol} prio {priority} \
                     u32 match {header} sport {port} 0xffff flowid 1:{class}"
                ),
            )?;
        }
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // They end with the network anyway.
        run("tc", "qdisc del dev lo root").ok();
    }
}

fn run(program: &str, arguments: &str) -> Result<(), Failure> {
    let output = Command::new(program).args(arguments.split_ascii_whitespace()).output();
    let output = output.explain(|| format!("starting {program}, which limited lines need"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{program} {arguments}`: {}", why.trim())))
}

//! The port: on which addresses the server listens, and how connections are taken.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::config::Config;
use crate::descriptors::{self, Reserve};
use crate::doors::entrance::Entrance;
use crate::failure::{Failure, Kind};

/// Connections that may wait to be taken, when everybody comes back at once after a restart. With
/// the usual 128 the others would have to try again a second later.
const BACKLOG: i32 = 4096;

/// How often the system is asked for a port that is free on IPv4 and IPv6.
const PORT_TRIES: u32 = 10;

/// A line on which nothing is heard for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// After something that cannot be helped now, how long to wait before the next connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The same is complained about no more often than this.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// Listens on one address, or on all there are.
pub(crate) fn listen(address: Option<IpAddr>, port: u16) -> Result<Vec<TcpListener>, Failure> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match listen_once(address, port) {
            // The port that IPv4 was given may be taken on IPv6: the system gives another.
            Err(_) if tries > 0 => {}
            outcome => return outcome,
        }
    }
}

fn listen_once(address: Option<IpAddr>, port: u16) -> Result<Vec<TcpListener>, Failure> {
    let refused = |address, error: io::Error| port_failure(address, port, &error);
    if let Some(address) = address {
        return Ok(vec![bind(address, port).map_err(|error| refused(Some(address), error))?]);
    }
    let all = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port) {
        Ok(first) => {
            let port = first.local_addr().map_or(port, |address| address.port());
            match bind(all, port) {
                Ok(second) => Ok(vec![first, second]),
                // Machines without IPv6 are served by IPv4 alone.
                Err(error) if error.kind() != ErrorKind::AddrInUse => Ok(vec![first]),
                Err(error) => Err(refused(None, error)),
            }
        }
        // And those without IPv4 by IPv6.
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(refused(None, error)),
        Err(error) => bind(all, port).map(|only| vec![only]).map_err(|_| refused(None, error)),
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 },
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 has a socket of its own
    }
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(address, port).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn port_failure(address: Option<IpAddr>, port: u16, error: &io::Error) -> Failure {
    let next = port.checked_add(1).unwrap_or(Config::PORT);
    let hint = format!("Stop the program that uses it, or choose another: whoelse server {next}");
    let place = address.map_or_else(String::new, |address| format!(" of {address}"));
    match error.kind() {
        ErrorKind::AddrInUse => {
            Failure::new(Kind::Refused, format!("port {port}{place} is in use"), hint)
        }
        ErrorKind::AddrNotAvailable => Failure::new(
            Kind::Refused,
            format!("this machine has no address{}", place.replace(" of", "")),
            "Name one of its own with --bind, or leave it out to listen on all.",
        ),
        ErrorKind::PermissionDenied => Failure::new(
            Kind::Refused,
            format!("port {port} may only be used by the administrator of this machine"),
            "Choose one from 1024 on: whoelse server 12346",
        ),
        _ => Failure::new(
            Kind::Refused,
            format!("cannot listen on port {port}{place}: {error}"),
            hint,
        ),
    }
}

/// Takes connections until the server ends.
pub(crate) async fn accept(entrance: Rc<Entrance>, listener: TcpListener) {
    let mut reserve = Reserve::new();
    let mut complained: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = prepare(&stream) {
                    debug!(%error, "gone before it was taken");
                    continue;
                }
                entrance.open(stream, address.ip().to_canonical());
            }
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() > COMPLAINT_PAUSE) {
                    complained = Some(Instant::now());
                    warn!(%error, "cannot take a connection");
                }
                let is_helped = descriptors::are_used_up(&error) && {
                    reserve.let_go();
                    let is_dropped = drop_one(&listener).await;
                    reserve.take_back();
                    is_dropped
                };
                if !is_helped {
                    // Waiting lets others finish, spinning would not.
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Takes a connection that nobody can serve and closes it at once, so that the other side knows.
async fn drop_one(listener: &TcpListener) -> bool {
    let taken = std::future::poll_fn(|context| {
        let Poll::Ready(taken) = listener.poll_accept(context) else { return Poll::Ready(false) };
        Poll::Ready(taken.is_ok())
    });
    taken.await
}

/// Answers leave at once, and a line whose other end has vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let interval = DEAD_AFTER / 4;
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))
}

//! Opening a connection, and saying plainly why it did not open.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::known::without_brackets;
use crate::notice::Trouble;
use crate::tls::{HandshakeError, Shown, Tls};

/// How long the look-up of a name may take.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// How long one address of a host may take to answer.
const ADDRESS_MAX: Duration = Duration::from_secs(5);

/// After this time the next address is tried as well (RFC 8305).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Most addresses of a host that are tried.
const ADDRESSES_MAX: usize = 16;

/// How long the handshake of TLS may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a server on this machine may be silent before it is taken for one without TLS.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A dead line is noticed within about this time, whether something is written or not.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// A connection over which nothing of ours was sent yet.
pub(crate) struct Opened {
    pub(crate) stream: TcpStream,
    /// The other side is on this machine.
    pub(crate) loopback: bool,
    /// With TLS: the connection, and what the other side has shown of itself.
    pub(crate) tls: Option<(Tls, Shown)>,
}

/// Why none was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The network, or who answers.
    Trouble(Trouble),
    /// Who answers speaks no TLS.
    NoEncryption,
}

impl From<Trouble> for OpenError {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What to do with a server that does not speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strictness {
    /// It may be spoken to in plain text, if it is on this machine.
    pub(crate) plain_on_loopback: bool,
    /// Nothing is known of it, so that a connection it closes says that it speaks no TLS.
    pub(crate) stranger: bool,
}

/// Connects to the first address of a host that answers, with TLS if it speaks that.
pub(crate) async fn open(
    host: &str,
    port: u16,
    strictness: Strictness,
) -> Result<Opened, OpenError> {
    let host = without_brackets(host);
    let stream = first_that_answers(lookup(host, port).await?).await?;
    let peer = stream.peer_addr().map_err(other)?;
    let loopback = peer.ip().to_canonical().is_loopback();
    let plain_allowed = loopback && strictness.plain_on_loopback;
    let wait = if plain_allowed { SILENCE_MAX } else { HANDSHAKE_MAX };
    notice_death(&stream).map_err(other)?;
    let error = match timeout(wait, Tls::begin(&stream, host)).await {
        Ok(Ok(tls)) => return Ok(Opened { stream, loopback, tls: Some(tls) }),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    drop(stream);
    match error {
        Some(HandshakeError::Failed(words)) => Err(Trouble::Other(words).into()),
        _ if plain_allowed => {
            let stream = first_that_answers(VecDeque::from([peer])).await?;
            notice_death(&stream).map_err(other)?;
            Ok(Opened { stream, loopback, tls: None })
        }
        Some(HandshakeError::NotTls) => Err(OpenError::NoEncryption),
        Some(HandshakeError::Closed) if strictness.stranger => Err(OpenError::NoEncryption),
        Some(HandshakeError::Closed) => Err(Trouble::Closed.into()),
        None => Err(Trouble::NoAnswer.into()),
    }
}

fn other(error: std::io::Error) -> Trouble {
    Trouble::Other(error.to_string())
}

/// The addresses of a host, those of both families in turn.
async fn lookup(host: &str, port: u16) -> Result<VecDeque<SocketAddr>, Trouble> {
    // The dot at the end of a whole name is for name servers; this one stands in a file.
    let host = match host.strip_suffix('.') {
        Some(local) if local.eq_ignore_ascii_case("localhost") => local,
        _ => host,
    };
    let found = match timeout(LOOKUP_MAX, lookup_host((host, port))).await {
        Ok(found) => found.map_err(|_| Trouble::UnknownHost)?,
        Err(_) => return Err(Trouble::UnknownHost),
    };
    Ok(in_turn(found.collect()))
}

/// Sorts addresses so that the families alternate, beginning with that of the first.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut sorted = VecDeque::new();
    loop {
        let (next, after) = (one.next(), other.next());
        if next.is_none() && after.is_none() {
            sorted.truncate(ADDRESSES_MAX);
            return sorted;
        }
        sorted.extend(next.into_iter().chain(after));
    }
}

/// Tries one address after the other, each a little later, until one answers: a dead one must
/// not hide those behind it.
async fn first_that_answers(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, Trouble> {
    let mut tries = JoinSet::new();
    let mut trouble = Trouble::UnknownHost;
    loop {
        if let Some(address) = addresses.pop_front() {
            tries.spawn(async move { timeout(ADDRESS_MAX, TcpStream::connect(address)).await });
        }
        tokio::select! {
            biased;
            done = tries.join_next() => {
                let next = match done {
                    None => return Err(trouble),
                    Some(Ok(Ok(Ok(stream)))) => return Ok(stream),
                    Some(Ok(Ok(Err(error)))) if error.kind() == ErrorKind::ConnectionRefused => {
                        Trouble::Refused
                    }
                    Some(Ok(Ok(Err(error)))) if error.kind() == ErrorKind::TimedOut => {
                        Trouble::NoAnswer
                    }
                    Some(Ok(Ok(Err(error)))) => Trouble::Other(error.to_string()),
                    Some(Ok(Err(_)) | Err(_)) => Trouble::NoAnswer,
                };
                // Of several addresses the one that refused says most: somebody is there.
                if trouble != Trouble::Refused {
                    trouble = next;
                }
            }
            () = sleep(NEXT_ADDRESS_AFTER), if !addresses.is_empty() => {}
        }
    }
}

fn notice_death(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(DEAD_AFTER / 2).with_interval(DEAD_AFTER / 4).with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let sorted = in_turn(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]));
        assert_eq!(sorted, addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn this_machine_is_found_with_a_dot_at_its_end() {
        for host in ["localhost", "localhost.", "LocalHost."] {
            assert!(lookup(host, 1).await.is_ok_and(|found| !found.is_empty()), "{host}");
        }
    }

    #[tokio::test]
    async fn dead_addresses_do_not_hide_a_living_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let living = listener.local_addr().unwrap();
        // Nothing answers at addresses for documentation (RFC 5737), or the network says no.
        let dead = addresses(&["192.0.2.1:9", "192.0.2.2:9"]);
        let all = dead.into_iter().chain([living]).collect();
        let stream = first_that_answers(all).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), living);
    }

    #[tokio::test]
    async fn a_refusal_says_more_than_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = listener.local_addr().unwrap();
        drop(listener);
        let trouble = first_that_answers(VecDeque::from([refusing])).await.unwrap_err();
        assert_eq!(trouble, Trouble::Refused);
    }
}

//! Opening a connection, and saying plainly why it did not open.

use std::io::ErrorKind;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::notice::Trouble;

/// How long one try may take, all addresses of the host together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A dead line is noticed within about this time, whether something is written or not.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Connects to the first address of a host that answers.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, Trouble> {
    let stream = timeout(CONNECT_TIMEOUT, first_that_answers(host, port))
        .await
        .unwrap_or(Err(Trouble::NoAnswer))?;
    notice_death(&stream).map_err(|error| Trouble::Other(error.to_string()))?;
    Ok(stream)
}

async fn first_that_answers(host: &str, port: u16) -> Result<TcpStream, Trouble> {
    // In a URL an IPv6 address stands in brackets; people type them here, too.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses = lookup_host((host, port)).await.map_err(|_| Trouble::UnknownHost)?;
    let mut trouble = Trouble::UnknownHost;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let next = match error.kind() {
                    ErrorKind::ConnectionRefused => Trouble::Refused,
                    ErrorKind::TimedOut => Trouble::NoAnswer,
                    _ => Trouble::Other(error.to_string()),
                };
                // Of several addresses the one that refused says most: somebody is there.
                if trouble != Trouble::Refused {
                    trouble = next;
                }
            }
        }
    }
    Err(trouble)
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

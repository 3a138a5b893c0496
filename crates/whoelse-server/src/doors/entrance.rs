//! What happens to a connection before its first request: who it is, and what it speaks.
//!
//! Behind a proxy the proxy's header comes first. Then the first byte decides: a TLS handshake,
//! or plain text, which is answered only where nobody else can listen.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;
use whoelse_proto::limits::HANDSHAKE_MS_MAX;

use super::native::{self, Scratch};
use super::proxy::{self, Proxied};
use super::sniff::{TLS_HANDSHAKE, may_be_get};
use crate::handshakes::{Guest, Handshakes};
use crate::hub::{Arrival, SharedHub};
use crate::network::Network;
use crate::relay::{Relay, Visit};
use crate::socket::Socket;

/// Said in plain text to one more than there may be.
const TOO_MANY: &[u8] = b"{\"action\":\"error\",\"status\":\"TOO_MANY_CONNECTIONS\",\"message\":\
    \"Too many connections at once. Try again later.\"}\n";

/// How often a connection is looked at that has said a part of a word, and for how long.
const PEEK_PAUSE: Duration = Duration::from_millis(20);
const PEEK_MAX: Duration = Duration::from_secs(1);

/// How connections get in.
pub(crate) struct Entrance {
    pub(crate) hub: SharedHub,
    pub(crate) handshakes: Handshakes,
    /// Where private links are relayed, if they are.
    pub(crate) relay: Option<Relay>,
    pub(crate) scratch: Scratch,
    /// Connections from here are a proxy's.
    pub(crate) proxy: Option<Network>,
    /// Plain text is answered wherever it comes from.
    pub(crate) plain_text: bool,
}

/// A connection that may speak.
enum Admitted {
    Ours {
        socket: Box<Socket>,
        address: IpAddr,
        /// What it is told instead of being listened to.
        refusal: Option<String>,
    },
    Relays(Visit),
}

impl Entrance {
    /// Takes a connection, or closes it at once if there are as many as may be: a crowd must not
    /// use up what the data need before the first of it is looked at.
    pub(crate) fn open(self: &Rc<Self>, stream: TcpStream, peer: IpAddr) {
        match self.hub.borrow_mut().arrive() {
            Some(arrival) => {
                tokio::task::spawn_local(Rc::clone(self).serve(arrival, stream, peer));
            }
            None => self.turn_away(&stream, peer, false),
        }
    }

    /// Serves one connection until it ends.
    async fn serve(self: Rc<Self>, arrival: Rc<Arrival>, stream: TcpStream, peer: IpAddr) {
        let admitted = tokio::select! {
            biased;
            () = arrival.gone.wait() => return,
            // Boxed, so that its room is given back.
            admitted = Box::pin(self.admit(&arrival, stream, peer)) => admitted,
        };
        match admitted {
            Ok(Admitted::Relays(visit)) => {
                let hub = SharedHub::clone(&self.hub);
                drop(self);
                attend(hub, &arrival, visit).await;
            }
            Ok(Admitted::Ours { socket, address, refusal }) => {
                let (hub, scratch) = (SharedHub::clone(&self.hub), Scratch::clone(&self.scratch));
                let socket = Rc::new(*socket);
                self.hub.borrow_mut().connect(&arrival, Rc::clone(&socket), address);
                let connection = arrival.connection;
                // What only the way in needs is not kept as long as the connection.
                drop((arrival, self));
                native::serve(hub, socket, connection, refusal, scratch).await;
            }
            Err(error) => {
                debug!(connection = arrival.connection.0, %error, "did not get in");
                self.hub.borrow_mut().lost(arrival.connection);
            }
        }
    }

    async fn admit(
        &self,
        arrival: &Arrival,
        mut stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<Admitted> {
        let proxied = match self.proxy {
            Some(proxy) if proxy.contains(peer) => {
                let time = Duration::from_millis(HANDSHAKE_MS_MAX);
                tokio::time::timeout(time, proxy::read(&mut stream)).await??
            }
            _ => Proxied { address: None, is_secured: false },
        };
        let address = proxied.address.unwrap_or(peer);
        if !self.hub.borrow_mut().comes_from(arrival.connection, address) {
            self.turn_away(&stream, peer, proxied.is_secured);
            return Err(io::Error::new(ErrorKind::QuotaExceeded, "too many from this address"));
        }
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if first[0] == TLS_HANDSHAKE {
            return Ok(match self.handshakes.shake(stream, self.relay.as_ref()).await? {
                Guest::Ours(socket) => Admitted::Ours { socket, address, refusal: None },
                Guest::Relays(visit) => Admitted::Relays(visit),
            });
        }
        let is_welcome = self.takes_plain_text(peer) || proxied.is_secured;
        if let Some(relay) = self.relay.as_ref().filter(|_| is_welcome)
            && first[0] == b'G'
            && wants_http(&stream).await?
        {
            return Ok(Admitted::Relays(relay.receive_plain(stream)?));
        }
        let refusal = (!is_welcome).then(|| tls_required(stream.local_addr()));
        Ok(Admitted::Ours { socket: Box::new(Socket::plain(stream)), address, refusal })
    }

    /// Whether nobody can listen to plain text from there, or nobody minds.
    fn takes_plain_text(&self, peer: IpAddr) -> bool {
        self.plain_text || (self.proxy.is_none() && peer.is_loopback())
    }

    /// Closes a connection for which there is no room; says so where plain text is spoken.
    fn turn_away(&self, stream: &TcpStream, peer: IpAddr, is_secured: bool) {
        debug!("turned away: too many connections");
        if !is_secured && !self.takes_plain_text(peer) {
            return;
        }
        // Past the event loop, which has not seen this socket yet. What is left unread would take
        // the line back.
        let socket = SockRef::from(stream);
        let mut first = [0; 4096];
        let read = (&*socket).read(&mut first).unwrap_or_default();
        if first[..read].first() == Some(&TLS_HANDSHAKE) {
            return; // this line would be taken for a broken handshake
        }
        // If it does not take a line now, it goes without.
        (&*socket).write(TOO_MANY).unwrap_or_default();
        socket.shutdown(Shutdown::Write).unwrap_or_default();
    }
}

/// Sees to a connection that the relay serves: it is a stranger until it was let in, and counts for as
/// long as it lasts.
async fn attend(hub: SharedHub, arrival: &Arrival, mut visit: Visit) {
    let connection = arrival.connection;
    let was_welcomed = tokio::select! {
        biased;
        () = arrival.gone.wait() => return,
        outcome = visit.welcomed() => outcome.is_ok(),
    };
    if was_welcomed {
        hub.borrow_mut().relayed(arrival);
        tokio::select! {
            biased;
            () = arrival.gone.wait() => return,
            () = visit.over() => {}
        }
    }
    hub.borrow_mut().lost(connection);
}

/// Whether a connection in plain text begins as HTTP that asks for something, without much of a pause: no
/// client of the relay makes one. Nothing is consumed.
async fn wants_http(stream: &TcpStream) -> io::Result<bool> {
    let wait = async {
        let mut first = [0; 4];
        loop {
            let length = stream.peek(&mut first).await?;
            match may_be_get(&first[..length]) {
                Some(is_get) => return Ok(is_get),
                // What has come stays where it is, and so would wake us again at once.
                None => tokio::time::sleep(PEEK_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(PEEK_MAX, wait).await.unwrap_or(Ok(false))
}

/// What somebody is told whose plain text has crossed a network.
fn tls_required(here: io::Result<SocketAddr>) -> String {
    let (place, client) = match here {
        Ok(here) => {
            let address = here.ip().to_canonical();
            let port = here.port();
            (SocketAddr::new(address, port).to_string(), format!("{address} {port}"))
        }
        Err(_) => ("HOST:PORT".to_owned(), "HOST PORT".to_owned()),
    };
    format!(
        "{{\"action\":\"error\",\"status\":\"TLS_REQUIRED\",\"message\":\"What you sent crossed the \
         network unprotected, where others can read it, and was not looked at. If a password was \
         in it, change that password. Use whoelse client {client}, or for JSON by hand: openssl \
         s_client -quiet -connect {place}\"}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_json_and_say_where_to_turn() {
        let line: serde_json::Value = serde_json::from_slice(TOO_MANY).unwrap();
        assert_eq!(line["status"], "TOO_MANY_CONNECTIONS");
        for (here, says) in [
            ("192.0.2.7:12346", "whoelse client 192.0.2.7 12346,"),
            ("[2001:db8::1]:12346", "openssl s_client -quiet -connect [2001:db8::1]:12346"),
        ] {
            let line = tls_required(Ok(here.parse().unwrap()));
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["status"], "TLS_REQUIRED");
            let sentence = line["message"].as_str().unwrap();
            assert!(sentence.contains(says), "{sentence}");
        }
    }
}

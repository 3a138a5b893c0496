//! The relay as callers meet it.

mod carried;

use std::io::{Read, Write};
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tokio::net::TcpListener;
use whoelse_proto::limits::HANDSHAKE_MS_MAX;
use whoelse_proto::link::RELAY_HOST;

use super::*;
use crate::handshakes::{self, Handshakes};
use crate::tls::testing;

const RATE: u32 = 1 << 20;

fn relay(config: &Arc<ServerConfig>) -> Relay {
    Relay::start(config, &[], RATE).unwrap()
}

/// Two ends of a line.
async fn line() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, other)
}

/// What a caller is answered who says this in plain text.
fn answered(mut caller: std::net::TcpStream, said: &str) -> String {
    caller.write_all(said.as_bytes()).unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    answer
}

async fn plain(said: &'static str) -> String {
    let relay = relay(&testing::identity().config);
    let (stream, caller) = line().await;
    let mut visit = relay.receive_plain(stream).unwrap();
    let asking = tokio::task::spawn_blocking(move || answered(caller, said));
    assert!(visit.welcomed().await.is_err(), "no ticket, no welcome");
    visit.over().await;
    asking.await.unwrap()
}

#[tokio::test]
async fn a_probe_is_answered() {
    let answer = plain("GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_challenge_comes_back_if_it_is_one() {
    for (challenge, expected) in
        [("ts_a.B-9", true), ("", false), ("a b", false), ("<script>", false)]
    {
        let said = format!(
            "GET /generate_204 HTTP/1.1\r\nHost: x\r\nX-Iroh-Challenge: {challenge}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = plain(said.leak()).await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
        let line = format!("x-iroh-response: response {challenge}\r\n").to_lowercase();
        assert_eq!(answer.to_lowercase().contains(&line), expected, "{challenge}: {answer}");
    }
}

#[tokio::test]
async fn nothing_else_is_there() {
    for (said, expected) in [
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 "),
        ("GET /relay HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 "),
        ("GET \x01\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let answer = plain(said).await;
        assert!(answer.starts_with(expected), "{said:?}: {answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40_000));
    let answer = plain(long.leak()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

/// A TLS client that says whom it wants.
fn tls_client(
    stream: std::net::TcpStream,
    name: &str,
) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let config = testing::client_config(&rustls::version::TLS13);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

#[tokio::test]
async fn the_name_in_the_handshake_decides() {
    let identity = testing::identity();
    let relay = relay(&identity.config);
    let handshakes = Handshakes::start(identity).unwrap();
    for (name, has_relay, is_relays) in [
        (RELAY_HOST, true, true),
        ("RELAY.whoelse.invalid", true, true),
        (RELAY_HOST, false, false),
        ("localhost", true, false),
        ("xrelay.whoelse.invalid", true, false),
        ("127.0.0.1", true, false),
    ] {
        let (stream, caller) = line().await;
        let asking = tokio::task::spawn_blocking(move || {
            let mut client = tls_client(caller, name);
            client
                .write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap_or_default();
            String::from_utf8(answer).unwrap()
        });
        match handshakes.shake(stream, has_relay.then_some(&relay)).await.unwrap() {
            handshakes::Guest::Relays(mut visit) => {
                assert!(is_relays, "{name}");
                assert!(visit.welcomed().await.is_err());
                assert!(asking.await.unwrap().starts_with("HTTP/1.1 200 OK"));
            }
            handshakes::Guest::Ours(socket) => {
                assert!(!is_relays, "{name}");
                drop(socket);
                assert_eq!(asking.await.unwrap(), "");
            }
        }
    }
}

#[tokio::test]
async fn who_does_not_wait_any_longer_ends_it() {
    let relay = relay(&testing::identity().config);
    let (stream, mut caller) = line().await;
    let visit = relay.receive_plain(stream).unwrap();
    caller.write_all(b"GET /pi").unwrap();
    drop(visit);
    let begun = Instant::now();
    caller.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    assert_eq!(caller.read(&mut [0]).unwrap_or_default(), 0);
    assert!(begun.elapsed().as_millis() < u128::from(HANDSHAKE_MS_MAX) / 2, "at once");
}

/// A handshake of a WebSocket as iroh's clients begin it, without a proof of any key.
const UPGRADE: &str = "GET /relay HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: iroh-relay-v9, iroh-relay-v2\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn who_stalls_is_given_up_after_ten_seconds() {
    let relay = relay(&testing::identity().config);
    for said in ["", "GET /ping HT", "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE] {
        let (stream, mut caller) = line().await;
        caller.write_all(said.as_bytes()).unwrap();
        let (guest, mut visit) = visit();
        let begun = tokio::time::Instant::now();
        let stream = stream.into_std().unwrap();
        caller::serve(Arc::clone(&relay.house), Caller::Plain(stream), guest).await;
        assert_eq!(begun.elapsed().as_millis(), u128::from(HANDSHAKE_MS_MAX), "{said:?}");
        assert!(visit.welcomed().await.is_err());
        visit.over().await;
        if said == UPGRADE {
            let mut answer = [0; 12];
            caller.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 101");
        }
    }
}

mod table {
    use super::*;
    use crate::relay::admissions::Admissions;

    fn is_cut(cutter: &Cutter) -> bool {
        *cutter.0.borrow()
    }

    fn ticket(byte: u8) -> RelayTicket {
        RelayTicket::new([byte; 32])
    }

    /// Ids are made by requests alone.
    fn connection() -> iroh_relay::server::ConnectionId {
        let parts = hyper::Request::new(()).into_parts().0;
        let key = iroh_relay_key();
        iroh_relay::server::ClientRequest::new(key, Default::default(), parts).connection_id()
    }

    /// The public key of the secret key of RFC 8032's first test.
    fn iroh_relay_key<K: for<'a> TryFrom<&'a [u8; 32]>>() -> K {
        let bytes = &[
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64,
            0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68,
            0xf7, 0x07, 0x51, 0x1a,
        ];
        K::try_from(bytes).ok().unwrap()
    }

    #[test]
    fn tickets_are_for_one_end_and_until_they_are_void() {
        let admissions = Admissions::new(RATE);
        let (one, other) = (EndpointKey([1; 32]), EndpointKey([2; 32]));
        let (luke, yoda) = (AccountId(1), AccountId(2));
        let cutter = Cutter::default();
        let enters =
            |end, with: u8| admissions.enter(end, &ticket(with), connection(), &cutter).is_some();
        assert!(!enters(one, 1), "a stranger");
        admissions.admit(luke, one, &ticket(1));
        assert!(enters(one, 1));
        assert!(!enters(one, 2) && !enters(other, 1), "another ticket, another end");
        // Somebody else's registration of the same end changes nothing for its owner.
        admissions.admit(yoda, one, &ticket(3));
        assert!(enters(one, 1));
        admissions.expel(yoda, one);
        assert!(!is_cut(&cutter) && enters(one, 1));
        // The newest ticket counts; who is in stays.
        admissions.admit(luke, one, &ticket(4));
        assert!(!enters(one, 1) && enters(one, 4) && !is_cut(&cutter));
        admissions.expel(luke, one);
        assert!(is_cut(&cutter) && !enters(one, 4));
    }

    #[test]
    fn of_one_end_the_oldest_connections_make_room() {
        let admissions = Admissions::new(RATE);
        let end = EndpointKey([1; 32]);
        admissions.admit(AccountId(1), end, &ticket(1));
        let cutters: Vec<Cutter> = (0..6).map(|_| Cutter::default()).collect();
        for cutter in &cutters[..4] {
            assert!(admissions.enter(end, &ticket(1), connection(), cutter).is_some());
        }
        let fifth = connection();
        assert!(admissions.enter(end, &ticket(1), fifth, &cutters[4]).is_some());
        let cut: Vec<bool> = cutters.iter().map(is_cut).collect();
        assert_eq!(cut, [true, false, false, false, false, false]);
        admissions.leave(fifth);
    }

    #[test]
    fn all_connections_of_a_person_share_what_it_may_use() {
        let admissions = Admissions::new(RATE);
        let (one, other, third) =
            (EndpointKey([1; 32]), EndpointKey([2; 32]), EndpointKey([3; 32]));
        for (account, end) in [(1, one), (1, other), (2, third)] {
            admissions.admit(AccountId(account), end, &ticket(1));
        }
        let cutter = Cutter::default();
        let enter = |end| admissions.enter(end, &ticket(1), connection(), &cutter).unwrap();
        let first = enter(one);
        assert!(Arc::ptr_eq(&first, &enter(other)));
        assert!(!Arc::ptr_eq(&first, &enter(third)), "somebody else");
        let kept = Arc::downgrade(&first);
        drop(first);
        assert!(kept.upgrade().is_none());
        enter(one);
    }
}

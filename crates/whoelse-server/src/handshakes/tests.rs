//! Handshakes that do not come to an end, and those that do.

use std::io::Write;

use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;

use super::*;
use crate::tls::testing::{client, exchange, identity};

/// Two ends of a line.
async fn line() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    other.set_nonblocking(true).unwrap();
    (listener.accept().await.unwrap().0, other)
}

fn ours(guest: io::Result<Guest>) -> Socket {
    match guest.unwrap() {
        Guest::Ours(socket) => *socket,
        Guest::Relays(_) => panic!("there is no relay here"),
    }
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_millis(HANDSHAKE_MS_MAX)
}

#[tokio::test(start_paused = true)]
async fn who_stalls_is_given_up_after_ten_seconds() {
    let hello = {
        let mut bytes = Vec::new();
        client(&TLS13).write_tls(&mut bytes).unwrap();
        bytes
    };
    for said in [1, 5, hello.len() - 1, hello.len()] {
        let (stream, mut other) = line().await;
        other.write_all(&hello[..said]).unwrap();
        let begun = Instant::now();
        let outcome = secure(stream.into_std().unwrap(), &identity(), false, deadline()).await;
        assert_eq!(outcome.err().unwrap().kind(), ErrorKind::TimedOut, "after {said} bytes");
        assert_eq!(begun.elapsed().as_secs(), HANDSHAKE_MS_MAX / 1000);
    }
}

#[tokio::test]
async fn both_versions_come_to_an_end_a_byte_at_a_time() {
    for version in [&TLS12, &TLS13] {
        let handshakes = Handshakes::start(identity()).unwrap();
        let (stream, mut other) = line().await;
        let shake = handshakes.shake(stream, None);
        let mut client = client(version);
        let chat = async {
            loop {
                let mut bytes = Vec::new();
                while client.wants_write() {
                    client.write_tls(&mut bytes).unwrap();
                }
                for byte in bytes {
                    other.write_all(&[byte]).unwrap();
                    tokio::task::yield_now().await;
                }
                exchange(&mut client, &mut other);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            guest = shake => assert!(ours(guest).is_secured()),
            () = chat => {}
        }
    }
}

#[tokio::test]
async fn who_shows_another_key_keeps_old_lines() {
    let (one, other) = (identity(), identity());
    let (first, second) = (one.key, other.key);
    let handshakes = Handshakes::start(one).unwrap();
    let mut shown = Vec::new();
    handshakes.shake_with_a_client(&mut shown).await;
    handshakes.become_known_as(other).await;
    handshakes.shake_with_a_client(&mut shown).await;
    assert_eq!(shown, [first, second]);
}

impl Handshakes {
    async fn shake_with_a_client(&self, shown: &mut Vec<whoelse_proto::Fingerprint>) {
        let (stream, mut other) = line().await;
        let mut client = client(&TLS13);
        let chat = async {
            loop {
                exchange(&mut client, &mut other);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            guest = self.shake(stream, None) => shown.extend(ours(guest).key()),
            () = chat => {}
        }
    }
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert() {
    let (stream, mut other) = line().await;
    other.write_all(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00 and more").unwrap();
    let identity = identity();
    let outcome = secure(stream.into_std().unwrap(), &identity, false, deadline());
    let listen = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut answer = [0; 100];
            match io::Read::read(&mut other, &mut answer) {
                Ok(read) => break answer[..read].to_vec(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    };
    let (outcome, answer) = tokio::join!(outcome, listen);
    assert_eq!(outcome.err().unwrap().kind(), ErrorKind::InvalidData);
    assert_eq!((answer[0], answer[5]), (0x15, 2), "a fatal alert");
}

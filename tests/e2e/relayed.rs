//! The relay within the real server, on its one port: as iroh's own client meets it in plain text, and
//! by its name in TLS.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::pin::Pin;

use futures_core::Stream;
use iroh_relay::RelayMap;
use iroh_relay::client::{Client, ClientBuilder};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use whoelse_proto::link::RELAY_HOST;
use whoelse_proto::{EndpointKey, RelayTicket};
use whoelse_tests::program::{DEADLINE, Device, Peer, Server, Version, tls_client_config};

use super::{logout, server, setup};

/// Somebody with a device that makes private links.
fn member(server: &Server, name: &str) -> Peer {
    let mut peer = Peer::connect(server);
    let mut members = Device::new("laptop", [7; 32]).members("one");
    members["links"] = json!(1);
    peer.begin(name, members);
    peer
}

fn ticket(byte: u8) -> String {
    RelayTicket::new([byte; 32]).expose_text()
}

/// Lets the end in whose secret key is this byte 32 times.
fn register(end: u8, with: u8) -> Value {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[end; 32]).unwrap();
    let key = EndpointKey(pair.public_key().as_ref().try_into().unwrap());
    json!({"action": "relay", "endpoint": key.to_string(), "ticket": ticket(with)})
}

async fn come(server: &Server, end: u8, with: u8) -> Option<Client> {
    let url = format!("http://127.0.0.1:{}/", server.port());
    let urls: Vec<_> = RelayMap::try_from_iter([url.as_str()]).unwrap().urls();
    let config = tls_client_config(Version::Tls13);
    let url = urls.into_iter().next().unwrap();
    let builder = ClientBuilder::new(url, [end; 32].into(), Default::default())
        .tls_client_config(rustls::ClientConfig::clone(&config))
        .auth_token(ticket(with));
    timeout(DEADLINE, builder.connect()).await.unwrap().ok()
}

/// Returns when the relay has ended the connection.
async fn ended(mut client: Client) {
    let listen = async {
        while let Some(Ok(_)) = poll_fn(|it| Pin::new(&mut client).poll_next(it)).await {}
    };
    timeout(DEADLINE, listen).await.unwrap();
}

#[test]
fn the_relay_lets_in_who_was_registered_until_the_session_ends() {
    let server = server(&["luke", "yoda"]);
    let runtime = Runtime::new().unwrap();
    assert!(runtime.block_on(come(&server, 1, 100)).is_none(), "a stranger");
    let mut luke = member(&server, "luke");
    assert_eq!(luke.status(&register(1, 100)), "SUCCESS");
    let client = runtime.block_on(come(&server, 1, 100)).unwrap();
    assert!(runtime.block_on(come(&server, 1, 101)).is_none(), "another ticket");
    assert!(runtime.block_on(come(&server, 2, 100)).is_none(), "another end");
    // The person hears nothing of it.
    luke.expect_quiet();
    assert_eq!(luke.status(&logout()), "SUCCESS");
    runtime.block_on(ended(client));
    assert!(runtime.block_on(come(&server, 1, 100)).is_none(), "the ticket is void");
}

#[test]
fn a_session_that_is_away_keeps_what_it_relays() {
    let server = server(&["luke", "yoda"]);
    let runtime = Runtime::new().unwrap();
    let mut luke = member(&server, "luke");
    assert_eq!(luke.status(&register(1, 100)), "SUCCESS");
    let client = runtime.block_on(come(&server, 1, 100)).unwrap();
    luke.reset();
    let again = runtime.block_on(come(&server, 1, 100));
    assert!(again.is_some(), "its line broke, its session has not ended");
    // Another session takes its place, and knows nothing of it.
    let mut other = Peer::connect(&server);
    other.begin("luke", json!({"protocol": 1}));
    runtime.block_on(ended(client));
}

#[test]
fn the_relay_is_behind_its_name_and_nothing_else_is() {
    let with = server(&["luke"]);
    let without = setup(&["luke"]).flags(&["--no-relay"]).start();
    for (server, name, expected) in [
        (&with, RELAY_HOST, "HTTP/1.1 200 "),
        (&with, "localhost", "HTTP/1.1 400 "),
        (&without, RELAY_HOST, "HTTP/1.1 400 "),
    ] {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let to = ServerName::try_from(name).unwrap();
        let client = ClientConnection::new(tls_client_config(Version::Tls13), to).unwrap();
        let mut line = StreamOwned::new(client, stream);
        line.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{name}: {answer}");
    }
    let mut luke = member(&without, "luke");
    assert_eq!(luke.status(&register(1, 100)), "NO_RELAY");
}

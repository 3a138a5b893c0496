//! iroh's own client at the relay: who gets in, what is carried, and how it ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use iroh_relay::RelayMap;
use iroh_relay::client::{Client, ClientBuilder};
use iroh_relay::protos::relay::{ClientToRelayMsg, RelayToClientMsg};
use iroh_relay::quic::QuicClient;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::version::TLS13;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::socket::Raw;
use crate::tls::{Greeting, Identity};

/// How long anything may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// A relay with a door of its own, with or without TLS.
struct House {
    relay: Arc<Relay>,
    url: String,
    /// Connections, as the entrance would see them.
    visits: tokio::sync::mpsc::UnboundedReceiver<Visit>,
}

impl House {
    async fn open(tls: bool) -> Self {
        let identity = testing::identity();
        let relay = Arc::new(relay(&identity.config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let (sender, visits) = tokio::sync::mpsc::unbounded_channel();
        let door = Arc::clone(&relay);
        tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                let visit = if tls {
                    let hello = hello(&stream).await;
                    let config = Arc::clone(&identity.config);
                    door.receive_tls(stream.into_std().unwrap(), hello, config)
                } else {
                    door.receive_plain(stream).unwrap()
                };
                sender.send(visit).unwrap_or_default();
            }
        });
        Self { relay, url, visits }
    }

    /// Comes with a ticket, or without.
    async fn come(&self, seed: u8, ticket: Option<u8>) -> Option<Client> {
        let urls: Vec<_> = RelayMap::try_from_iter([self.url.as_str()]).unwrap().urls();
        let url = urls.into_iter().next().unwrap();
        let config = testing::client_config(&TLS13);
        let mut builder = ClientBuilder::new(url, [seed; 32].into(), Default::default())
            .tls_client_config(rustls::ClientConfig::clone(&config));
        if let Some(ticket) = ticket {
            builder = builder.auth_token(RelayTicket::new([ticket; 32]).expose_text());
        }
        timeout(DEADLINE, builder.connect()).await.unwrap().ok()
    }

    fn admit(&self, account: u32, seed: u8, ticket: u8) {
        let ticket = RelayTicket::new([ticket; 32]);
        self.relay.table().admit(AccountId(account), end(seed), &ticket);
    }

    fn expel(&self, account: u32, seed: u8) {
        self.relay.table().expel(AccountId(account), end(seed));
    }
}

async fn hello(stream: &TcpStream) -> Hello {
    let mut greeting = Greeting::default();
    loop {
        stream.readable().await.unwrap();
        if let Ok(Some(hello)) = greeting.take_in(&mut Raw(stream)) {
            return hello;
        }
    }
}

/// The public key of the secret key that is this byte 32 times.
fn end(seed: u8) -> EndpointKey {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    EndpointKey(pair.public_key().as_ref().try_into().unwrap())
}

async fn send(client: &mut Client, to: u8, bytes: &'static [u8]) {
    let dst_endpoint_id = (&end(to).0).try_into().unwrap();
    let message = ClientToRelayMsg::Datagrams { dst_endpoint_id, datagrams: bytes.into() };
    poll_fn(|context| Pin::new(&mut *client).poll_ready(context)).await.unwrap();
    Pin::new(&mut *client).start_send(message).unwrap();
    poll_fn(|context| Pin::new(&mut *client).poll_flush(context)).await.unwrap();
}

/// What comes from others next; none if the connection has ended.
async fn hear(client: &mut Client) -> Option<Vec<u8>> {
    let listen = async {
        loop {
            match poll_fn(|context| Pin::new(&mut *client).poll_next(context)).await? {
                Ok(RelayToClientMsg::Datagrams { datagrams, .. }) => {
                    return Some(datagrams.contents.to_vec());
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };
    timeout(DEADLINE, listen).await.unwrap()
}

#[tokio::test]
async fn only_tickets_get_in() {
    for tls in [false, true] {
        let mut house = House::open(tls).await;
        house.admit(1, 1, 100);
        assert!(house.come(1, None).await.is_none(), "a stranger");
        assert!(house.come(1, Some(101)).await.is_none(), "another ticket");
        assert!(house.come(2, Some(100)).await.is_none(), "somebody else's");
        for _ in 0..3 {
            let mut visit = house.visits.recv().await.unwrap();
            assert!(visit.welcomed().await.is_err());
            timeout(DEADLINE, visit.over()).await.unwrap();
        }
        let client = house.come(1, Some(100)).await;
        let mut visit = house.visits.recv().await.unwrap();
        visit.welcomed().await.unwrap();
        drop(client.unwrap());
        timeout(DEADLINE, visit.over()).await.unwrap();
    }
}

#[tokio::test]
async fn packets_go_from_end_to_end_until_one_is_expelled() {
    let mut house = House::open(true).await;
    house.admit(1, 1, 100);
    house.admit(2, 2, 200);
    let mut one = house.come(1, Some(100)).await.unwrap();
    let mut other = house.come(2, Some(200)).await.unwrap();
    let mut visits = [house.visits.recv().await.unwrap(), house.visits.recv().await.unwrap()];
    send(&mut one, 2, b"there").await;
    assert_eq!(hear(&mut other).await.unwrap(), b"there");
    send(&mut other, 1, b"and back").await;
    assert_eq!(hear(&mut one).await.unwrap(), b"and back");
    house.expel(1, 1);
    assert_eq!(hear(&mut one).await, None);
    timeout(DEADLINE, visits[0].over()).await.unwrap();
    assert!(house.come(1, Some(100)).await.is_none(), "its ticket is void");
    // The other is not touched, and the first may come again with a new ticket.
    house.admit(1, 1, 101);
    let mut one = house.come(1, Some(101)).await.unwrap();
    send(&mut one, 2, b"again").await;
    assert_eq!(hear(&mut other).await.unwrap(), b"again");
}

#[tokio::test]
async fn a_connection_ends_when_the_entrance_lets_go_of_it() {
    let mut house = House::open(true).await;
    house.admit(1, 1, 100);
    let mut client = house.come(1, Some(100)).await.unwrap();
    let mut visit = house.visits.recv().await.unwrap();
    visit.welcomed().await.unwrap();
    drop(visit);
    assert_eq!(hear(&mut client).await, None);
}

#[tokio::test]
async fn a_client_is_told_its_address_also_with_another_certificate() {
    let identity = testing::identity();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(&identity.config, &[address], RATE).unwrap();
    let place = relay.discovery[0].address().unwrap();
    for identity in [None, Some(testing::identity())] {
        if let Some(Identity { config, .. }) = &identity {
            relay.become_known_as(config);
        }
        let endpoint = noq::Endpoint::client(address).unwrap();
        let config = testing::client_config(&TLS13);
        let client = QuicClient::new(endpoint.clone(), rustls::ClientConfig::clone(&config));
        let connection = timeout(DEADLINE, client.create_conn(place, RELAY_HOST)).await.unwrap();
        let mut told = connection.as_ref().unwrap().observed_external_addr();
        let seen = timeout(DEADLINE, poll_fn(|context| Pin::new(&mut told).poll_next(context)));
        assert_eq!(seen.await.unwrap(), Some(endpoint.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_no_reason_to_end() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let identity = testing::identity();
    let address = taken.local_addr().unwrap();
    let relay = Relay::start(&identity.config, &[address], RATE).unwrap();
    assert!(relay.discovery.is_empty());
}

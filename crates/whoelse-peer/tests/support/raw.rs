//! Somebody who has the right key and says whatever a test wants.

use iroh::endpoint::{Connection, QuicTransportConfig, RecvStream, SendStream, VarInt, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, SecretKey, TransportAddr};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use whoelse_peer::Peer;
use whoelse_proto::EndpointKey;

use super::{LINK, PATIENCE, Side};

pub(crate) const ALPN: &[u8] = b"whoelse-link/1";

/// The frames, as the specification has them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    Hello { version: u16, received: u64 },
    Text { number: u64, text: String },
    Ack { number: u64 },
    Ping,
    Bye,
    File(FileFrame),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileFrame {
    Offer { token: [u8; 16], name: String, size: u64, hash: [u8; 32] },
    Accept { token: [u8; 16] },
    Decline { token: [u8; 16] },
    Cancel { token: [u8; 16] },
    Have { token: [u8; 16], bytes: u64 },
    Done { token: [u8; 16] },
}

pub(crate) struct Raw {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
}

/// An end that a client expects, or will.
pub(crate) async fn endpoint() -> Endpoint {
    endpoint_with(QuicTransportConfig::builder().build()).await
}

/// The same, of somebody who takes no more than so many bytes before they are read.
pub(crate) async fn narrow_endpoint(window: u32) -> Endpoint {
    let window = VarInt::from_u32(window);
    endpoint_with(QuicTransportConfig::builder().stream_receive_window(window).build()).await
}

async fn endpoint_with(transport: QuicTransportConfig) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::generate())
        .transport_config(transport)
        .alpns(vec![ALPN.to_vec()])
        .bind()
        .await
        .unwrap()
}

/// What a client is told of it.
pub(crate) fn card(endpoint: &Endpoint, device: &str) -> Peer {
    Peer {
        endpoint: EndpointKey(*endpoint.id().as_bytes()),
        addresses: Vec::new(),
        relay: false,
        device: device.to_owned(),
    }
}

/// Dials a client.
pub(crate) async fn dial(endpoint: &Endpoint, side: &Side, alpn: &[u8]) -> Option<Connection> {
    let ways = side.addresses.iter().filter(|address| address.ip().is_loopback());
    let id = EndpointId::from_bytes(&side.endpoint.0).unwrap();
    let to = EndpointAddr::from_parts(id, ways.copied().map(TransportAddr::Ip));
    timeout(PATIENCE, endpoint.connect(to, alpn)).await.unwrap().ok()
}

impl Raw {
    /// A client and somebody with whom it is linked.
    pub(crate) async fn pair(side: Side) -> (Side, Self) {
        Self::pair_from(side, endpoint().await).await
    }

    pub(crate) async fn pair_from(mut side: Side, endpoint: Endpoint) -> (Side, Self) {
        side.open(false).await;
        side.node.expect(LINK, card(&endpoint, "vader"));
        let raw = Self::call(endpoint, &side).await;
        side.up().await;
        (side, raw)
    }

    /// Connects and says hello.
    pub(crate) async fn call(endpoint: Endpoint, side: &Side) -> Self {
        let connection = dial(&endpoint, side, ALPN).await.unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        let mut raw = Self { endpoint, connection, send, receive };
        raw.say(&Frame::Hello { version: 1, received: 0 }).await;
        raw
    }

    pub(crate) async fn say(&mut self, frame: &Frame) {
        self.write(&bytes(frame)).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.send.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next frame that is no ping.
    pub(crate) async fn hear(&mut self) -> Frame {
        timeout(PATIENCE, self.words()).await.expect("nothing but pings is heard")
    }

    async fn words(&mut self) -> Frame {
        loop {
            let mut length = [0; 4];
            self.read(&mut length).await;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            self.read(&mut frame).await;
            match postcard::from_bytes(&frame).unwrap() {
                Frame::Ping => {}
                frame => return frame,
            }
        }
    }

    pub(crate) async fn read(&mut self, bytes: &mut [u8]) {
        timeout(PATIENCE, self.receive.read_exact(bytes)).await.unwrap().unwrap();
    }
}

pub(crate) fn bytes(frame: &Frame) -> Vec<u8> {
    let content = postcard::to_stdvec(frame).unwrap();
    let mut bytes = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(content);
    bytes
}

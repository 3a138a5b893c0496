//! The header by which a proxy says on whose behalf it connects: PROXY protocol, version 2.
//!
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>) Three things are wanted of it:
//! where it ends, the address, and whether the client spoke TLS to the proxy.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};
use whoelse_proto::limits::PROXY_HEADER_BYTES_MAX;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes before the part whose length they tell.
const FIXED_BYTES: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// A part that says how the client's connection was secured.
const TYPE_SSL: u8 = 0x20;

/// Set there if the client spoke TLS.
const CLIENT_SSL: u8 = 0x01;

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// Whom it connects for; none if for itself, or if it does not know.
    pub(crate) address: Option<IpAddr>,
    /// The client spoke TLS to it.
    pub(crate) is_secured: bool,
}

/// Reads the header and nothing behind it.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await?;
    let length = length(&fixed).ok_or_else(malformed)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse(fixed[12], fixed[13], &rest).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not a header of the PROXY protocol, version 2")
}

/// How long the rest is, if that may be.
fn length(fixed: &[u8; FIXED_BYTES]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    (fixed[..12] == SIGNATURE && length <= PROXY_HEADER_BYTES_MAX).then_some(length)
}

fn parse(command: u8, family: u8, rest: &[u8]) -> Option<Proxied> {
    let nobody = Proxied { address: None, is_secured: false };
    let (address, parts) = match (command, family) {
        (LOCAL, _) | (PROXY, UNSPECIFIED) => return Some(nobody),
        (PROXY, TCP_OVER_IPV4) => {
            let (addresses, parts) = rest.split_first_chunk::<12>()?;
            let source: [u8; 4] = *addresses.first_chunk()?;
            (IpAddr::V4(Ipv4Addr::from(source)), parts)
        }
        (PROXY, TCP_OVER_IPV6) => {
            let (addresses, parts) = rest.split_first_chunk::<36>()?;
            let source: [u8; 16] = *addresses.first_chunk()?;
            (IpAddr::V6(Ipv6Addr::from(source)), parts)
        }
        _ => return None,
    };
    Some(Proxied { address: Some(address.to_canonical()), is_secured: is_secured(parts)? })
}

/// Looks through the parts behind the addresses, which must fill the rest exactly.
fn is_secured(mut parts: &[u8]) -> Option<bool> {
    let mut is_secured = false;
    while !parts.is_empty() {
        let ([kind, high, low], rest) = parts.split_first_chunk()?;
        let (value, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *kind == TYPE_SSL {
            is_secured |= value.first()? & CLIENT_SSL != 0;
        }
        parts = rest;
    }
    Some(is_secured)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xc0, 0, 0x30, 0x3a];

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn part(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), value].concat()
    }

    /// What is made of bytes, and how many of those behind the header were taken, too: none.
    async fn read_all(bytes: &[u8]) -> io::Result<Proxied> {
        let behind = b"{}";
        let all = [bytes, behind].concat();
        let mut stream = all.as_slice();
        let outcome = read(&mut stream).await;
        assert!(outcome.is_err() || stream == behind);
        outcome
    }

    fn from(address: &str, is_secured: bool) -> Proxied {
        Proxied { address: Some(address.parse().unwrap()), is_secured }
    }

    #[tokio::test]
    async fn the_source_is_found_behind_any_parts() {
        let v6 = [&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets()[..], &[0; 20]].concat();
        let mapped =
            [&"192.0.2.7".parse::<Ipv4Addr>().unwrap().to_ipv6_mapped().octets()[..], &[0; 20]]
                .concat();
        let secured = part(TYPE_SSL, &[1, 0, 0, 0, 0]);
        let unsecured = part(TYPE_SSL, &[2, 0, 0, 0, 0]);
        let other = part(0x04, &[0; 200]);
        for (family, rest, expected) in [
            (TCP_OVER_IPV4, V4.to_vec(), from("192.0.2.7", false)),
            (TCP_OVER_IPV6, v6.clone(), from("2001:db8::1", false)),
            (TCP_OVER_IPV6, mapped, from("192.0.2.7", false)),
            (TCP_OVER_IPV4, [&V4[..], &other, &secured].concat(), from("192.0.2.7", true)),
            (TCP_OVER_IPV6, [&v6[..], &secured, &other].concat(), from("2001:db8::1", true)),
            (TCP_OVER_IPV4, [&V4[..], &unsecured].concat(), from("192.0.2.7", false)),
        ] {
            assert_eq!(read_all(&header(PROXY, family, &rest)).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        let nobody = Proxied { address: None, is_secured: false };
        for (command, family) in
            [(LOCAL, UNSPECIFIED), (LOCAL, TCP_OVER_IPV4), (PROXY, UNSPECIFIED)]
        {
            let secured = [&V4[..], &part(TYPE_SSL, &[1])].concat();
            assert_eq!(read_all(&header(command, family, &secured)).await.unwrap(), nobody);
            assert_eq!(read_all(&header(command, family, &[])).await.unwrap(), nobody);
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_is_refused() {
        let mut wrong_signature = header(PROXY, TCP_OVER_IPV4, &V4);
        wrong_signature[3] = b' ';
        for bytes in [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 49152 12346\r\n".to_vec(),
            b"{\"action\":\"login\"}                 ".to_vec(),
            vec![0x16; 100],
            wrong_signature,
            header(0x11, TCP_OVER_IPV4, &V4), // version 1 in binary
            header(0x22, TCP_OVER_IPV4, &V4),
            header(PROXY, 0x12, &V4),       // datagrams
            header(PROXY, 0x31, &[0; 216]), // sockets in a file system
            header(PROXY, TCP_OVER_IPV4, &V4[..11]),
            header(PROXY, TCP_OVER_IPV6, &V4),
            header(PROXY, TCP_OVER_IPV4, &[&V4[..], &[TYPE_SSL]].concat()),
            header(PROXY, TCP_OVER_IPV4, &[&V4[..], &[TYPE_SSL, 0, 9, 1]].concat()),
            header(PROXY, TCP_OVER_IPV4, &[&V4[..], &part(TYPE_SSL, &[])].concat()),
            header(PROXY, UNSPECIFIED, &[0; PROXY_HEADER_BYTES_MAX + 1]),
        ] {
            assert_eq!(read_all(&bytes).await.unwrap_err().kind(), ErrorKind::InvalidData);
        }
        let whole = header(PROXY, TCP_OVER_IPV4, &V4);
        for length in 0..whole.len() {
            let error = read(&mut &whole[..length]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        let longest = header(PROXY, UNSPECIFIED, &[0; PROXY_HEADER_BYTES_MAX]);
        assert!(read_all(&longest).await.is_ok());
    }
}

//! The header that a proxy puts before a connection (PROXY protocol, version 2).

use std::net::SocketAddrV4;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, and a connection that was made for somebody else.
const VERSION_AND_PROXY: u8 = 0x21;
/// TCP over IPv4.
const TCP_OVER_IPV4: u8 = 0x11;

const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_VERSION: u8 = 0x21;
/// The client spoke TLS to the proxy.
const CLIENT_SSL: u8 = 0x01;
/// There was no client certificate that could have been in order.
const NOT_VERIFIED: u32 = 1;

/// Makes the header of a connection from `source`, whose TLS the proxy has ended.
pub(crate) fn header(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&source.ip().octets());
    body.extend_from_slice(&destination.ip().octets());
    body.extend_from_slice(&source.port().to_be_bytes());
    body.extend_from_slice(&destination.port().to_be_bytes());
    let mut ssl = vec![CLIENT_SSL];
    ssl.extend_from_slice(&NOT_VERIFIED.to_be_bytes());
    append_tlv(&mut ssl, SUBTYPE_SSL_VERSION, b"TLSv1.3");
    append_tlv(&mut body, TYPE_SSL, &ssl);

    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[VERSION_AND_PROXY, TCP_OVER_IPV4]);
    append_length(&mut header, &body);
    header.extend_from_slice(&body);
    header
}

fn append_tlv(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    append_length(out, value);
    out.extend_from_slice(value);
}

fn append_length(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("headers are short");
    out.extend_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_byte_by_byte() {
        let bytes = header("10.77.1.2:40000".parse().unwrap(), "127.0.0.1:12346".parse().unwrap());
        let expected = [
            &[0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a][..],
            &[0x21, 0x11, 0, 30], // version 2, PROXY, TCP over IPv4, length
            &[10, 77, 1, 2, 127, 0, 0, 1], // from, to
            &[0x9c, 0x40, 0x30, 0x3a], // their ports
            &[0x20, 0, 15, 0x01, 0, 0, 0, 1], // PP2_TYPE_SSL: TLS, no certificate of the client
            &[0x21, 0, 7],
            b"TLSv1.3",
        ];
        assert_eq!(bytes, expected.concat());
    }
}

//! Reading and writing over TLS, with a client that does what the tests say and no more.

use std::io::{Read, Write};
use std::time::Duration;

use rustls::ClientConnection;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::tls::testing::{client, encrypted, exchange, heard, identity};

/// Both ends after the handshake.
struct Pair {
    socket: Socket,
    client: ClientConnection,
    stream: std::net::TcpStream,
}

async fn pair(version: &'static rustls::SupportedProtocolVersion) -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.set_recv_buffer_size(4096).unwrap(); // not reading is soon felt
    other.connect(&listener.local_addr().unwrap().into()).unwrap();
    let mut other = std::net::TcpStream::from(other);
    other.set_nodelay(true).unwrap();
    other.set_nonblocking(true).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
    let mut client = client(version);
    let identity = identity();
    let mut tls = Tls::new(identity.config, identity.key).unwrap();
    while client.is_handshaking() || tls.is_handshaking() || tls.wants_write() {
        exchange(&mut client, &mut other);
        // The event loop may not know yet that there is something.
        tokio::task::yield_now().await;
        if !client.is_handshaking() && !tls.is_handshaking() {
            tls.flush(&mut Raw(&stream)).unwrap();
            continue;
        }
        match tls.take_in(&mut Raw(&stream)) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }
    Pair { socket: Socket::secured(stream, tls), client, stream: other }
}

fn tls_of(socket: &Socket) -> &RefCell<Tls> {
    let Way::Secured(_, tls) = &socket.way else { unreachable!() };
    tls
}

fn stream_of(socket: &Socket) -> &TcpStream {
    let Way::Secured(stream, _) = &socket.way else { unreachable!() };
    stream
}

/// What is read next, however long that takes.
async fn read(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        socket.readable().await.unwrap();
        match socket.try_read(buffer) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            outcome => return outcome,
        }
    }
}

/// What the client hears next.
async fn hear(client: &mut ClientConnection, stream: &mut std::net::TcpStream) -> Vec<u8> {
    loop {
        exchange(client, stream);
        let text = heard(client);
        if !text.is_empty() {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_counts_as_written_has_left_and_nothing_is_said_twice() {
    for version in [&TLS12, &TLS13] {
        let Pair { socket, mut client, mut stream } = pair(version).await;
        let text: Vec<u8> = (0..2_000_000_u32).flat_map(|number| number.to_be_bytes()).collect();
        let (mut written, mut arrived) = (0, Vec::new());
        let mut blocked = 0;
        while arrived.len() < text.len() {
            // As the outbox does: whatever is unwritten, of which there is more each time.
            let end = text.len().min(written + 100_000);
            match socket.try_write(&text[written..end]) {
                Ok(bytes) => {
                    written += bytes;
                    let tls = tls_of(&socket).borrow();
                    assert!(!tls.wants_write(), "some of it is still here");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    blocked += 1;
                    // A slow reader.
                    let mut some = (&mut stream).take(3_000);
                    match client.read_tls(&mut some) {
                        Ok(_) => drop(client.process_new_packets().unwrap()),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                    arrived.extend(heard(&mut client));
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
            if written == text.len() {
                exchange(&mut client, &mut stream);
                arrived.extend(heard(&mut client));
            }
        }
        assert!(blocked > 100, "{blocked}");
        assert!(arrived == text);
    }
}

#[tokio::test]
async fn what_was_decrypted_is_served_without_waiting() {
    let Pair { socket, mut client, mut stream } = pair(&TLS13).await;
    let text: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    stream.write_all(&encrypted(&mut client, &text)).unwrap();
    let mut arrived: Vec<u8> = Vec::new();
    while arrived.len() < text.len() {
        let mut some = [0; 100];
        let read = timeout(Duration::from_secs(10), read(&socket, &mut some)).await.unwrap();
        arrived.extend(&some[..read.unwrap()]);
        assert!(arrived.len() == text.len() || !socket.is_silent(), "there is more");
    }
    assert_eq!(arrived, text);
    assert!(socket.is_silent());
}

#[tokio::test]
async fn a_record_that_came_in_part_is_not_silence() {
    let Pair { socket, mut client, mut stream } = pair(&TLS13).await;
    let bytes = encrypted(&mut client, b"hello");
    for part in [&bytes[..3], &bytes[3..5], &bytes[5..bytes.len() - 1]] {
        stream.write_all(part).unwrap();
        socket.readable().await.unwrap();
        let mut buffer = [0; 100];
        while socket.try_read(&mut buffer).unwrap_err().kind() != ErrorKind::WouldBlock {}
        let mut byte = [std::mem::MaybeUninit::uninit()];
        assert!(
            SockRef::from(stream_of(&socket)).peek(&mut byte).is_err(),
            "nothing is left there"
        );
        assert!(!socket.is_silent());
    }
    stream.write_all(&bytes[bytes.len() - 1..]).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(read(&socket, &mut buffer).await.unwrap(), 5);
    assert!(socket.is_silent());
}

#[tokio::test]
async fn only_an_end_that_was_said_is_one() {
    for (says_so, version) in [(true, &TLS13), (true, &TLS12), (false, &TLS13), (false, &TLS12)] {
        let Pair { socket, mut client, mut stream } = pair(version).await;
        let mut bytes = encrypted(&mut client, b"bye");
        if says_so {
            client.send_close_notify();
            bytes.extend(encrypted(&mut client, b""));
        }
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut buffer = [0; 2];
        assert_eq!(read(&socket, &mut buffer).await.unwrap(), 2);
        assert!(!socket.is_silent());
        assert_eq!(read(&socket, &mut buffer).await.unwrap(), 1);
        let end = read(&socket, &mut buffer).await;
        if says_so {
            assert_eq!(end.unwrap(), 0);
            // Half of the line is left.
            assert_eq!(socket.try_write(b"and you").unwrap(), 7);
            assert_eq!(hear(&mut client, &mut stream).await, b"and you");
        } else {
            assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        assert!(!socket.is_silent(), "its end is something");
    }
}

#[tokio::test]
async fn our_own_end_is_said_before_the_line_ends() {
    let Pair { socket, mut client, mut stream } = pair(&TLS13).await;
    assert_eq!(socket.try_write(b"bye").unwrap(), 3);
    socket.shut_down_writing().unwrap();
    let mut text = Vec::new();
    stream.set_nonblocking(false).unwrap();
    while client.read_tls(&mut stream).unwrap() > 0 {
        client.process_new_packets().unwrap();
    }
    client.reader().read_to_end(&mut text).unwrap(); // an end without a word would be an error
    assert_eq!(text, b"bye");
}

#[tokio::test]
async fn records_that_say_nothing_do_not_keep_anybody_busy() {
    let Pair { socket, mut client, mut stream } = pair(&TLS13).await;
    // Empty records: a record of our own making, with nothing in it.
    stream.write_all(&encrypted(&mut client, b"x")).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(read(&socket, &mut buffer).await.unwrap(), 1);
    for _ in 0..20 {
        client.refresh_traffic_keys().unwrap();
        stream.write_all(&encrypted(&mut client, b"")).unwrap();
    }
    socket.readable().await.unwrap();
    assert_eq!(socket.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::Interrupted);
    stream.write_all(&encrypted(&mut client, b"y")).unwrap();
    assert_eq!(read(&socket, &mut buffer).await.unwrap(), 1);
    // And what we say under the new keys is understood.
    assert_eq!(socket.try_write(b"yes").unwrap(), 3);
    assert_eq!(hear(&mut client, &mut stream).await, b"yes");
}

#[tokio::test]
async fn damage_ends_it() {
    let Pair { socket, mut client, mut stream } = pair(&TLS13).await;
    let mut bytes = encrypted(&mut client, b"hello");
    *bytes.last_mut().unwrap() ^= 1;
    stream.write_all(&bytes).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(read(&socket, &mut buffer).await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_line_that_broke_while_somebody_looked_is_not_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let socket = Socket::plain(stream);
    assert!(socket.is_silent() && socket.is_whole());
    SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
    drop(other);
    socket.readable().await.unwrap();
    // The system says once that a line is broken, to whoever asks first.
    assert!(!socket.is_silent());
    assert!(!socket.is_whole());
    assert!(!socket.is_whole(), "nor later");
}

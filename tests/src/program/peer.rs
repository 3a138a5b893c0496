//! Somebody at the other end of a TCP connection who speaks JSON, well or badly.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Deserializer, Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use super::tls::Wire;
use super::{DEADLINE, Lines, Server, Version, password_of};

/// The port on which an original client of these tests claims to listen for private links.
const PRIVATE_PORT: u16 = 50_123;

/// How many objects the report of a failure shows.
const HEARD_MAX: usize = 10;

/// A raw speaker of the protocol.
pub struct Peer {
    wire: Wire,
    /// What it writes after each object.
    delimiter: &'static [u8],
    /// What was read; up to `used` it was heard.
    unread: Vec<u8>,
    used: usize,
    segments: Vec<Segment>,
    /// The last few objects, for the report of a failure.
    heard: VecDeque<Value>,
    /// What the server has logged, for the same.
    log: Lines,
    /// How the line ended.
    ended: Option<String>,
    welcome: Value,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    tls: Option<Version>,
    is_narrow: bool,
    /// What a proxy says: for whom, and whether that one speaks TLS to it.
    proxied: Option<(IpAddr, bool)>,
}

impl Way {
    /// With TLS, of this version.
    #[must_use]
    pub fn tls(version: Version) -> Self {
        Self { tls: Some(version), ..Self::default() }
    }

    /// As a proxy connects on behalf of somebody at this address.
    ///
    /// # Panics
    /// If that is no address.
    #[must_use]
    pub fn from(self, address: &str) -> Self {
        let address = address.parse().expect("an address");
        Self { proxied: Some((address, false)), ..self }
    }

    /// The same, of somebody who speaks TLS to the proxy.
    #[must_use]
    pub fn secured(self) -> Self {
        Self { proxied: self.proxied.map(|(address, _)| (address, true)), ..self }
    }

    /// With a receive buffer so small that not reading is soon felt.
    #[must_use]
    pub fn narrow(self) -> Self {
        Self { is_narrow: true, ..self }
    }

    fn header(&self) -> Vec<u8> {
        let Some((address, is_secured)) = self.proxied else { return Vec::new() };
        let (family, addresses) = match address {
            IpAddr::V4(address) => {
                (0x11, [address.octets(), Ipv4Addr::LOCALHOST.octets()].concat())
            }
            IpAddr::V6(address) => {
                (0x21, [address.octets(), Ipv6Addr::LOCALHOST.octets()].concat())
            }
        };
        let mut rest = addresses;
        rest.extend([0xc0, 0, 0x30, 0x3a]); // ports
        if is_secured {
            rest.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
        }
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.push(family);
        header.extend(u16::try_from(rest.len()).expect("a few bytes").to_be_bytes());
        header.extend(rest);
        header
    }
}

/// What one read returned, and when.
#[derive(Clone, Debug)]
pub struct Segment {
    /// When it had come.
    pub at: Instant,
    /// What it was.
    pub bytes: Vec<u8>,
}

/// The login of somebody with the password that [`Setup::people`](super::Setup::people) gave.
#[must_use]
pub fn login(name: &str) -> Value {
    json!({"action": "login", "username": name, "password": password_of(name)})
}

impl Peer {
    /// Connects, and says nothing yet.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(server: &Server) -> Self {
        Self::over(Way::default(), server)
    }

    /// Connects with a receive buffer so small that not reading is soon felt.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect_narrow(server: &Server) -> Self {
        Self::over(Way::default().narrow(), server)
    }

    /// Connects in TLS, trusting whatever key is offered.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect_tls(server: &Server) -> Self {
        Self::over(Way::tls(Version::Tls13), server)
    }

    /// Connects in another way. A TLS handshake begins when something is said.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn over(way: Way, server: &Server) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the system has sockets");
        if way.is_narrow {
            socket.set_recv_buffer_size(4096).expect("a socket of ours");
        }
        socket.connect(&address.into()).expect("the server listens");
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("a socket of ours");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket of ours");
        // A server that has gone is found out by who listens.
        stream.write_all(&way.header()).unwrap_or_default();
        let wire = match way.tls {
            None => Wire::Plain(stream),
            Some(version) => Wire::secured(stream, version),
        };
        Self {
            wire,
            delimiter: b"\n",
            unread: Vec::new(),
            used: 0,
            segments: Vec::new(),
            heard: VecDeque::new(),
            log: server.log(),
            ended: None,
            welcome: Value::Null,
        }
    }

    /// The key of the server, if it was shown.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.wire.key().map(|key| key.to_string())
    }

    /// Logs in as an original client: objects without delimiters, one at a time.
    #[must_use]
    pub fn original(server: &Server, name: &str) -> Self {
        Self::original_at(server, name, PRIVATE_PORT)
    }

    /// The same, with private links to this port.
    #[must_use]
    pub fn original_at(server: &Server, name: &str, port: u16) -> Self {
        let mut peer = Self::connect(server);
        peer.delimiter = b"";
        peer.begin(name, json!({ "private_port": port }));
        peer
    }

    /// Logs in as netcat or a script would: lines, no acknowledgements.
    #[must_use]
    pub fn plain(server: &Server, name: &str) -> Self {
        let mut peer = Self::connect(server);
        peer.begin(name, json!({}));
        peer
    }

    /// Logs in as a client of ours.
    #[must_use]
    pub fn protocol(server: &Server, name: &str) -> Self {
        let mut peer = Self::connect(server);
        peer.begin(name, json!({"protocol": 1}));
        peer
    }

    /// Logs in as a running client of ours that calls itself `instance`.
    #[must_use]
    pub fn instance(server: &Server, name: &str, instance: &str) -> Self {
        let mut peer = Self::connect(server);
        peer.begin(name, json!({"protocol": 1, "instance": instance}));
        peer
    }

    /// Logs in with these members besides name and password.
    ///
    /// # Panics
    /// If that is refused.
    pub fn begin(&mut self, name: &str, members: Value) {
        let mut request = login(name);
        let (Value::Object(request_members), Value::Object(members)) = (&mut request, members)
        else {
            panic!("members are an object")
        };
        request_members.extend(members);
        self.welcome = self.ask(&request);
        assert_eq!(self.welcome["status"], "SUCCESS", "{name} cannot log in: {}", self.welcome);
    }

    /// The answer to the login.
    #[must_use]
    pub fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// Says an object.
    pub fn send(&mut self, value: &Value) {
        let mut bytes = value.to_string().into_bytes();
        bytes.extend_from_slice(self.delimiter);
        self.send_raw(&bytes);
    }

    /// Says objects in one write.
    pub fn send_all(&mut self, values: impl IntoIterator<Item = Value>) {
        let mut bytes = Vec::new();
        for value in values {
            bytes.extend_from_slice(value.to_string().as_bytes());
            bytes.extend_from_slice(self.delimiter);
        }
        self.send_raw(&bytes);
    }

    /// Says any bytes. If the line is gone, the test will find that out when it listens.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).unwrap_or_default();
    }

    /// Says any bytes as they are, whatever the line is encrypted with.
    pub fn send_beneath(&mut self, bytes: &[u8]) {
        self.wire.stream().write_all(bytes).unwrap_or_default();
    }

    /// Says any bytes on a thread of its own, while this one listens. Not over TLS.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn send_meanwhile(&mut self, bytes: Vec<u8>) {
        let mut stream = self.wire.stream().try_clone().expect("a socket of ours");
        std::thread::spawn(move || stream.write_all(&bytes).unwrap_or_default());
    }

    /// Says an object over and over until nobody takes it.
    ///
    /// Returns how often it was begun, and what is left to be said of the last one: nothing, if it
    /// was said whole.
    ///
    /// # Panics
    /// If the line breaks.
    pub fn flood(&mut self, value: &Value) -> (usize, Vec<u8>) {
        let mut one = value.to_string().into_bytes();
        one.extend_from_slice(self.delimiter);
        let many = one.repeat(1000);
        let patience = Duration::from_millis(500);
        self.wire.stream().set_write_timeout(Some(patience)).expect("a socket of ours");
        let mut written = 0;
        loop {
            match self.wire.write(&many[written % one.len()..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("cut after {written} bytes: {error}"),
            }
        }
        self.wire.stream().set_write_timeout(None).expect("a socket of ours");
        let begun = written.div_ceil(one.len());
        let left = begun * one.len() - written;
        (begun, one[one.len() - left..].to_vec())
    }

    /// Hears the next object; nothing is skipped.
    ///
    /// # Panics
    /// If none comes.
    pub fn hear(&mut self) -> Value {
        self.hear_or_end().unwrap_or_else(|| panic!("the line ended; {}", self.recently()))
    }

    /// Hears the next object, or nothing if the line ends.
    ///
    /// # Panics
    /// If neither happens before the deadline.
    pub fn hear_or_end(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.take_value() {
                if self.heard.len() == HEARD_MAX {
                    self.heard.pop_front();
                }
                self.heard.push_back(value.clone());
                return Some(value);
            }
            if !self.read() {
                let left = String::from_utf8_lossy(&self.unread[self.used..]);
                assert!(left.trim().is_empty(), "the line ended within '{left}'");
                return None;
            }
        }
    }

    /// Hears the next object, which must have this action.
    ///
    /// # Panics
    /// If it is another one.
    pub fn expect(&mut self, action: &str) -> Value {
        let value = self.hear();
        assert_eq!(value["action"], action, "heard {value}; {}", self.recently());
        value
    }

    /// Hears objects until one is as wanted.
    pub fn until(&mut self, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let value = self.hear();
            if is_it(&value) {
                return value;
            }
        }
    }

    /// Says an object; the next one heard must be the answer.
    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.expect(request["action"].as_str().unwrap_or("error"))
    }

    /// Asks, and returns the `status` of the answer.
    pub fn status(&mut self, request: &Value) -> String {
        self.ask(request)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends a direct message, which must be taken.
    ///
    /// # Panics
    /// If it is refused.
    pub fn message(&mut self, user: &str, text: &str) {
        let answer = self.ask(&json!({"action": "message", "user": user, "message": text}));
        assert_eq!(answer["status"], "SUCCESS", "{answer}");
    }

    /// Whether a direct message from somebody is the next thing heard.
    ///
    /// # Panics
    /// If something else is.
    pub fn expect_message(&mut self, from: &str, text: &str) -> Value {
        let value = self.expect("receive_message");
        assert_eq!((&value["from"], &value["message"]), (&json!(from), &json!(text)));
        value
    }

    /// Nothing was said to it that it has not heard: the answer to a question comes next.
    ///
    /// Not for original clients, whose answers overtake what waits.
    pub fn expect_quiet(&mut self) {
        self.ask(&json!({"action": "whoelse"}));
    }

    /// The line ends, and nothing was said before.
    ///
    /// # Panics
    /// If something was.
    pub fn expect_end(&mut self) {
        let value = self.hear_or_end();
        assert_eq!(value, None, "{}", self.recently());
    }

    /// Everything said until the line ends, as bytes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.read() {}
        self.unread.split_off(std::mem::take(&mut self.used))
    }

    /// What each read has returned, and when.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Ends its half of the line in order; what the server still says can be heard.
    pub fn end(&mut self) {
        self.wire.end();
    }

    /// Ends its half of the line as somebody would who cuts it: over TLS nothing says that this
    /// was the end.
    pub fn cut(&mut self) {
        // The other side may have broken the line already.
        self.wire.stream().shutdown(Shutdown::Write).unwrap_or_default();
    }

    /// How the line has ended, if it has: `the end`, or an error.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Ends the line in order and waits until the server has ended it too.
    pub fn hang_up(mut self) {
        self.end();
        self.read_to_end();
    }

    /// Breaks the line as a dying machine would.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn reset(self) {
        SockRef::from(self.wire.stream())
            .set_linger(Some(Duration::ZERO))
            .expect("a socket of ours");
    }

    fn take_value(&mut self) -> Option<Value> {
        let mut values = Deserializer::from_slice(&self.unread[self.used..]).into_iter::<Value>();
        match values.next()? {
            Ok(value) => {
                self.used += values.byte_offset();
                Some(value)
            }
            Err(error) if error.is_eof() => None,
            Err(error) => {
                panic!("{error} in '{}'", String::from_utf8_lossy(&self.unread))
            }
        }
    }

    /// Reads once. Returns false at the end, in whatever way it came.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.read_once(&mut buffer) {
            Ok(0) => {
                self.ended = Some("the end".to_owned());
                false
            }
            Ok(read) => {
                let bytes = buffer[..read].to_vec();
                self.unread.drain(..std::mem::take(&mut self.used));
                self.unread.extend_from_slice(&bytes);
                self.segments.push(Segment { at: Instant::now(), bytes });
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("nothing was said for {DEADLINE:?}; {}", self.recently())
            }
            Err(error) => {
                self.ended = Some(error.to_string());
                false
            }
        }
    }

    fn read_once(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.wire.read(buffer) {
                // A read with a time-out is not resumed by the system after a pause.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// What was heard last, how the line ended, if it has, and what the server has logged.
    #[must_use]
    pub fn recently(&self) -> String {
        let mut heard: Vec<String> = self.heard.iter().map(Value::to_string).collect();
        heard.extend(self.ended.clone());
        format!("heard before:\n{}\nlogged:\n{}", heard.join("\n"), self.log.all().join("\n"))
    }
}

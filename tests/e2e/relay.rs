//! The real client and the real server, with somebody between them who loses things.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::{Deserializer, Value, json};
use whoelse_tests::program::{Client, DEADLINE, Peer, Server, password_of};

use super::server;

/// A place to connect to instead of the server.
pub(super) struct Crossing(TcpListener);

/// One connection, of which this test passes on object by object what it wants to.
pub(super) struct Relay {
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
}

impl Crossing {
    pub(super) fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    pub(super) fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    /// Waits for the client and connects it to the server. Only plain text can be looked into, so
    /// the client is made to believe that there is nothing else.
    pub(super) fn accept(&self, server: &Server) -> Relay {
        let (mut first, _) = self.0.accept().unwrap();
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 1);
        drop(first);
        let (client, _) = self.0.accept().unwrap();
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
        }
        Relay { client: BufReader::new(client), server: BufReader::new(server) }
    }
}

impl Relay {
    /// Passes on the next thing the client says.
    pub(super) fn request(&mut self) -> Value {
        let request = next(&mut self.client);
        writeln!(self.server.get_mut(), "{request}").unwrap();
        request
    }

    /// Passes on the next thing the server says.
    pub(super) fn answer(&mut self) -> Value {
        let answer = next(&mut self.server);
        writeln!(self.client.get_mut(), "{answer}").unwrap();
        answer
    }

    /// Loses the next thing the server says.
    pub(super) fn lose_answer(&mut self) -> Value {
        next(&mut self.server)
    }

    /// Loses the next thing the client says.
    pub(super) fn lose_request(&mut self) -> Value {
        next(&mut self.client)
    }

    /// Passes on login and answer.
    pub(super) fn login(&mut self) -> Value {
        let request = self.request();
        assert_eq!(request["action"], "login");
        assert_eq!(self.answer()["status"], "SUCCESS");
        request
    }
}

fn next(from: &mut BufReader<TcpStream>) -> Value {
    Deserializer::from_reader(from).into_iter().next().expect("the line goes on").unwrap()
}

fn client(server: &Server, crossing: &Crossing, name: &str) -> Client {
    let mut client =
        Client::start(server.program(), &["localhost", &crossing.port()], server.folder());
    client.say(name);
    client.say(&password_of(name));
    client
}

#[test]
fn a_message_whose_answer_was_lost_is_sent_again_and_arrives_once() {
    let server = server(&["hans", "luke"]);
    let crossing = Crossing::new();
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, &crossing, "hans");
    let mut relay = crossing.accept(&server);
    let first_login = relay.login();
    luke.expect("login_broadcast");
    hans.say("message luke hello");
    hans.say("broadcast hear ye");
    let message = relay.request();
    assert_eq!(message["message"], "hello");
    assert_eq!(relay.request()["message"], "hear ye");
    assert_eq!(relay.lose_answer()["status"], "SUCCESS");
    drop(relay);
    let mut relay = crossing.accept(&server);
    let second_login = relay.login();
    assert_eq!(second_login["instance"], first_login["instance"]);
    assert_eq!(relay.request(), message);
    assert_eq!(relay.answer()["status"], "SUCCESS");
    hans.hear("message luke: sent");
    let said = hans.output().join("\n");
    assert!(said.contains("connection lost") && said.contains("broadcast: uncertain"), "{said}");
    // What is said to all may overtake mail.
    let mut heard = [luke.hear()["message"].clone(), luke.hear()["message"].clone()];
    heard.sort_by_key(Value::to_string);
    assert_eq!(heard, ["hear ye", "hello"]);
    luke.expect_quiet();
}

#[test]
fn mail_whose_acknowledgement_was_lost_is_shown_once() {
    let server = server(&["hans", "luke"]);
    let crossing = Crossing::new();
    let mut luke = Peer::protocol(&server, "luke");
    luke.message("hans", "hello");
    let mut hans = client(&server, &crossing, "hans");
    let mut relay = crossing.accept(&server);
    relay.login();
    assert_eq!(relay.answer()["message"], "hello");
    hans.hear("luke: hello");
    drop(relay); // and with it the acknowledgement
    let mut relay = crossing.accept(&server);
    relay.login();
    assert_eq!(relay.answer()["message"], "hello", "it comes again");
    assert_eq!(relay.request(), json!({"action": "ack", "number": 1}));
    hans.end_input();
    assert_eq!(relay.request()["action"], "logout");
    relay.answer();
    drop(relay);
    let ended = hans.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = ended.out.iter().filter(|line| line.contains("luke: hello")).count();
    assert_eq!(shown, 1, "{ended:?}");
}

//! The loop with a real socket, against a server of a few lines. Nothing here waits for time to
//! pass: each step waits for the one before it.

mod encrypted;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whoelse_proto::Place;
use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::EVENT_BYTES_MAX;

use super::*;
use crate::links::LinkOptions;
use crate::notice::{Loss, Notice, Question, Security, Tell, Why};

const WELCOME: &[u8] =
    b"{\"action\":\"login\",\"status\":\"SUCCESS\",\"protocol\":1,\"server\":\"s\",\"acknowledged\":0}\n";

/// A client that runs by itself, and both ends of what it is connected to.
struct Running {
    listener: TcpListener,
    inputs: mpsc::Sender<Input>,
    told: mpsc::Receiver<Told>,
    shown: watch::Sender<u64>,
    client: tokio::task::JoinHandle<Ended>,
}

fn options(host: &str, port: u16) -> Options {
    let config = Config {
        interactive: true,
        takeover: false,
        invite: None,
        place: Place { host: host.into(), port },
        device_name: "laptop".into(),
        vouch: None,
        links: LinkOptions::default(),
    };
    Options { config, state: None, expected_key: None, compares: true, store: true }
}

/// Accepts a client that tries TLS first, as one that has none of it.
async fn accept_plain(listener: &TcpListener) -> TcpStream {
    let (mut first, _) = listener.accept().await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), 0x16, "TLS is tried first");
    drop(first);
    listener.accept().await.unwrap().0
}

impl Running {
    async fn start(told_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::with(listener, options("127.0.0.1", port), told_max)
    }

    fn with(listener: TcpListener, options: Options, told_max: usize) -> Self {
        let (inputs, typed) = mpsc::channel(8);
        let (telling, told) = mpsc::channel(told_max);
        let (shown, showing) = watch::channel(0);
        let client = tokio::spawn(run(options, typed, telling, showing, pending()));
        Self { listener, inputs, told, shown, client }
    }

    /// Accepts the client and logs it in.
    async fn log_in(&mut self) -> TcpStream {
        let mut server = accept_plain(&self.listener).await;
        let safety = self.gives_name_and_password().await;
        assert_eq!(safety, Some(Security::Plain), "whoever gives a password knows by then");
        assert!(read(&mut server).await.contains("\"login\""));
        server.write_all(WELCOME).await.unwrap();
        self.is_in().await;
        assert!(read(&mut server).await.contains("\"whoelse\""), "for the completion of names");
        server
    }

    /// Says what was told before of how safe the connection is.
    async fn gives_name_and_password(&mut self) -> Option<Security> {
        let (safety, next) = match self.next().await {
            Tell::Notice(Notice::Security(security)) => (Some(security), self.next().await),
            next => (None, next),
        };
        assert_eq!(next, Tell::Question(Question::Name));
        self.type_in(Input::Name("hans".into())).await;
        assert_eq!(self.next().await, Tell::Question(Question::Password));
        self.type_in(Input::Password("secret".into())).await;
        safety
    }

    async fn is_in(&mut self) {
        let notice = Notice::LoggedIn { name: "hans".into(), admin: false };
        assert_eq!(self.next().await, Tell::Notice(notice));
    }

    async fn type_in(&self, input: Input) {
        assert!(self.inputs.send(input).await.is_ok());
    }

    async fn next(&mut self) -> Tell {
        let told = self.told.recv().await.expect("the client goes on");
        self.shown.send_replace(told.sequence);
        told.tell
    }

    async fn end(self) -> Ending {
        self.client.await.unwrap().ending
    }
}

/// What arrives next at the server.
async fn read(server: &mut TcpStream) -> String {
    let mut bytes = vec![0; 64 * 1024];
    let length = server.read(&mut bytes).await.unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn mail(number: u64) -> String {
    format!(
        "{{\"action\":\"receive_message\",\"from\":\"luke\",\"message\":\"m{number}\",\"number\":{number}}}\n"
    )
}

#[tokio::test]
async fn from_login_to_logout() {
    let mut running = Running::start(8).await;
    let mut server = running.log_in().await;
    running.type_in(Input::Command(Command::Whoelse)).await;
    let asked = read(&mut server).await;
    assert!(asked.contains("whoelse") && asked.ends_with("}\n"), "{asked}");
    // Without line ends and in pieces, as an original server might.
    let id = Incoming::decode(asked.as_bytes()).unwrap().id.unwrap();
    let answer = format!(r#"{{"action":"whoelse","id":"{id}","reply":["luke"]}}"#);
    for piece in (answer + mail(1).trim_end()).as_bytes().chunks(7) {
        server.write_all(piece).await.unwrap();
        server.flush().await.unwrap();
    }
    assert!(matches!(running.next().await, Tell::Notice(Notice::Answered { .. })));
    assert!(matches!(running.next().await, Tell::Notice(Notice::Message { .. })));
    assert_eq!(read(&mut server).await, "{\"action\":\"ack\",\"number\":1}\n");
    running.type_in(Input::Command(Command::Logout)).await;
    assert!(read(&mut server).await.contains("logout"));
    server.write_all(b"{\"action\":\"logout\",\"reply\":\"logged out\"}").await.unwrap();
    assert_eq!(running.end().await, Ending::LoggedOut);
}

#[tokio::test]
async fn a_lost_line_is_found_again_and_the_message_sent_again() {
    let mut running = Running::start(8).await;
    let mut server = running.log_in().await;
    let command = Command::Message { user: "luke".into(), text: "hi".into() };
    running.type_in(Input::Command(command)).await;
    let sent = read(&mut server).await;
    drop(server);
    assert!(matches!(running.next().await, Tell::Notice(Notice::Lost { .. })));
    let mut server = accept_plain(&running.listener).await;
    assert!(read(&mut server).await.contains("secret"));
    server.write_all(WELCOME).await.unwrap();
    assert!(matches!(running.next().await, Tell::Notice(Notice::Back { resent: 1, .. })));
    assert_eq!(read(&mut server).await, sent);
}

#[tokio::test]
async fn why_the_server_hung_up_is_read_before_the_line_counts_as_lost() {
    let mut running = Running::start(8).await;
    let mut server = running.log_in().await;
    server.write_all(b"{\"action\":\"timeout\"}\n").await.unwrap();
    drop(server);
    assert!(matches!(running.next().await, Tell::Notice(Notice::Ended { .. })));
    assert_eq!(running.end().await, Ending::Timeout);
}

#[tokio::test]
async fn a_screen_that_is_behind_stops_the_reading_and_loses_nothing() {
    const MAILS: u64 = 5_000;
    let mut running = Running::start(2).await;
    let mut server = running.log_in().await;
    let all: String = (1..=MAILS).map(mail).collect();
    let writer = tokio::spawn(async move {
        server.write_all(all.as_bytes()).await.unwrap();
        server
    });
    for number in 1..=MAILS {
        let Tell::Notice(Notice::Message { text, .. }) = running.next().await else { panic!() };
        assert_eq!(text, format!("m{number}"));
    }
    let mut server = writer.await.unwrap();
    let mut acknowledged = String::new();
    while !acknowledged.contains(&format!("{{\"action\":\"ack\",\"number\":{MAILS}}}\n")) {
        acknowledged += &read(&mut server).await;
    }
}

#[tokio::test]
async fn garbage_and_frames_without_end_close_the_connection_and_nothing_else() {
    for garbage in [b"SSH-2.0-x\r\n".to_vec(), b"[1]".to_vec(), b"{\"action\":}".to_vec(), {
        let mut endless = b"{\"action\":\"".to_vec();
        endless.resize(EVENT_BYTES_MAX + 100, b'x');
        endless
    }] {
        let mut running = Running::start(8).await;
        let mut server = running.log_in().await;
        // The client may hang up before it has read everything.
        server.write_all(&garbage).await.unwrap_or_default();
        let Tell::Notice(Notice::Lost { loss, .. }) = running.next().await else { panic!() };
        assert_eq!(loss, Loss::Garbage);
        running.listener.accept().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_too_long_for_a_frame_does_not_reach_the_server() {
    let mut running = Running::start(8).await;
    let _server = running.log_in().await;
    let command = Command::Broadcast { text: "x".repeat(70_000) };
    running.type_in(Input::Command(command)).await;
    let Tell::Notice(Notice::Answered { answer, .. }) = running.next().await else { panic!() };
    let crate::Answer::Refused(refusal) = answer else { panic!() };
    assert!(matches!(refusal.why, Why::TooLong { .. }));
}

#[tokio::test]
async fn nobody_listening_and_no_such_machine_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (host, trouble) in [
        ("127.0.0.1", Trouble::Refused),
        ("[127.0.0.1]", Trouble::Refused),
        ("no.such.machine.invalid", Trouble::UnknownHost),
    ] {
        let (_inputs, typed) = mpsc::channel(1);
        let (telling, _told) = mpsc::channel(1);
        let (_shown, showing) = watch::channel(0);
        let ended = run(options(host, port), typed, telling, showing, pending()).await;
        assert_eq!(ended.ending, Ending::Unreachable(trouble), "{host}");
    }
}

#[tokio::test]
async fn a_screen_that_is_gone_ends_the_client() {
    let mut running = Running::start(8).await;
    let mut server = running.log_in().await;
    drop(running.told);
    server.write_all(mail(1).as_bytes()).await.unwrap();
    assert_eq!(running.client.await.unwrap().ending, Ending::Interrupted);
    assert!(read(&mut server).await.contains("logout"), "the session ends in order");
}

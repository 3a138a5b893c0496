//! The same with TLS: who is trusted, and that nobody else is sent anything.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use whoelse_proto::{DeviceKey, InviteSecret, Nonce};

use super::*;
use crate::known::{KnownServers, ServerName};
use crate::notice::Answer;
use crate::trust::{Distrust, Kind, Known};

/// What a server shows and holds.
struct Identity {
    fingerprint: Fingerprint,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// A certificate for localhost that only its own key vouches for.
    fn new() -> Self {
        Self::of(|_| {}, None)
    }

    /// A certificate from a CA that no machine has heard of.
    fn of(
        change: impl FnOnce(&mut CertificateParams),
        ca: Option<&CertifiedIssuer<'_, KeyPair>>,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = match ca {
            Some(ca) => params.signed_by(&key, ca).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let chain = vec![certificate.der().clone()];
        Self::with(&key, chain, &key)
    }

    fn with(shown: &KeyPair, chain: Vec<CertificateDer<'static>>, held: &KeyPair) -> Self {
        let held = PrivateKeyDer::try_from(held.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signing = provider.key_provider.load_private_key(held).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, signing);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        let fingerprint = Fingerprint(Sha256::digest(shown.subject_public_key_info()).into());
        Self { fingerprint, config: Arc::new(config) }
    }
}

/// The server's end of a connection with TLS.
struct Peer {
    stream: TcpStream,
    tls: ServerConnection,
}

struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Peer {
    async fn accept(listener: &TcpListener, identity: &Identity) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let tls = ServerConnection::new(Arc::clone(&identity.config)).unwrap();
        let mut peer = Self { stream, tls };
        while peer.tls.is_handshaking() {
            if !peer.exchange().await {
                break;
            }
        }
        peer
    }

    /// Writes all and reads once; says whether more may come.
    async fn exchange(&mut self) -> bool {
        self.flush().await;
        self.stream.readable().await.unwrap();
        match self.tls.read_tls(&mut Socket(&self.stream)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        let state = self.tls.process_new_packets();
        self.flush().await;
        state.is_ok_and(|state| !state.peer_has_closed() || state.plaintext_bytes_to_read() > 0)
    }

    async fn flush(&mut self) {
        while self.tls.wants_write() {
            self.stream.writable().await.unwrap();
            match self.tls.write_tls(&mut Socket(&self.stream)) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }

    /// What arrives next; nothing if the client hangs up.
    async fn read(&mut self) -> String {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Ok(length @ 1..) = self.tls.reader().read(&mut bytes) {
                return String::from_utf8(bytes[..length].to_vec()).unwrap();
            }
            if !self.exchange().await {
                return String::new();
            }
        }
    }

    async fn write(&mut self, text: &str) {
        self.tls.writer().write_all(text.as_bytes()).unwrap();
        self.flush().await;
    }
}

/// A client on localhost that keeps what it learns in this folder.
async fn start(state: &Path, change: impl FnOnce(&mut Options)) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    start_at(listener, state, change)
}

fn start_at(listener: TcpListener, state: &Path, change: impl FnOnce(&mut Options)) -> Running {
    let mut options = options("localhost", listener.local_addr().unwrap().port());
    options.state = Some(state.to_owned());
    change(&mut options);
    Running::with(listener, options, 8)
}

fn server_name(running: &Running) -> ServerName {
    ServerName::new("localhost", running.listener.local_addr().unwrap().port())
}

/// What the client remembers of its server.
fn known(state: &Path, running: &Running) -> Option<Known> {
    KnownServers::new(state).find(&server_name(running)).unwrap()
}

fn remember(state: &Path, running: &Running, kind: Kind, key: Fingerprint) {
    let known = Known { kind, key, since_s: 1 };
    KnownServers::new(state).remember(&server_name(running), known).unwrap();
}

/// Ends because the server is not trusted, and has sent it nothing.
async fn assert_distrusted(running: Running, identity: &Identity, distrust: Distrust) {
    let port = running.listener.local_addr().unwrap().port();
    let mut peer = Peer::accept(&running.listener, identity).await;
    assert_eq!(peer.read().await, "");
    assert_eq!(running.end().await, distrusted(port, distrust));
}

fn distrusted(port: u16, distrust: Distrust) -> Ending {
    Ending::Distrusted { place: Place { host: "localhost".into(), port }, distrust }
}

#[tokio::test]
async fn on_this_machine_a_key_is_remembered_and_told_once() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let mut running = start(state.path(), |_| {}).await;
    let mut peer = Peer::accept(&running.listener, &identity).await;
    let safety = running.gives_name_and_password().await;
    assert_eq!(safety, Some(Security::FirstContact { key: identity.fingerprint }));
    let login = peer.read().await;
    assert!(login.contains("\"secret\"") && login.contains("\"device_key\""), "{login}");
    peer.write(std::str::from_utf8(WELCOME).unwrap()).await;
    running.is_in().await;
    let known = known(state.path(), &running).unwrap();
    assert_eq!((known.kind, known.key), (Kind::Pinned, identity.fingerprint));
    assert!(known.since_s > 1_700_000_000);
}

#[tokio::test]
async fn from_a_password_to_a_device_and_to_the_end_in_order() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut running = start_at(listener, state.path(), |_| {});
    let mut peer = Peer::accept(&running.listener, &identity).await;
    running.gives_name_and_password().await;
    peer.read().await;
    let welcome = |action: &str| {
        format!(
            r#"{{"action":"{action}","status":"SUCCESS","protocol":1,"server":"s","acknowledged":0,"device_name":"laptop"}}"#
        )
    };
    peer.write(&welcome("login")).await;
    running.is_in().await;
    running.type_in(Input::Leave).await;
    while !peer.read().await.contains(r#"{"action":"logout"}"#) {}
    peer.write("{\"action\":\"logout\",\"reply\":\"logged out\"}\n").await;
    assert_eq!(peer.read().await, "");
    assert!(peer.tls.process_new_packets().unwrap().peer_has_closed(), "it says goodbye to TLS");
    let Running { listener, client, .. } = running;
    assert_eq!(client.await.unwrap().ending, Ending::LoggedOut);
    assert_eq!(listener.local_addr().unwrap().port(), port);

    // The next start needs no password, and the proof is for this server.
    let mut running = start_at(listener, state.path(), |_| {});
    let mut peer = Peer::accept(&running.listener, &identity).await;
    assert_eq!(running.next().await, Tell::Question(Question::Name));
    running.type_in(Input::Name("hans".into())).await;
    assert_eq!(peer.read().await, r#"{"action":"challenge"}"#);
    let nonce = Nonce([3; 32]);
    peer.write(&format!(r#"{{"action":"challenge","status":"SUCCESS","nonce":"{nonce}"}}"#)).await;
    let resume: serde_json::Value = serde_json::from_str(&peer.read().await).unwrap();
    let text = |member: &str| resume[member].as_str().unwrap().to_owned();
    let key = DeviceKey::parse(&text("device_key")).unwrap();
    let signature = whoelse_proto::Signature::parse(&text("signature")).unwrap();
    let signed = whoelse_proto::keys::resume_text(&identity.fingerprint, &nonce, "hans");
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.0);
    assert!(key.verify(&signed, &signature.0).is_ok());
    peer.write(&welcome("resume")).await;
    running.is_in().await;

    // After a logout it does.
    running.type_in(Input::Command(Command::Logout)).await;
    while !peer.read().await.contains(r#""forget":true"#) {}
    peer.write("{\"action\":\"logout\",\"reply\":\"logged out\"}\n").await;
    let Running { listener, client, .. } = running;
    assert_eq!(client.await.unwrap().ending, Ending::LoggedOut);
    let mut running = start_at(listener, state.path(), |_| {});
    Peer::accept(&running.listener, &identity).await;
    running.gives_name_and_password().await;
}

#[tokio::test]
async fn a_wrong_key_is_sent_nothing() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let expected = Fingerprint([1; 32]);
    let running = start(state.path(), |options| options.expected_key = Some(expected)).await;
    let offered = identity.fingerprint;
    assert_distrusted(running, &identity, Distrust::Unexpected { expected, offered }).await;
}

#[tokio::test]
async fn a_changed_key_is_sent_nothing() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let offered = identity.fingerprint;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = start_at(listener, state.path(), |_| {});
    let pinned = Fingerprint([1; 32]);
    // Before the client gets to its first connection: nothing has run yet.
    remember(state.path(), &probe, Kind::Pinned, pinned);
    assert_distrusted(probe, &identity, Distrust::Changed { pinned, since_s: 1, offered }).await;
}

#[tokio::test]
async fn a_key_that_changes_while_the_line_is_down_ends_the_client() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let mut running = start(state.path(), |_| {}).await;
    let mut peer = Peer::accept(&running.listener, &identity).await;
    running.gives_name_and_password().await;
    peer.read().await;
    peer.write(std::str::from_utf8(WELCOME).unwrap()).await;
    running.is_in().await;
    assert!(peer.read().await.contains("\"whoelse\""), "nothing is left unread");
    drop(peer);
    let Tell::Notice(Notice::Lost { loss, .. }) = running.next().await else { panic!() };
    assert_eq!(loss, Loss::Cut, "it did not say that it would close");
    let other = Identity::new();
    let mut peer = Peer::accept(&running.listener, &other).await;
    assert_eq!(peer.read().await, "");
    let Tell::Notice(Notice::Ended { ending }) = running.next().await else { panic!() };
    let Ending::Distrusted { distrust, .. } = ending else { panic!() };
    let Distrust::Changed { pinned, offered, .. } = distrust else { panic!() };
    assert_eq!((pinned, offered), (identity.fingerprint, other.fingerprint));
}

#[tokio::test]
async fn an_orderly_end_is_told_from_a_cut() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let mut running = start(state.path(), |_| {}).await;
    let mut peer = Peer::accept(&running.listener, &identity).await;
    running.gives_name_and_password().await;
    peer.read().await;
    peer.write(std::str::from_utf8(WELCOME).unwrap()).await;
    running.is_in().await;
    peer.write("{\"action\":\"login_broadcast\",\"from\":\"luke\"}\n").await;
    peer.tls.send_close_notify();
    peer.flush().await;
    assert_eq!(running.next().await, Tell::Notice(Notice::Came { name: "luke".into() }));
    let Tell::Notice(Notice::Lost { loss, .. }) = running.next().await else { panic!() };
    assert_eq!(loss, Loss::Closed);
}

#[tokio::test]
async fn a_certificate_that_was_valid_once_must_stay_so() {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let wrong_name = |params: &mut CertificateParams| {
        *params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
    };
    for identity in [
        Identity::of(|_| {}, Some(&ca)),
        Identity::of(expired, Some(&ca)),
        Identity::of(wrong_name, Some(&ca)),
    ] {
        let state = tempfile::tempdir().unwrap();
        let running = start(state.path(), |_| {}).await;
        remember(state.path(), &running, Kind::Certificate, identity.fingerprint);
        let offered = identity.fingerprint;
        let distrust = Distrust::CertificateInvalid { since_s: 1, offered };
        assert_distrusted(running, &identity, distrust).await;
    }
}

#[tokio::test]
async fn whoever_shows_a_certificate_must_hold_its_key() {
    let (shown, held) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let chain = vec![params.self_signed(&shown).unwrap().der().clone()];
    let thief = Identity::with(&shown, chain, &held);
    let state = tempfile::tempdir().unwrap();
    let expected = Some(thief.fingerprint);
    let running = start(state.path(), |options| options.expected_key = expected).await;
    let mut peer = Peer::accept(&running.listener, &thief).await;
    assert_eq!(peer.read().await, "");
    let Ending::Unreachable(Trouble::Other(words)) = running.end().await else { panic!() };
    assert!(words.to_lowercase().contains("signature"), "{words}");
}

#[tokio::test]
async fn a_server_that_spoke_tls_is_not_spoken_to_without() {
    for answer in ["hello there, who are you?\n", ""] {
        let state = tempfile::tempdir().unwrap();
        let running = start(state.path(), |_| {}).await;
        remember(state.path(), &running, Kind::Pinned, Fingerprint([1; 32]));
        let (mut server, _) = running.listener.accept().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 0x16);
        server.write_all(answer.as_bytes()).await.unwrap();
        server.shutdown().await.unwrap();
        let port = running.listener.local_addr().unwrap().port();
        let ending = match answer {
            "" => Ending::Unreachable(Trouble::Closed),
            _ => distrusted(port, Distrust::NoEncryption),
        };
        assert_eq!(running.end().await, ending);
    }
    // Nor is one whose key is expected.
    let state = tempfile::tempdir().unwrap();
    let key = Some(Fingerprint([1; 32]));
    let running = start(state.path(), |options| options.expected_key = key).await;
    drop(running.listener.accept().await.unwrap());
    let port = running.listener.local_addr().unwrap().port();
    assert_eq!(running.end().await, distrusted(port, Distrust::NoEncryption));
}

#[tokio::test]
async fn words_instead_of_tls_make_a_stranger_on_this_machine_a_plain_server() {
    let no_tls: [&[u8]; 2] =
        [b"{\"action\":\"error\",\"status\":\"BAD_REQUEST\"}\n", b"\x15\x03\x03\0\x02\x02\x28"];
    for answer in no_tls {
        let mut running = Running::start(8).await;
        let (mut first, _) = running.listener.accept().await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), 0x16);
        first.write_all(answer).await.unwrap();
        let (_second, _) = running.listener.accept().await.unwrap();
        assert_eq!(running.next().await, Tell::Notice(Notice::Security(Security::Plain)));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_instead_of_tls_does_so_too() {
    let mut running = Running::start(8).await;
    let (_first, _) = running.listener.accept().await.unwrap();
    let (_second, _) = running.listener.accept().await.unwrap();
    assert_eq!(running.next().await, Tell::Notice(Notice::Security(Security::Plain)));
}

#[tokio::test]
async fn what_cannot_be_remembered_is_not_guessed() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("known-servers"), b"\xff").unwrap();
    let running = start(state.path(), |_| {}).await;
    match running.end().await {
        Ending::Distrusted { distrust: Distrust::NoMemory { words }, .. } => {
            assert!(words.contains("known-servers"), "{words}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_invite_pins_its_key_and_one_made_on_this_machine_is_guessed() {
    let (state, identity) = (tempfile::tempdir().unwrap(), Identity::new());
    let mut running = start(state.path(), |options| {
        options.expected_key = Some(identity.fingerprint);
        options.config.invite = Some(InviteSecret::new([9; 16]));
    })
    .await;
    let mut peer = Peer::accept(&running.listener, &identity).await;
    assert!(peer.read().await.contains("\"invitation\""));
    let kind = known(state.path(), &running).map(|known| (known.kind, known.key));
    assert_eq!(kind, Some((Kind::Pinned, identity.fingerprint)));
    peer.write(r#"{"action":"invitation","status":"SUCCESS","role":"admin","expires_in":60}"#)
        .await;
    let verified = Security::Verified { by_invite: true };
    assert_eq!(running.next().await, Tell::Notice(Notice::Security(verified)));
    assert_eq!(running.next().await, Tell::Notice(Notice::Invited { by: None, admin: true }));
    assert_eq!(running.next().await, Tell::Question(Question::NewName));
    running.type_in(Input::Name("hans".into())).await;
    assert_eq!(running.next().await, Tell::Question(Question::NewPassword));
    running.type_in(Input::Password("long enough".into())).await;
    assert!(peer.read().await.contains("\"join\""));
    peer.write(
        r#"{"action":"join","status":"SUCCESS","protocol":1,"server":"s","acknowledged":0}"#,
    )
    .await;
    running.is_in().await;
    assert!(matches!(running.next().await, Tell::Notice(Notice::WayBack { .. })));
    peer.read().await;
    running.type_in(Input::Command(Command::Invite { role: whoelse_proto::Role::Member })).await;
    let id = Incoming::decode(peer.read().await.as_bytes()).unwrap().id.unwrap();
    let key = identity.fingerprint;
    peer.write(&format!(
        r#"{{"action":"invite","id":"{id}","status":"SUCCESS","invite":"CQkJCQkJCQkJCQkJCQkJCQ",
            "expires_in":60,"place":"10.0.0.7:12346","guessed":true,"server_key":"{key}"}}"#
    ))
    .await;
    let Tell::Notice(Notice::Answered { answer, .. }) = running.next().await else { panic!() };
    assert!(matches!(answer, Answer::Invited { guessed: true, .. }), "{answer:?}");
}

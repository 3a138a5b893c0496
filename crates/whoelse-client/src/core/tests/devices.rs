//! Devices: from a password to a proof, and what happens when the proof is worth nothing.

use ring::signature::{ED25519, UnparsedPublicKey};
use whoelse_proto::keys::resume_text;
use whoelse_proto::{DeviceKey, Nonce, Signature};

use super::*;

const NONCE: Nonce = Nonce([5; 32]);
const KNOWN_DEVICE: &str = r#"{"action":"login","status":"SUCCESS","protocol":1,"server":"s1","acknowledged":0,"device_name":"laptop"}"#;
const RESUMED: &str = r#"{"action":"resume","status":"SUCCESS","protocol":1,"server":"s1","acknowledged":0,"device_name":"laptop"}"#;
const REFUSED: &str =
    r#"{"action":"resume","status":"RESUME_REFUSED","message":"This device is not known."}"#;
const CHALLENGE: &str = r#"{"action":"challenge"}"#;

impl Client {
    fn hears_nonce(&mut self) {
        self.hears(&format!(r#"{{"action":"challenge","status":"SUCCESS","nonce":"{NONCE}"}}"#));
    }

    /// Its line breaks, and it has a new one.
    fn comes_back(&mut self) {
        self.loses_the_line();
        self.waits_for_connect();
        self.connects();
        self.told();
    }
}

/// Whether a request is a proof of this client's device, for this server and name.
fn assert_proof(request: &str) {
    let object: serde_json::Value = serde_json::from_str(request).unwrap();
    assert_eq!((&object["action"], &object["username"]), (&"resume".into(), &"hans".into()));
    assert_eq!(object["instance"], "30313233343536373839616263646566");
    let text = |member: &str| object[member].as_str().unwrap().to_owned();
    let key = DeviceKey::parse(&text("device_key")).unwrap();
    assert_eq!(key, Device::new([7; 32]).key());
    let signature = Signature::parse(&text("signature")).unwrap();
    let signed = resume_text(&SERVER, &NONCE, "hans");
    assert!(UnparsedPublicKey::new(&ED25519, key.0).verify(&signed, &signature.0).is_ok());
}

#[test]
fn a_login_makes_the_device_known_and_a_reconnect_needs_no_password() {
    {
        let mut client = Client::person().with_device(false);
        client.connects();
        client.types_password("secret");
        let login = client.done().concat();
        let key = Device::new([7; 32]).key();
        assert!(login.contains(&format!(r#""device_key":"{key}""#)), "{login}");
        assert!(login.contains(r#""device_name":"laptop""#), "{login}");
        client.hears(KNOWN_DEVICE);
        assert_eq!(client.done()[0], "keep the device");
        assert!(client.core.who.as_ref().unwrap().password.is_none(), "nobody needs it any more");
        client.told();
        client.comes_back();
        assert_eq!(client.done(), [CHALLENGE]);
        client.hears_nonce();
        assert_proof(&client.done().concat());
        client.hears(RESUMED);
        assert!(matches!(client.notices()[..], [Notice::Back { .. }]));
        assert_eq!(client.done(), [""; 0], "it is kept already");
    }
}

#[test]
fn a_person_with_a_known_device_is_asked_for_no_password() {
    let mut client = Client::person().with_device(true);
    client.connects();
    client.types_name("hans");
    assert_eq!(client.done(), [CHALLENGE]);
    assert_eq!(client.told(), [Tell::Question(Question::Name)]);
    client.hears_nonce();
    assert_proof(&client.done().concat());
    client.hears(RESUMED);
    assert_eq!(client.notices(), [Notice::LoggedIn { name: "hans".into(), admin: false }]);
}

#[test]
fn a_script_logs_in_with_the_password_it_is_given() {
    let mut client = Client::script().with_device(true);
    client.connects();
    client.types_name("hans");
    assert_eq!(client.told().last(), Some(&Tell::Question(Question::Password)));
    client.types_password("secret");
    let login = client.done().concat();
    assert!(login.contains(r#""password":"secret""#), "{login}");
    assert!(!login.contains("device_key"), "it may run anywhere, any number of times: {login}");
}

#[test]
fn a_device_that_is_refused_leads_to_the_password() {
    let mut client = Client::person().with_device(true);
    client.connects();
    client.types_name("hans");
    client.hears_nonce();
    client.done();
    client.told();
    client.hears(REFUSED);
    let sentence = Some("This device is not known.".to_owned());
    assert_eq!(
        client.told(),
        [Tell::Notice(Notice::ResumeRefused { sentence }), Tell::Question(Question::Password)]
    );
    assert_eq!(client.done(), ["forget the device", "profile hans"]);
    // A profile that could not be changed still holds the old one.
    client.core.handle_device(client.now_ms, Some(Device::new([7; 32])), true);
    assert_eq!(client.told(), []);
    client.types_password("secret");
    assert!(!client.done().concat().contains("device_key"), "somebody may have a copy of it");
}

#[test]
fn a_new_device_is_made_known_as_soon_as_the_password_is_given_again() {
    let mut client = Client::person().with_device(true);
    client.connects();
    client.types_name("hans");
    client.hears_nonce();
    client.hears(REFUSED);
    client.done();
    client.told();
    let new = Device::new([8; 32]);
    let key = new.key();
    client.core.handle_device(client.now_ms, Some(new), false);
    assert_eq!((client.told(), client.done()), (vec![], vec![]), "the question stands");
    client.types_password("secret");
    assert!(client.done().concat().contains(&format!(r#""device_key":"{key}""#)));
    client.hears(KNOWN_DEVICE);
    assert_eq!(client.done()[0], "keep the device");
    client.told();
    client.comes_back();
    assert_eq!(client.done(), [CHALLENGE]);
}

#[test]
fn a_device_that_is_refused_on_the_way_back() {
    let mut person = Client::person().with_device(false).logged_in(KNOWN_DEVICE);
    person.comes_back();
    person.hears_nonce();
    person.done();
    person.hears(REFUSED);
    assert_eq!(person.told().last(), Some(&Tell::Question(Question::Password)));
    person.types_password("new");
    assert!(person.done().concat().contains(r#""password":"new""#));
}

#[test]
fn a_server_that_knows_no_devices_gets_the_password_each_time() {
    let mut client = Client::script().with_device(false).logged_in(WELCOME);
    client.comes_back();
    let again = client.done().concat();
    assert!(again.contains(r#""password":"secret""#), "{again}");

    let mut client = Client::person().with_device(true);
    client.connects();
    client.types_name("hans");
    client.told();
    client.hears(r#"{"action":"challenge","status":"UNKNOWN_ACTION","reply":"Unknown action"}"#);
    assert_eq!(client.told().last(), Some(&Tell::Question(Question::Password)));
}

#[test]
fn without_tls_no_device_is_shown_and_none_resumes() {
    let plain = Link { security: Security::Plain, key: None, loopback: true };
    let mut client = Client::person().with_device(true);
    client.core.handle_connected(client.now_ms, plain);
    client.types_name("hans");
    assert_eq!(client.done(), [""; 0]);
    client.types_password("secret");
    let login = client.done().concat();
    assert!(login.contains("secret") && !login.contains("device"), "{login}");
    client.hears(KNOWN_DEVICE);
    assert!(!client.done().contains(&"keep the device".to_owned()));
}

#[test]
fn a_refusal_that_has_nothing_to_do_with_the_device_keeps_it() {
    let mut client = Client::person().with_device(true);
    client.connects();
    client.types_name("hans");
    client.hears_nonce();
    client.done();
    client.hears(r#"{"action":"resume","status":"ALREADY_LOGGED_IN"}"#);
    assert_eq!(client.core.ending(), Some(&Ending::Refused(LoginRefusal::AlreadyLoggedIn)));
    assert_eq!(client.done(), ["disconnect"]);
}

#[test]
fn logout_forgets_the_device_once_that_is_confirmed_and_leaving_does_not() {
    let logged_in = || Client::person().with_device(false).logged_in(KNOWN_DEVICE);
    let goodbye = r#"{"action":"logout","status":"SUCCESS","reply":"logged out"}"#;

    let mut client = logged_in();
    client.wants(Command::Logout);
    assert_eq!(client.done(), [r#"{"action":"logout","forget":true}"#]);
    client.hears(goodbye);
    assert_eq!(client.done(), ["forget the device", "disconnect"]);

    let mut client = logged_in();
    client.wants(Command::Logout);
    client.done();
    client.loses_the_line();
    assert_eq!(client.done(), ["forget the device", "disconnect"], "heard or not");
    assert_ne!(client.core.ending(), Some(&Ending::LoggedOut));

    let mut client = logged_in();
    client.core.handle_leave(client.now_ms);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.hears(goodbye);
    assert_eq!(client.done(), ["disconnect"]);
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn a_changed_password_is_the_one_that_brings_the_session_back() {
    let mut client = Client::person().logged_in(WELCOME);
    let passwords = Passwords { old: "secret".into(), new: "another one".into() };
    client.wants(Command::Passwd(passwords));
    let sent = client.done().concat();
    assert!(sent.contains(r#""new":"another one""#), "{sent}");
    let id = id_of(&sent);
    client.hears(&format!(r#"{{"action":"passwd","id":"{id}","status":"SUCCESS"}}"#));
    let told = format!("{:?}", client.notices());
    assert!(told.contains("Done") && !told.contains("another one"), "{told}");
    client.comes_back();
    assert!(client.done().concat().contains(r#""password":"another one""#));
}

//! What is sealed is opened, by its own key only, and whatever was altered is noticed.

use super::*;

/// A pair made by another implementation, for this test only.
const RECIPIENT: &str = "age1488k2pftjhanw86p6ml9n97psvh9e9kq62nn7vf3ah90udq025mqzz0zf3";
const IDENTITY: &str = "AGE-SECRET-KEY-16SDX2GSHZVMPPQSDW0RHNGWAQU2SNP3TLHGCDGS4PRUAFXC36GCSU2J5M0";

/// "made elsewhere", encrypted to that key by another implementation.
const ELSEWHERE: &str = "\
    YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBGai80TjF4b25iS3dJU2QweW8zV2N3cEIxOERy\
    QjFsN1ByQ0lHdTNXbENRCkVTMHAzSDBxQWt6UGZkMUlnbjhKT2VYUjR1STB2b0NWendESGNwR1NoTTgK\
    LS0tIFJRZFRmSXFZYnJYRGovbTVsQklaQUpoc0hjUzFid0VkcnNqMi9GeTlpZHMKak5LE7tLZg2EL4kt\
    NjwNL419di0nnAO2qTxOAUmwAQAGOUhbpXB84vVz4EXfnw==";

fn sealed(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), recipients).unwrap();
    sealer.write_all(plain).unwrap();
    sealer.finish().unwrap()
}

fn opened(bytes: &[u8], identity: &Identity) -> Result<Vec<u8>, AgeError> {
    let mut plain = Vec::new();
    Opener::new(bytes, identity)?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[test]
fn what_another_implementation_has_sealed_is_opened() {
    let identity = Identity::parse(&format!("# created: today\n{IDENTITY}\n")).unwrap();
    let recipient = Recipient::parse(RECIPIENT).unwrap();
    assert_eq!(identity.recipient().0, recipient.0);
    let bytes = base64ct::Base64::decode_vec(ELSEWHERE).unwrap();
    assert_eq!(opened(&bytes, &identity).unwrap(), b"made elsewhere");
}

#[test]
fn every_length_comes_back_for_each_recipient() {
    let (one, other) = (Identity::fresh().unwrap(), Identity::fresh().unwrap());
    let stranger = Identity::fresh().unwrap();
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 200_000] {
        let plain: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let bytes = sealed(&plain, &[one.recipient(), other.recipient()]);
        for identity in [&one, &other] {
            assert!(opened(&bytes, identity).unwrap() == plain, "{length}");
        }
        assert!(matches!(opened(&bytes, &stranger), Err(AgeError::OtherKey)));
    }
}

#[test]
fn whatever_is_altered_or_cut_off_is_refused() {
    let identity = Identity::fresh().unwrap();
    let plain = vec![7; CHUNK_BYTES + 100];
    let bytes = sealed(&plain, &[identity.recipient()]);
    let is_refused = |bytes: &[u8]| assert!(opened(bytes, &identity).is_err());
    for place in (0..300).chain([300 + CHUNK_BYTES, bytes.len() - 1]) {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        is_refused(&altered);
    }
    let payload = bytes.len() - plain.len() - 2 * TAG_BYTES;
    for length in (0..300).chain([payload + CHUNK_BYTES + TAG_BYTES, bytes.len() - 1]) {
        is_refused(&bytes[..length]);
    }
    is_refused(&[bytes.as_slice(), b"x"].concat());
}

#[test]
fn what_is_no_key_is_none() {
    assert!(Recipient::parse(&RECIPIENT.to_ascii_uppercase()).is_some());
    let slip = format!("{}q", &RECIPIENT[..RECIPIENT.len() - 1]);
    for text in ["", "age1", "ssh-ed25519 AAAA", IDENTITY, &RECIPIENT[..40], &slip] {
        assert!(Recipient::parse(text).is_none(), "{text}");
    }
    assert!(Identity::parse(RECIPIENT).is_none() && Identity::parse("# nothing\n").is_none());
}

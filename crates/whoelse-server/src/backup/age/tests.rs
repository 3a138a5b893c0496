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
    Opener::new(bytes, std::slice::from_ref(identity))?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// The only key in a text.
fn identity(text: &str) -> Identity {
    let mut all = Identity::parse_all(text).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn what_another_implementation_has_sealed_is_opened() {
    let identity = identity(&format!("# created: today\n{IDENTITY}\n"));
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
    for text in [RECIPIENT, "# nothing\n", "", &format!("{IDENTITY}\n{RECIPIENT}\n")] {
        assert!(Identity::parse_all(text).is_none(), "{text}");
    }
}

#[test]
fn a_key_that_anybody_could_open_is_none() {
    // Points of low order: whatever is multiplied with them is nothing.
    for point in [[0; 32], [&[1][..], &[0; 31]].concat().try_into().unwrap()] {
        assert!(Recipient::of(PublicKey::from(point)).is_none());
    }
}

#[test]
fn any_of_several_keys_opens() {
    let other = "AGE-SECRET-KEY-10CE5WMNZDK0CN53765VZ0URZK065PD4CP535SVU35C62DPEWMDFSFJKCK3";
    let keys = Identity::parse_all(&format!("# old\n{other}\n\n# new\n{IDENTITY}\n")).unwrap();
    let bytes = sealed(b"plain", &[Recipient::parse(RECIPIENT).unwrap()]);
    let mut plain = Vec::new();
    Opener::new(&bytes[..], &keys).unwrap().read_to_end(&mut plain).unwrap();
    assert_eq!(plain, b"plain");
}

/// The format has one way to say where the end is: a chunk with nothing in it may only be the only
/// one.
#[test]
fn an_empty_last_chunk_is_refused() {
    let identity = Identity::fresh().unwrap();
    let mut sealer = Sealer::new(Vec::new(), &[identity.recipient()]).unwrap();
    sealer.write_all(&[7; CHUNK_BYTES]).unwrap();
    sealer.put(false).unwrap();
    let bytes = sealer.finish().unwrap();
    let error = opened(&bytes, &identity).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn a_header_that_is_not_written_as_it_must_be_is_refused() {
    let identity = identity(IDENTITY);
    let bytes = base64ct::Base64::decode_vec(ELSEWHERE).unwrap();
    let end = bytes.windows(5).position(|it| it == b"\n--- ").unwrap() + 5 + 43;
    let (header, payload) = bytes.split_at(end);
    let header = std::str::from_utf8(header).unwrap();
    let refused =
        |header: &str| opened(&[header.as_bytes(), payload].concat(), &identity).expect_err(header);
    // Padding, a longer line, and bits that say nothing.
    refused(&format!("{header}="));
    refused(&header.replace("hM8\n", "hM8=\n"));
    refused(&header.replace("hM8\n", "hM9\n"));
    refused(&header.replace('\n', "\r\n"));
    refused(&header.replace(" X25519 ", " x25519 "));
    for header in [header.replace("lCQ\n", "lCR\n"), header.replace("lCQ\n", "lC\n")] {
        assert!(matches!(refused(&header), AgeError::Damaged), "{header}");
    }
    let scrypt = header.replace("-> X25519 ", "-> scrypt ");
    assert!(matches!(refused(&scrypt), AgeError::Passphrase));
}

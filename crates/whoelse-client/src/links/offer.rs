//! A signed offer: what a file is, what it is called and who may have it, by the word of a device.
//!
//! The server passes offers on, and cannot make or change one: so it does not choose what "checked"
//! means to whoever fetches, nor whom a client serves that passes on what it has fetched.

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use whoelse_proto::codec::IncomingFile;
use whoelse_proto::limits::{SHARED_BYTES_MAX, SHARED_WITH_MAX};
use whoelse_proto::share::{Scope, SharedName, share_text};
use whoelse_proto::{DeviceKey, FileHash, FileName, Name, Signature};

use super::SwarmFile;
use crate::profile::Device;

/// A file as its sharer offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The id of the server's data for which it was signed.
    pub(crate) server: String,
    pub(crate) owner: Name,
    pub(crate) hash: FileHash,
    pub(crate) size: u64,
    pub(crate) name: SharedName,
    pub(crate) with: Scope,
    /// Whose signature it is, and what the server calls that device.
    pub(crate) device: DeviceKey,
    pub(crate) device_name: String,
    pub(crate) signature: Signature,
}

/// An offer as it is kept beside the file.
#[derive(Serialize, Deserialize)]
struct Note {
    v: u32,
    server: String,
    owner: Name,
    hash: String,
    size: u64,
    name: SharedName,
    with: Scope,
    device: String,
    device_name: String,
    signature: String,
}

/// The version of notes that this client writes and reads.
const VERSION: u32 = 1;

/// What is signed.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) hash: FileHash,
    pub(crate) size: u64,
    pub(crate) name: SharedName,
    pub(crate) with: Scope,
}

impl Offer {
    /// The offer of this device to a server.
    pub(crate) fn make(server: &str, owner: Name, device: &Device, terms: Terms) -> Self {
        let Terms { hash, size, name, with } = terms;
        let text = share_text(server, &owner, &hash, size, &name, &with);
        let (server, key) = (server.to_owned(), device.key());
        let signature = device.sign_bytes(&text);
        let device_name = String::new();
        Self { server, owner, hash, size, name, with, device: key, device_name, signature }
    }

    /// An offer as a server tells it; none if it makes no sense.
    pub(crate) fn told(server: &str, file: &IncomingFile) -> Option<Self> {
        let offer = Self {
            server: server.to_owned(),
            owner: Name::new(&file.from).ok()?,
            hash: FileHash::parse(&file.hash).ok()?,
            size: file.size,
            name: SharedName::new(&file.name).ok()?,
            with: scope(file.with.as_deref())?,
            device: DeviceKey::parse(&file.device).ok()?,
            device_name: file.device_name.clone(),
            signature: Signature::parse(&file.signature).ok()?,
        };
        offer.is_sound().then_some(offer)
    }

    /// Whether the device has signed exactly this.
    pub(crate) fn is_signed(&self) -> bool {
        let Self { server, owner, hash, size, name, with, .. } = self;
        let text = share_text(server, owner, hash, *size, name, with);
        UnparsedPublicKey::new(&ED25519, self.device.0).verify(&text, &self.signature.0).is_ok()
    }

    /// Whether somebody may have the file.
    pub(crate) fn is_for(&self, user: &str) -> bool {
        self.owner.as_str() == user || Name::new(user).is_ok_and(|name| self.with.includes(&name))
    }

    /// The file as people are told of it.
    pub(crate) fn file(&self) -> SwarmFile {
        let name = FileName::of(self.name.as_str());
        SwarmFile { hash: self.hash, name, size: self.size }
    }

    /// What is kept beside the file.
    pub(crate) fn written(&self) -> String {
        let note = Note {
            v: VERSION,
            server: self.server.clone(),
            owner: self.owner.clone(),
            hash: self.hash.to_string(),
            size: self.size,
            name: self.name.clone(),
            with: self.with.clone(),
            device: self.device.to_string(),
            device_name: self.device_name.clone(),
            signature: self.signature.to_string(),
        };
        serde_json::to_string(&note).expect("text and numbers can be written as JSON")
    }

    /// Reads what was kept; none if it makes no sense. Whether it is signed is another question.
    pub(crate) fn read(note: &str) -> Option<Self> {
        let note: Note = serde_json::from_str(note).ok().filter(|note: &Note| note.v == VERSION)?;
        let offer = Self {
            server: note.server,
            owner: note.owner,
            hash: FileHash::parse(&note.hash).ok()?,
            size: note.size,
            name: note.name,
            with: note.with,
            device: DeviceKey::parse(&note.device).ok()?,
            device_name: note.device_name,
            signature: Signature::parse(&note.signature).ok()?,
        };
        offer.is_sound().then_some(offer)
    }

    fn is_sound(&self) -> bool {
        let names = self.with.names().map_or(1, <[Name]>::len);
        (1..=SHARED_BYTES_MAX).contains(&self.size) && (1..=SHARED_WITH_MAX).contains(&names)
    }
}

/// Whom a file is for, as a server tells it; none if these are no names.
pub(crate) fn scope(with: Option<&[String]>) -> Option<Scope> {
    let Some(names) = with else { return Some(Scope::Everyone) };
    let names: Result<Box<[Name]>, _> = names.iter().map(|name| Name::new(name)).collect();
    names.ok().map(Scope::People)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "0123456789abcdef0123456789abcdef";

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn terms(with: Scope) -> Terms {
        let (hash, name) = (FileHash([4; 32]), SharedName::new("film.mkv").unwrap());
        Terms { hash, size: 500, name, with }
    }

    fn offer(with: Scope) -> Offer {
        Offer::make(SERVER, name("hans"), &Device::new([7; 32]), terms(with))
    }

    fn people() -> Scope {
        Scope::People([name("luke"), name("yoda")].into())
    }

    #[test]
    fn the_signature_is_that_of_the_protocol() {
        let to_two = offer(people());
        assert_eq!(to_two.device.to_string(), "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw");
        assert_eq!(
            to_two.signature.to_string(),
            "34-RT_vZVlFZseX4JNkjG1CsHBLJG3DqtCTA4vPsIWjFmB_RzLcAUekzSrQ_IGxSRigZbm36seT_DnVO0LAyCg"
        );
        assert_eq!(
            offer(Scope::Everyone).signature.to_string(),
            "-zHb2qkQsVRpP8q33f3EvRhmsbBQ5QGLmx57ggTTaZ6k5IYt51Uo09pDjJKAemNm1ssPEX9gDYtO45rDccrkBg"
        );
    }

    #[test]
    fn a_changed_offer_is_not_signed() {
        let changes: [fn(&mut Offer); 8] = [
            |it| it.server.push('x'),
            |it| it.owner = name("luke"),
            |it| it.hash.0[0] ^= 1,
            |it| it.size += 1,
            |it| it.name = SharedName::new("film.mk").unwrap(),
            |it| it.with = Scope::Everyone,
            |it| it.with = Scope::People([name("luke")].into()),
            |it| it.device = Device::new([8; 32]).key(),
        ];
        let good = offer(people());
        assert!(good.is_signed());
        for change in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(!changed.is_signed(), "{changed:?}");
        }
    }

    #[test]
    fn an_offer_is_for_whom_it_names_and_for_who_made_it() {
        let to_two = offer(people());
        let of_all = ["hans", "luke", "yoda", "mallory", ""].map(|user| to_two.is_for(user));
        assert_eq!(of_all, [true, true, true, false, false]);
        assert!(offer(Scope::Everyone).is_for("mallory"));
    }

    #[test]
    fn what_is_kept_of_an_offer_is_all_of_it() {
        for good in [offer(people()), offer(Scope::Everyone)] {
            let kept = Offer::read(&good.written()).unwrap();
            assert_eq!(kept, good);
            assert!(kept.is_signed());
        }
        let long = Scope::People((0..64).map(|at| name(&format!("{at:032}"))).collect());
        assert!(offer(long).written().len() <= 16 * 1024, "whoever carries it keeps no more");
        let written = offer(people()).written();
        let bad = [
            String::new(),
            "{}".into(),
            written.replace("\"v\":1", "\"v\":2"),
            written.replace("\"size\":500", "\"size\":0"),
            written.replace(r#"{"People":["luke","yoda"]}"#, r#"{"People":[]}"#),
            written.replace("film.mkv", "a/b"),
        ];
        for bad in bad {
            assert_eq!(Offer::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_server_tells_is_an_offer_or_nothing() {
        let good = offer(people());
        let told = IncomingFile {
            hash: good.hash.to_string(),
            size: 500,
            name: "film.mkv".into(),
            with: Some(vec!["luke".into(), "yoda".into()]),
            from: "hans".into(),
            device: good.device.to_string(),
            device_name: "laptop".into(),
            signature: good.signature.to_string(),
            sources: 1,
        };
        let read = Offer::told(SERVER, &told).unwrap();
        assert!(read.is_signed());
        assert_eq!(Offer { device_name: String::new(), ..read }, good);
        assert!(!Offer::told("other", &told).unwrap().is_signed());
        let changes: [fn(&mut IncomingFile); 6] = [
            |it| it.hash.clear(),
            |it| it.size = 0,
            |it| it.name = "a/b".into(),
            |it| it.with = Some(Vec::new()),
            |it| it.device.clear(),
            |it| it.signature.clear(),
        ];
        for change in changes {
            let mut bad = told.clone();
            change(&mut bad);
            assert_eq!(Offer::told(SERVER, &bad), None, "{bad:?}");
        }
    }
}

//! What people ask, in the words of the protocol.

use std::sync::Arc;

use whoelse_engine::Aid;
use whoelse_proto::event::Meeting;
use whoelse_proto::{
    Command, Device, DeviceKey, Fingerprint, InviteSecret, Join, Login, Passwd, Request, RequestId,
    Resume, Role, Signature,
};

use crate::sim::model::{Ask, Entry, name};

/// A question as it would be decoded.
pub(super) fn request(ask: &Ask) -> Request<'_> {
    let id = match ask {
        Ask::Message { id, .. } => RequestId::new(id),
        _ => None,
    };
    Request { id, command: command(ask) }
}

/// What the hub would add to it.
pub(super) fn aid(ask: &Ask) -> Aid {
    match ask {
        Ask::Resume { is_proven, .. } => Aid::Proof(*is_proven),
        Ask::Invite { secret, .. } => {
            let place = Arc::new("localhost".parse().expect("it is a place"));
            let meeting = Meeting { place, is_guessed: true, key: Fingerprint([0; 32]) };
            Aid::Invite { secret: invite_secret(*secret), meeting }
        }
        _ => Aid::None,
    }
}

fn command(ask: &Ask) -> Command<'_> {
    match ask {
        Ask::Login { person, password, entry } => Command::Login(Login {
            username: name(*person).into(),
            password: password.as_str().into(),
            private_port: 0,
            protocol: entry.protocol.then_some(1),
            instance: Some(entry.instance.as_str().into()),
            takeover: entry.takeover,
            device: device(entry).filter(|_| entry.protocol),
            receipts: false,
        }),
        Ask::Resume { person, entry, .. } => Command::Resume(Resume {
            username: name(*person).into(),
            key: key(entry.device.unwrap_or(0)),
            signature: Signature([0; 64]),
            protocol: 1,
            instance: Some(entry.instance.as_str().into()),
            takeover: entry.takeover,
            receipts: false,
        }),
        Ask::Join { secret, password, entry } => Command::Join(Join {
            invite: invite_secret(*secret),
            username: entry.instance.split('-').next().unwrap_or_default().into(),
            password: password.as_str().into(),
            protocol: 1,
            instance: Some(entry.instance.as_str().into()),
            device: device(entry),
            receipts: false,
        }),
        Ask::Message { to, text, .. } => {
            Command::Message { user: name(*to).into(), message: text.as_str().into() }
        }
        Ask::Broadcast => Command::Broadcast { message: "hello".into() },
        Ask::Block { who, begins: true } => Command::Block { user: name(*who).into() },
        Ask::Block { who, begins: false } => Command::Unblock { user: name(*who).into() },
        Ask::Whoelse => Command::Whoelse,
        Ask::WhoelseSince { ms } => Command::WhoelseSince { since_ms: *ms },
        Ask::Ack { number } => Command::Ack { number: *number },
        Ask::Logout { forget } => Command::Logout { forget: *forget },
        Ask::Invite { admin, .. } => {
            Command::Invite { role: if *admin { Role::Admin } else { Role::Member } }
        }
        Ask::RevokeInvite { number } => Command::RevokeInvite { number: *number },
        Ask::Devices => Command::Devices,
        Ask::RevokeDevice { key } => Command::RevokeDevice { name: format!("d{key}").into() },
        Ask::Passwd { old, new } => {
            Command::Passwd(Passwd { old: old.as_str().into(), new: new.as_str().into() })
        }
        Ask::Lock { who, begins: true } => Command::Lock { user: name(*who).into() },
        Ask::Lock { who, begins: false } => Command::Unlock { user: name(*who).into() },
    }
}

fn device(entry: &Entry) -> Option<Device<'_>> {
    entry.device.map(|number| Device { key: key(number), name: format!("d{number}").into() })
}

fn key(number: u8) -> DeviceKey {
    DeviceKey([number; 32])
}

fn invite_secret(number: u64) -> InviteSecret {
    let mut bytes = [0; InviteSecret::BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    InviteSecret::new(bytes)
}

//! What a person is told of private links.

use std::net::IpAddr;

use super::{PeerFailure, Route, Trust};
use whoelse_proto::LinkReason;

/// Something a person is told of a private link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNotice {
    /// Somebody wants one, and waits for an answer.
    Wanted {
        /// Who.
        user: String,
        /// What is known of the device.
        trust: Trust,
        /// No address of this machine is told to it.
        hidden: bool,
    },
    /// Somebody wanted one, and does not any more.
    NotWanted {
        /// Who.
        user: String,
        /// Why.
        reason: LinkReason,
    },
    /// Somebody wanted one, and was refused without asking the person.
    TurnedAway {
        /// Who.
        user: String,
        /// Why.
        reason: LinkReason,
    },
    /// The other person was asked, or has asked already: the link is being made.
    Being {
        /// With whom.
        user: String,
        /// It waits for that person to accept; otherwise both have agreed.
        asked: bool,
    },
    /// A text waits for the link that is being made.
    Waits {
        /// To whom it is.
        user: String,
    },
    /// A link stands.
    Up {
        /// With whom.
        user: String,
        /// On which way.
        route: Route,
        /// What was known of the device before.
        trust: Trust,
    },
    /// It takes another way.
    Route {
        /// With whom.
        user: String,
        /// Which.
        route: Route,
    },
    /// Nothing is heard of the other end.
    Interrupted {
        /// With whom.
        user: String,
        /// The server, whose relay carried it, is away: it goes on when that is back.
        server_away: bool,
    },
    /// It is heard again.
    Back {
        /// With whom.
        user: String,
        /// On which way.
        route: Route,
    },
    /// Somebody said something.
    Text {
        /// Who.
        from: String,
        /// What.
        text: String,
    },
    /// A link has ended, or none came of what both wanted.
    Ended {
        /// With whom.
        user: String,
        /// Why.
        end: LinkEnd,
        /// It stood.
        stood: bool,
        /// What was not acknowledged, the oldest first.
        texts: Vec<NotSent>,
    },
    /// Nothing came of a link, and so these were not sent.
    NotSent {
        /// To whom they were.
        user: String,
        /// The oldest first.
        texts: Vec<NotSent>,
    },
    /// Somebody has another key than was known. There is no link.
    Changed {
        /// Who.
        user: String,
        /// The device, as the server calls it.
        device: String,
        /// The device whose key was known, since when (in seconds since 1970), and whether it was
        /// compared.
        known: Option<(String, u64, bool)>,
        /// The other person has asked for the link.
        asked_us: bool,
    },
    /// A link that nobody encrypts stands, with whoever is at an address.
    UnencryptedUp {
        /// Who is there, by the word of the server, or of whoever is there.
        user: String,
        /// Where.
        address: IpAddr,
        /// It was opened there.
        asked_us: bool,
    },
    /// Something came over a link that nobody encrypts. Anybody could have said it.
    UnencryptedText {
        /// Who claims to say it.
        from: String,
        /// What.
        text: String,
    },
    /// A link that nobody encrypts has ended, or none came about.
    UnencryptedEnded {
        /// With whom.
        user: String,
        /// Where that was.
        address: IpAddr,
        /// It stood.
        stood: bool,
        /// The person here wanted so.
        here: bool,
        /// What went wrong, if anything did.
        trouble: Option<String>,
        /// What has not left, or may not have, the oldest first.
        texts: Vec<NotSent>,
    },
    /// Somebody opened a link that nobody encrypts, under the name of a person who is known or linked
    /// already, and was turned away.
    UnencryptedTurnedAway {
        /// Whose name it was.
        user: String,
        /// Where it came from.
        address: IpAddr,
    },
    /// Somebody opened a link that nobody encrypts, and there is no room for another; told once.
    UnencryptedFull {
        /// Where it came from.
        address: IpAddr,
    },
    /// Nobody can open a link that nobody encrypts, though they may.
    CannotListen {
        /// Why, in the words of the system.
        words: String,
    },
    /// An invite has shown that a device is whose the server says.
    ByInvite {
        /// Whose.
        user: String,
    },
}

/// A text that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSent {
    /// What it says.
    pub text: String,
    /// It was sent, and may have been seen.
    pub tried: bool,
}

/// Why something about private links was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkWhy {
    /// There is no connection to the server, which has to introduce the two.
    NoConnection,
    /// This client makes no links.
    NoLinks(NoLinks),
    /// The other person's client makes none.
    NoneThere,
    /// The asker has blocked that person.
    YouBlocked,
    /// There is a link already.
    LinkStands,
    /// One is being made.
    LinkBeing,
    /// There are as many as there may be.
    TooManyLinks,
    /// As many texts as may be are not acknowledged.
    TooManyTexts,
    /// So much of them is not acknowledged that this one has no room.
    TooMuchText,
    /// That person has asked for one, and waits for an answer.
    Asks,
    /// That person has not asked for anything.
    NotAsked,
    /// No device of that person is known here.
    NotMet,
    /// Several devices of that person are known, and none is linked now.
    SeveralDevices,
    /// No key of that person was refused.
    NoKeyRefused,
    /// What there is to compare was not shown yet.
    LookFirst,
    /// What there is to compare is not what was shown.
    LookAgain,
    /// A key of that person was refused, and nobody knows which one was compared.
    KeyRefused,
    /// There are as many transfers as there may be.
    TooManyFiles,
    /// There is no such transfer.
    NoFile,
    /// There are several with that person.
    SeveralFiles,
    /// It would tell the address, which is to be told to nobody.
    AddressHidden,
}

/// Why a client makes no links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLinks {
    /// The program was built without them.
    NotBuilt,
    /// A script that takes none has no device of its own either.
    Unwanted,
    /// The connection to the server is not encrypted, so that devices prove nothing.
    Plain,
    /// This client has no device of its own: another client of this person uses it, or there is no
    /// place to keep one.
    NoDevice,
    /// What was known of other people's devices cannot be read.
    PeersDamaged(String),
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The person here wanted so.
    Here,
    /// The person there wanted so.
    There,
    /// The other end fell silent.
    Silent,
    /// It was declined, or nothing came of it.
    Refused(LinkReason),
    /// It took too long to make.
    NotMade,
    /// What came from the other side was not signed by the device that the server had named.
    BadCard,
    /// It could not be carried.
    Failed(PeerFailure),
    /// The connection to the server was lost before it was made.
    ServerLost,
    /// The other side has begun a new one.
    Replaced,
    /// The client ends.
    Leaving,
}

/// A line of the list of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLine {
    /// With whom.
    pub user: String,
    /// How far it is.
    pub state: LinkState,
    /// What is known of the device, once that is named.
    pub trust: Option<Trust>,
    /// Texts that are not acknowledged.
    pub texts: usize,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The other person waits for an answer.
    Wanted,
    /// The other person was asked.
    Asked,
    /// Both have agreed.
    Being,
    /// It stands.
    Standing(Route),
    /// It stands, and nothing is heard.
    Interrupted(Route),
    /// It ends as soon as everything is acknowledged.
    Closing,
    /// Nobody encrypts it.
    Unencrypted {
        /// It stands.
        up: bool,
    },
}

/// What there is to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// The number, for each device of that person that may be meant, the newest last.
    pub numbers: Vec<SafetyNumber>,
    /// A key that was refused, and has to be compared before it is accepted.
    pub refused: Option<Box<SafetyNumber>>,
}

/// A number to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyNumber {
    /// The device, as the server calls it; empty if only an invite has named it.
    pub device: String,
    /// Sixty digits in groups.
    pub groups: [String; 12],
    /// It was compared.
    pub compared: bool,
    /// When the key was first met, in seconds since 1970; none if it is not remembered.
    pub since_s: Option<u64>,
}

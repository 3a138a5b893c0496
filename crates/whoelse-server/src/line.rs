//! One connection as the hub sees it.

use std::net::IpAddr;

use whoelse_engine::{AccountId, Number, Time};
use whoelse_proto::Nonce;

use crate::hub::Timer;
use crate::outbox::Outbox;
use crate::socket::Socket;

/// What a connection's mail lane has reached.
pub(crate) struct MailLane {
    pub(crate) account: AccountId,
    /// The last number handed to the outbox.
    pub(crate) cursor: Number,
    /// The last number there is, as far as effects were released.
    pub(crate) last: Number,
    /// A page was asked for and has not come.
    pub(crate) is_reading: bool,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not logged in.
    Stranger,
    /// A login is being decided; nothing more is read until then.
    LoggingIn,
    /// Logged in.
    Member,
    /// Everything that waits is written, then it ends.
    Closing,
    /// It was told that it ended; what it still sends is thrown away.
    Lingering,
}

/// When what waits for a connection is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Nothing new waits.
    Not,
    /// A crowd is told the same: when it is this one's turn.
    Later,
    /// At the end of this wake-up.
    Now,
}

pub(crate) struct Line {
    pub(crate) socket: std::rc::Rc<Socket>,
    /// Whom it counts for, if for anybody.
    pub(crate) source: Option<IpAddr>,
    pub(crate) stage: Stage,
    pub(crate) outbox: Outbox,
    /// Bytes that wait to be written, as the hub last counted them.
    pub(crate) counted: usize,
    pub(crate) mail: Option<MailLane>,
    /// A task waits until the socket takes bytes again.
    pub(crate) is_blocked: bool,
    /// Whether it is on a list of those with something to write.
    pub(crate) due: Due,
    /// The other side has ended its half.
    pub(crate) has_ended: bool,
    /// When something was last asked, for strangers.
    pub(crate) asked_at: Time,
    /// When the frame began that is still incomplete.
    pub(crate) midway_since: Option<Time>,
    pub(crate) is_midway_timed: bool,
    pub(crate) is_pace_timed: bool,
    /// Its door waits until less is to be written.
    pub(crate) is_crowded_out: bool,
    /// Its door has read bytes that were not handed in yet.
    pub(crate) has_leftover: bool,
    /// Mail that was written when nothing the client had sent was waiting: a request that comes
    /// after that is a later one.
    pub(crate) marked: Number,
    /// Up to where mail was vouched for, for a client that cannot acknowledge.
    pub(crate) vouched: Number,
    pub(crate) is_vouch_timed: bool,
    /// What is due for it, and when.
    pub(crate) timed: Vec<(Time, Timer)>,
    /// What a device is to sign to resume here.
    pub(crate) nonce: Option<Nonce>,
    /// Proofs that were wrong.
    pub(crate) wrong_proofs: u32,
}

impl Line {
    pub(crate) fn new(socket: std::rc::Rc<Socket>, source: Option<IpAddr>, asked_at: Time) -> Self {
        Self {
            socket,
            source,
            stage: Stage::Stranger,
            outbox: Outbox::new(),
            counted: 0,
            mail: None,
            is_blocked: false,
            due: Due::Not,
            has_ended: false,
            asked_at,
            midway_since: None,
            is_midway_timed: false,
            is_pace_timed: false,
            is_crowded_out: false,
            has_leftover: false,
            marked: Number(0),
            vouched: Number(0),
            is_vouch_timed: false,
            timed: Vec::new(),
            nonce: None,
            wrong_proofs: 0,
        }
    }

    /// Whether nothing that the client has sent waits, here or in its socket.
    pub(crate) fn is_caught_up(&self) -> bool {
        !self.has_leftover && self.socket.is_silent()
    }

    /// The last mail that was written but not vouched for, if any.
    pub(crate) fn unvouched(&self) -> Option<Number> {
        let written = self.outbox.written_mail();
        (written > self.vouched).then_some(written)
    }
}

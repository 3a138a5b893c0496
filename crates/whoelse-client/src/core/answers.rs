//! What a server says, made into what a person is told.

use whoelse_proto::codec::{Incoming, Reply};
use whoelse_proto::{Fingerprint, InviteLink, InviteSecret, Place, Vouch};

use super::keeping::Outcome;
use super::{Core, Line};
use crate::command::Command;
use crate::known::ServerName;
use crate::links::{LinkWhy, SwarmWhy};
use crate::log::Mail;
use crate::mailbox::Verdict;
use crate::notice::{Answer, Ending, Notice, Refusal, Why};
use crate::outbox::Pending;

impl Core {
    /// The server said something.
    pub fn handle_incoming(&mut self, now_ms: u64, incoming: Incoming) {
        if self.ending.is_some() {
            return;
        }
        self.note_life(now_ms);
        match incoming.action.as_str() {
            // Nobody listens yet to a server that is not trusted.
            _ if matches!(self.line, Line::Trusting) => {}
            "login" | "challenge" | "resume" | "invitation" | "join" => {
                self.handle_login_answer(now_ms, &incoming);
            }
            "error" => {
                if let Some(sentence) = incoming.message {
                    self.notice(Notice::ServerSays { sentence });
                }
            }
            // What follows belongs to a session.
            _ if !matches!(self.line, Line::Session { .. }) => {}
            "receive_message" => self.handle_mail(now_ms, incoming),
            "receive_broadcast" => {
                if let (Some(from), Some(text)) = (incoming.from, incoming.message) {
                    self.notice(Notice::Broadcast { from, text });
                }
            }
            "login_broadcast" => {
                if let Some(name) = incoming.from {
                    self.notice(Notice::Came { name });
                }
            }
            "logout_broadcast" => {
                if let Some(name) = incoming.from {
                    self.notice(Notice::Left { name });
                }
            }
            "delivered" => self.handle_delivered(now_ms, &incoming),
            _ if self.handle_about_links(now_ms, &incoming) => {}
            // Neither is followed by another try: somebody or nobody wanted it so.
            "timeout" => self.end(Ending::Timeout),
            "takeover" => self.end(Ending::TakenOver),
            "ended" => {
                let reason = incoming.reason.unwrap_or_default();
                if matches!(reason.as_str(), "DEVICE_REVOKED" | "PASSWORD_CHANGED" | "REMOVED") {
                    self.drop_device();
                }
                self.end(Ending::Ended { reason, sentence: incoming.message });
            }
            "logout" => self.handle_goodbye(),
            _ => self.handle_answer(now_ms, incoming),
        }
    }

    fn handle_mail(&mut self, now_ms: u64, incoming: Incoming) {
        let Incoming { from, message, id, at, .. } = incoming;
        let (Some(from), Some(text)) = (from, message) else { return };
        let Some(number) = incoming.number.filter(|_| !self.original) else {
            return self.tell_unnumbered(from, text, at);
        };
        // It could no longer be acknowledged. The server keeps it for the next login.
        if self.said_goodbye() {
            return;
        }
        let verdict = self.mailbox.take(number, self.last_sequence + 1);
        match verdict {
            Verdict::Drop => return,
            Verdict::Absurd => return self.handle_garbage(now_ms),
            Verdict::Tell | Verdict::TellMissing { .. } => {}
        }
        let mail = Mail { server: Some(self.mailbox.server().into()), number, id, from, text, at };
        if self.was_seen(&mail) {
            self.mailbox.take_known(number);
        } else {
            self.tell_mail(mail);
        }
        if let Verdict::TellMissing { first, last } = verdict {
            // The message keeps the place it was given; this comes after it.
            self.notice(Notice::Missing { first, last });
        }
    }

    fn handle_answer(&mut self, now_ms: u64, incoming: Incoming) {
        if self.present_id.take_if(|id| incoming.id.as_deref() == Some(id.as_str())).is_some() {
            return self.handle_present(incoming);
        }
        if self.handle_receipts(now_ms, &incoming) {
            return;
        }
        let pending = match &incoming.id {
            Some(id) => self.outbox.answered(id),
            // Without an id it answers the oldest request of its kind.
            None => self.outbox.answered_oldest(&incoming.action),
        };
        // Whatever else there is, is of a later protocol and not for us.
        let Some(Pending { id, command, .. }) = pending else { return };
        let outcome = match incoming.outcome() {
            Some("SUCCESS") => Outcome::Sent,
            status => Outcome::Refused(status.unwrap_or_default()),
        };
        self.keep_outcome(&id, &command, outcome);
        if let (Command::Message { user, .. }, Outcome::Sent) = (&command, outcome) {
            self.await_receipt(now_ms, id, user);
        }
        if let Line::Session { proven, .. } = &mut self.line {
            *proven = true;
        }
        let answer = match &command {
            Command::Invite { .. } => self.invited(now_ms, incoming),
            _ => answer(&command, incoming),
        };
        self.follow(&command, &answer);
        match (&command, &answer) {
            (
                Command::StartPrivate { user, unencrypted: true },
                Answer::Address { address: Some(address), port: Some(port) },
            ) => self.open_line(user, (*address, *port).into()),
            _ => self.notice(Notice::Answered { command, answer }),
        }
        self.write(now_ms);
        self.ask_for_receipts();
        self.ask_who_is_present();
    }

    /// What an answer changes for this client itself.
    fn follow(&mut self, command: &Command, answer: &Answer) {
        if *answer == Answer::Done {
            self.note_block(command);
        }
        if let (Command::Passwd(passwords), Answer::Done) = (command, answer)
            && let Some(who) = self.who.as_mut().filter(|who| who.password.is_some())
        {
            // Without a device it is what brings the session back.
            who.password = Some(passwords.new.clone());
        }
    }

    /// The line to pass on, from the answer to `invite`.
    fn invited(&mut self, now_ms: u64, incoming: Incoming) -> Answer {
        let link = || {
            let secret = InviteSecret::parse(incoming.invite.as_deref()?).ok()?;
            let key = Fingerprint::parse(incoming.server_key.as_deref()?).ok()?;
            let place = incoming.place.as_deref()?.parse().ok()?;
            Some(InviteLink { place, key, secret, vouch: None })
        };
        let Some(mut link) = link().filter(|_| incoming.outcome() == Some("SUCCESS")) else {
            return refusal(incoming);
        };
        // The key that was seen, not one that is told: a proxy may show its own, and a server that lies
        // would have its members bring people elsewhere under a key of its choice.
        if let Some(key) = self.link.and_then(|link| link.key) {
            link.key = key;
        }
        let mut guessed = incoming.guessed.unwrap_or(true);
        if guessed && let Some((place, key)) = self.way_here() {
            // Where we got through, others will, too.
            link = InviteLink { place, key, ..link };
            guessed = false;
        }
        link.vouch = self.vouch_in(now_ms, &link.secret, incoming.expires_in);
        let expires_in_s = incoming.expires_in.unwrap_or(0);
        // What the key belongs to is where we are, not where the server says that it is.
        let here = Some(&self.config.place).filter(|here| !is_same(here, &link.place)).cloned();
        Answer::Invited { link: Box::new(link), expires_in_s, guessed, here }
    }

    /// What lets whoever uses the invite know this device, and be known by it.
    fn vouch_in(
        &mut self,
        now_ms: u64,
        invite: &InviteSecret,
        expires_in_s: Option<u64>,
    ) -> Option<Vouch> {
        let device = self.device().filter(|_| self.makes_links())?;
        let secret = InviteSecret::new(device.derive("whoelse-invite-1", &invite.expose_text()));
        let vouch = Vouch { device: device.key(), secret };
        self.keep_invite(now_ms, vouch.secret.clone(), expires_in_s);
        Some(vouch)
    }

    /// How we reached the server, if others can do the same.
    fn way_here(&self) -> Option<(Place, Fingerprint)> {
        let link = self.link.filter(|link| !link.loopback)?;
        // Not everything that can be typed is fit for a link.
        let place = self.config.place.to_string().parse().ok()?;
        Some((place, link.key?))
    }

    fn handle_present(&mut self, incoming: Incoming) {
        // Whoever leaves needs no names any more, and would have to wait for the screen.
        if let Some(Reply::Names(names)) = incoming.reply.filter(|_| self.leave.is_none()) {
            self.notice(Notice::Present { names });
        }
    }
}

/// Whether two places are the same to whoever types them.
fn is_same(one: &Place, other: &Place) -> bool {
    ServerName::new(&one.host, one.port) == ServerName::new(&other.host, other.port)
}

fn answer(command: &Command, incoming: Incoming) -> Answer {
    let refused = incoming.status.as_deref().is_some_and(|status| status != "SUCCESS");
    match command {
        Command::Whoelse | Command::WhoelseSince { .. } if !refused => match incoming.reply {
            Some(Reply::Names(names)) => Answer::Names(names),
            _ => refusal(incoming),
        },
        Command::Broadcast { .. } if !refused => Answer::Counted {
            n_sent: incoming.n_sent.unwrap_or(0),
            n_blocked: incoming.n_blocked.unwrap_or(0),
        },
        Command::Invites if !refused => match incoming.invites {
            Some(invites) => Answer::Invites(invites),
            None => refusal(incoming),
        },
        Command::Devices if !refused => match incoming.devices {
            Some(devices) => Answer::Devices(devices),
            None => refusal(incoming),
        },
        Command::StartPrivate { .. } if incoming.outcome() == Some("SUCCESS") => {
            Answer::Address { address: incoming.address, port: incoming.port }
        }
        _ if incoming.outcome() == Some("SUCCESS") => Answer::Done,
        _ => refusal(incoming),
    }
}

pub(super) fn refusal(incoming: Incoming) -> Answer {
    let why = match incoming.outcome().unwrap_or_default() {
        "MESSAGE_SELF" | "USER_SELF" => Why::Yourself,
        "USER_NOT_EXIST" => Why::UserNotExist,
        "USER_BLOCKED" => Why::UserBlocked,
        "USER_OFFLINE" => Why::UserOffline,
        "NOT_BLOCKED" => Why::NotBlocked,
        "MAILBOX_FULL" => Why::MailboxFull,
        "INVALID_PASSWORD" => Why::WrongPassword,
        "NO_LINKS" => Why::Link(LinkWhy::NoneThere),
        "FILE_NOT_EXIST" => Why::Swarm(SwarmWhy::NotFound),
        "TOO_MANY_FILES" => Why::Swarm(SwarmWhy::TooManyShares),
        "YOU_BLOCKED" => Why::Link(LinkWhy::YouBlocked),
        status => Why::Other(status.to_owned()),
    };
    Answer::Refused(Refusal {
        why,
        sentence: incoming.message,
        suggestion: incoming.suggestion,
        retry_after: incoming.retry_after,
    })
}

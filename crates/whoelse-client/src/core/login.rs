//! The beginning of a session: the first, and those after a lost connection.

use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::ORIGINAL_PAUSE_MS;
use whoelse_proto::{Password, request};

use super::{Core, Credentials, Line};
use crate::notice::{Ending, LoginRefusal, Notice, Question, Tell};

/// How long the answer to a login may take: a long queue of others fits in.
const LOGIN_MS_MAX: u64 = 30_000;

/// When a server is busy or a name locked and the server does not say for how long.
const RETRY_SECONDS: u64 = 2;

/// The version of the protocol that this client speaks.
const PROTOCOL: u32 = 1;

impl Core {
    /// The person has said who it is.
    pub fn handle_credentials(&mut self, now_ms: u64, name: String, password: Password) {
        self.credentials = Some(Credentials { name, password });
        match self.line {
            Line::Asking => self.log_in(now_ms),
            Line::Down { again_at_ms: None } => self.connect(),
            _ => {}
        }
    }

    /// The name of the person, once it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.credentials.as_ref().map(|credentials| credentials.name.as_str())
    }

    pub(super) fn log_in(&mut self, now_ms: u64) {
        let Some(Credentials { name, password }) = self.credentials.take() else { return };
        self.line = Line::LoggingIn { until_ms: now_ms + LOGIN_MS_MAX };
        let command = request::Command::Login(request::Login {
            username: name.as_str().into(),
            password: password.expose().into(),
            private_port: 0,
            protocol: Some(PROTOCOL),
            instance: Some(self.instance.clone().into()),
            // Once in, only the person who took the session away may decide to give it back.
            takeover: self.config.takeover && !self.was_in,
            device: None,
        });
        // What kind of server this is, is not known yet: without a line end it suits all.
        self.send(command, false);
        self.write_at_ms = now_ms + ORIGINAL_PAUSE_MS;
        self.credentials = Some(Credentials { name, password });
    }

    pub(super) fn handle_login_answer(&mut self, now_ms: u64, incoming: &Incoming) {
        if !matches!(self.line, Line::LoggingIn { .. }) {
            return;
        }
        let sentence = incoming.message.clone();
        let retry_after = incoming.retry_after;
        let refusal = match incoming.outcome().unwrap_or_default() {
            "SUCCESS" => return self.begin_session(now_ms, incoming),
            "INVALID_PASSWORD" if self.config.interactive => {
                return self.ask_again(Question::Password, sentence);
            }
            "USERNAME_NOT_EXIST" if self.config.interactive && !self.was_in => {
                return self.ask_again(Question::Credentials, sentence);
            }
            "BUSY" | "TOO_FAST" => return self.log_in_later(now_ms, false, retry_after),
            "BLOCKED" if self.was_in => return self.log_in_later(now_ms, true, retry_after),
            // An original server takes some time to notice that the old connection is dead.
            "ALREADY_LOGGED_IN" if self.was_in && self.original => {
                return self.log_in_later(now_ms, false, retry_after);
            }
            "INVALID_PASSWORD" | "USERNAME_NOT_EXIST" => LoginRefusal::WrongPassword { sentence },
            "INVALID_PASSWORD_BLOCKED" => LoginRefusal::Locked { now: true, retry_after },
            "BLOCKED" => LoginRefusal::Locked { now: false, retry_after },
            "ALREADY_LOGGED_IN" => LoginRefusal::AlreadyLoggedIn,
            status => LoginRefusal::Other { status: status.to_owned(), sentence },
        };
        self.end(Ending::Refused(refusal));
    }

    fn ask_again(&mut self, question: Question, sentence: Option<String>) {
        let name = self.name().unwrap_or_default().to_owned();
        // Nothing is tried by itself with a password that was wrong.
        self.credentials = None;
        self.line = Line::Asking;
        self.notice(Notice::WrongPassword { name, sentence });
        self.tell(Tell::Question(question));
    }

    fn log_in_later(&mut self, now_ms: u64, locked: bool, retry_after: Option<u64>) {
        let retry_ms = retry_after.unwrap_or(RETRY_SECONDS).max(1).saturating_mul(1000);
        self.lost_at_ms.get_or_insert(now_ms);
        self.line = Line::LoginLater { at_ms: now_ms.saturating_add(retry_ms) };
        self.notice(Notice::LoginLater { locked, retry_ms });
    }

    fn begin_session(&mut self, now_ms: u64, incoming: &Incoming) {
        self.line = Line::Session { since_ms: now_ms, proven: false };
        self.original = incoming.protocol.is_none();
        self.mailbox.begin(incoming.server.as_deref(), incoming.acknowledged.unwrap_or(0));
        if self.original {
            for pending in self.outbox.take_tried() {
                self.notice_unconfirmed(Notice::Uncertain { command: pending.command });
            }
        }
        if self.config.interactive && self.leave.is_none() {
            // The person was told, and has the line back to do something about it.
            self.unconfirmed = false;
        }
        let lost_at_ms = self.lost_at_ms.take();
        let is_return = self.was_in;
        if is_return {
            let (resent, sent) = self.outbox.kept();
            let after_ms = lost_at_ms.map_or(0, |lost_at_ms| now_ms.saturating_sub(lost_at_ms));
            self.notice(Notice::Back { after_ms, resent, sent });
        } else {
            self.was_in = true;
            let name = self.name().unwrap_or_default().to_owned();
            self.notice(Notice::LoggedIn { name });
        }
        self.write(now_ms);
        self.present_id = None;
        self.present_due = true;
        // A return is no deed of the person, and a question would look like one: the server
        // would not notice any more that nobody is there. After a return it waits for a deed.
        if !is_return {
            self.ask_who_is_present();
        }
    }

    /// Asks who is online, once in a session, to complete their names when a person types. It is
    /// no request of the person: nobody waits for the answer, nor is told when there is none.
    pub(super) fn ask_who_is_present(&mut self) {
        if std::mem::take(&mut self.present_due)
            && self.config.interactive
            && !self.original
            && self.leave.is_none()
        {
            let id = self.outbox.make_id();
            self.present_id = Some(id.clone());
            self.send_as(Some(id), request::Command::Whoelse, true);
        }
    }
}

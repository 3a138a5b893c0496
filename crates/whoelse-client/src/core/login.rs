//! The beginning of a session: the first, and those after a lost connection.
//!
//! A device that the server knows proves itself with its key; nobody types anything. Otherwise a
//! password is needed, and with it the device is made known. An invite makes an account first.

use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::ORIGINAL_PAUSE_MS;
use whoelse_proto::{Nonce, Password, request};

use super::keeping::Outcome;
use super::{Action, Core, Line, Step, Who};
use crate::links::Private;
use crate::notice::{Ending, LoginRefusal, NoLog, Notice, Question, Security};
use crate::profile::Device;

/// How long the answer to a login may take: a long queue of others fits in.
const LOGIN_MS_MAX: u64 = 30_000;

/// When a server is busy or a name locked and the server does not say for how long.
const RETRY_SECONDS: u64 = 2;

/// Nobody is made to wait longer than this for a login that the server does not want now.
const RETRY_SECONDS_MAX: u64 = 60;

/// The version of the protocol that this client speaks.
const PROTOCOL: u32 = 1;

impl Core {
    /// The person has said who it is, or who it wants to be.
    pub fn handle_name(&mut self, name: String) {
        self.asked = None;
        self.actions.push_back(Action::OpenProfile { name: name.clone() });
        self.who = Some(Who { name, password: None, device: None, resumes: false, dropped: None });
    }

    /// The profile of the name is open, with this device; none if another client uses it. `kept`
    /// says that it was there before.
    pub fn handle_device(&mut self, now_ms: u64, device: Option<Device>, kept: bool) {
        let Some(who) = &mut self.who else { return };
        // A profile that cannot be changed brings the old key again. Nothing may be trusted to it.
        let device = device.filter(|device| who.dropped != Some(device.key()));
        // Whoever reads no prompts gives the password, and it is to count.
        who.resumes = kept && device.is_some() && self.config.interactive && self.joining.is_none();
        who.device = device;
        if self.asked.is_some() {
            return; // a new one, in place of one that was dropped, while the password is asked for
        }
        if self.go_on_absent(now_ms, kept || self.keeping.holds_something()) {
            return;
        }
        let Some(who) = &self.who else { return };
        match self.line {
            Line::Asking => self.log_in(now_ms),
            Line::Down { again_at_ms: None } if who.resumes => self.connect(),
            Line::Down { again_at_ms: None } => self.ask_password(),
            _ => {}
        }
    }

    /// The person has said the password.
    pub fn handle_password(&mut self, now_ms: u64, password: Password) {
        self.asked = None;
        let Some(who) = &mut self.who else { return };
        who.password = Some(password);
        match self.line {
            Line::Asking => self.log_in(now_ms),
            Line::Down { again_at_ms: None } => self.connect(),
            _ => {}
        }
    }

    /// The name of the person, once it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.who.as_ref().map(|who| who.name.as_str())
    }

    /// The device of the person, once it is known.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.who.as_ref().and_then(|who| who.device.as_ref())
    }

    /// Whether the server has said that it knows this device.
    pub(super) fn is_known_device(&self) -> bool {
        self.has_begun() && self.who.as_ref().is_some_and(|who| who.resumes)
    }

    /// Says, or asks for, the next thing that is needed for a session.
    pub(super) fn log_in(&mut self, now_ms: u64) {
        let has_key = self.link.is_some_and(|link| link.key.is_some());
        match (&self.joining, &self.who) {
            (Some(joining), _) if !joining.checked => {
                let invite = joining.invite.clone();
                let command = request::Command::Invitation { invite };
                self.say(now_ms, Step::Invitation, command);
            }
            (Some(_), Some(Who { password: Some(_), .. })) => self.join(now_ms),
            (None, Some(Who { resumes: true, .. })) if has_key => {
                self.say(now_ms, Step::Challenge, request::Command::Challenge);
            }
            (None, Some(Who { password: Some(_), .. })) => self.log_in_by_password(now_ms),
            (_, Some(_)) => self.ask_password(),
            (joining, None) => {
                self.ask(if joining.is_some() { Question::NewName } else { Question::Name });
                self.line = Line::Asking;
            }
        }
    }

    /// Asks for the password, on a connection if one is open.
    fn ask_password(&mut self) {
        if !matches!(self.line, Line::Down { .. }) {
            self.line = Line::Asking;
        }
        let is_new = self.joining.is_some();
        self.ask(if is_new { Question::NewPassword } else { Question::Password });
    }

    fn say(&mut self, now_ms: u64, step: Step, command: request::Command<'_>) {
        self.line = Line::LoggingIn { until_ms: now_ms + LOGIN_MS_MAX, step };
        // What kind of server this is, is not known yet: without a line end it suits all.
        self.send(command, false);
        self.write_at_ms = now_ms + ORIGINAL_PAUSE_MS;
    }

    fn log_in_by_password(&mut self, now_ms: u64) {
        let links = self.makes_links();
        let Some(who) = self.who.take() else { return };
        if let Some(password) = &who.password {
            let command = request::Command::Login(request::Login {
                username: who.name.as_str().into(),
                password: password.expose().into(),
                private_port: self.unencrypted.port(),
                protocol: Some(PROTOCOL),
                instance: Some(self.instance.clone().into()),
                takeover: self.takes_over(),
                device: self.introduce(&who),
                receipts: self.wants_receipts() || self.takes_profile_over(),
                links,
            });
            self.say(now_ms, Step::Login, command);
        }
        self.who = Some(who);
    }

    fn join(&mut self, now_ms: u64) {
        let links = self.makes_links();
        let Some(who) = self.who.take() else { return };
        if let (Some(joining), Some(password)) = (&self.joining, &who.password) {
            let command = request::Command::Join(request::Join {
                invite: joining.invite.clone(),
                username: who.name.as_str().into(),
                password: password.expose().into(),
                protocol: PROTOCOL,
                instance: Some(self.instance.clone().into()),
                device: self.introduce(&who),
                receipts: self.wants_receipts() || self.takes_profile_over(),
                links,
                private_port: self.unencrypted.port(),
            });
            self.say(now_ms, Step::Join, command);
        }
        self.who = Some(who);
    }

    fn handle_challenge(&mut self, now_ms: u64, incoming: &Incoming) {
        let nonce = incoming.nonce.as_deref().and_then(|nonce| Nonce::parse(nonce).ok());
        let key = self.link.and_then(|link| link.key);
        let links = self.makes_links();
        let Some(who) = self.who.take() else { return };
        match (&who.device, key, nonce) {
            (Some(device), Some(key), Some(nonce)) => {
                let command = request::Command::Resume(request::Resume {
                    username: who.name.as_str().into(),
                    key: device.key(),
                    signature: device.sign(&key, &nonce, &who.name),
                    protocol: PROTOCOL,
                    instance: Some(self.instance.clone().into()),
                    takeover: self.takes_over(),
                    receipts: self.wants_receipts() || self.takes_profile_over(),
                    links,
                    private_port: self.unencrypted.port(),
                });
                self.say(now_ms, Step::Resume, command);
                self.who = Some(who);
            }
            // A server that knows no devices.
            _ => {
                self.who = Some(who);
                self.go_on_with_password(now_ms, None);
            }
        }
    }

    /// Once in, only the person who took the session away may decide to give it back.
    fn takes_over(&self) -> bool {
        self.config.takeover && !self.was_in
    }

    /// Whether this session is taken over from a client that may have the profile.
    fn takes_profile_over(&self) -> bool {
        self.takes_over() && self.keeping.missing() == Some(NoLog::InUse)
    }

    /// What the server is told of the device. Without TLS it could not know whom it talks to.
    fn introduce<'w>(&self, who: &'w Who) -> Option<request::Device<'w>> {
        if !self.introduces() {
            return None;
        }
        let device =
            who.device.as_ref().filter(|_| self.link.is_some_and(|it| it.key.is_some()))?;
        Some(request::Device { key: device.key(), name: self.config.device_name.clone().into() })
    }

    /// Whether the server is to know this device. A script has its password anyway, and may run anywhere
    /// and any number of times; it has to have one only for private links.
    pub(super) fn introduces(&self) -> bool {
        let links = &self.config.links;
        self.config.interactive || (links.carried && links.private != Private::Never)
    }

    /// Handles the answer to what was said last, if that is what this is.
    pub(super) fn handle_login_answer(&mut self, now_ms: u64, incoming: &Incoming) {
        let Line::LoggingIn { step, .. } = self.line else { return };
        let is_success = incoming.outcome() == Some("SUCCESS");
        match (step, incoming.action.as_str()) {
            (Step::Challenge, "challenge") => self.handle_challenge(now_ms, incoming),
            (Step::Invitation, "invitation") if is_success => self.handle_invitation(incoming),
            (Step::Login, "login") | (Step::Resume, "resume") | (Step::Join, "join")
                if is_success =>
            {
                self.begin_session(now_ms, incoming);
            }
            (Step::Login, "login")
            | (Step::Resume, "resume")
            | (Step::Join, "join")
            | (Step::Invitation, "invitation") => self.handle_refused(now_ms, incoming),
            _ => {}
        }
    }

    fn handle_invitation(&mut self, incoming: &Incoming) {
        let Some(joining) = &mut self.joining else { return };
        joining.checked = true;
        let admin = incoming.role.as_deref() == Some("admin");
        self.invited_by.clone_from(&incoming.by);
        self.notice(Notice::Invited { by: incoming.by.clone(), admin });
        self.line = Line::Asking;
        self.ask(Question::NewName);
    }

    fn handle_refused(&mut self, now_ms: u64, incoming: &Incoming) {
        let sentence = incoming.message.clone();
        let retry_after = incoming.retry_after;
        let asks = self.config.interactive;
        let refusal = match incoming.outcome().unwrap_or_default() {
            "RESUME_REFUSED" => return self.go_on_without_device(now_ms, sentence),
            status @ ("BAD_NAME" | "NAME_TAKEN" | "BAD_PASSWORD") if self.joining.is_some() => {
                return self.join_again(status, sentence);
            }
            "INVALID_PASSWORD" if asks => return self.ask_again(Question::Password, sentence),
            "USERNAME_NOT_EXIST" if asks && !self.has_begun() => {
                return self.ask_again(Question::Name, sentence);
            }
            "BUSY" | "TOO_FAST" | "SLOW_DOWN" => match retry_after {
                Some(retry_after) if retry_after > RETRY_SECONDS_MAX => {
                    LoginRefusal::SlowDown { retry_after, sentence }
                }
                _ => return self.log_in_later(now_ms, false, retry_after),
            },
            "BLOCKED" if self.has_begun() => return self.log_in_later(now_ms, true, retry_after),
            // An original server takes some time to notice that the old connection is dead.
            "ALREADY_LOGGED_IN" if self.was_in && self.original => {
                return self.log_in_later(now_ms, false, retry_after);
            }
            "INVALID_PASSWORD" | "USERNAME_NOT_EXIST" => LoginRefusal::WrongPassword { sentence },
            "INVALID_PASSWORD_BLOCKED" => LoginRefusal::Locked { now: true, retry_after },
            "BLOCKED" => LoginRefusal::Locked { now: false, retry_after },
            "ALREADY_LOGGED_IN" => LoginRefusal::AlreadyLoggedIn,
            "LOCKED" => LoginRefusal::Barred { sentence },
            "INVITE_INVALID" => LoginRefusal::InviteInvalid { sentence },
            status => LoginRefusal::Other { status: status.to_owned(), sentence },
        };
        self.end(Ending::Refused(refusal));
    }

    /// The server does not know the device: the password has to do. It may have been revoked because
    /// somebody has a copy of its key, so that key is never made known again: the password makes a
    /// new one known.
    fn go_on_without_device(&mut self, now_ms: u64, sentence: Option<String>) {
        self.drop_device();
        self.go_on_with_password(now_ms, sentence);
        if self.asked == Some(Question::Password)
            && let Some(name) = self.name().map(str::to_owned)
        {
            self.actions.push_back(Action::OpenProfile { name });
        }
    }

    fn go_on_with_password(&mut self, now_ms: u64, sentence: Option<String>) {
        let Some(who) = &mut self.who else { return };
        who.resumes = false;
        if who.password.is_some() {
            self.log_in(now_ms);
        } else if self.config.interactive {
            self.notice(Notice::ResumeRefused { sentence });
            self.ask_password();
        } else {
            self.end(Ending::Refused(LoginRefusal::ResumeRefused { sentence }));
        }
    }

    /// The key of this device is worth nothing any more, whoever has it.
    pub(super) fn drop_device(&mut self) {
        let Some(who) = &mut self.who else { return };
        who.resumes = false;
        if let Some(device) = who.device.take() {
            who.dropped = Some(device.key());
            self.actions.push_back(Action::ForgetDevice);
        }
    }

    fn join_again(&mut self, status: &str, sentence: Option<String>) {
        let sentence = sentence.unwrap_or_else(|| status.to_owned());
        if !self.config.interactive {
            return self.end(Ending::Refused(LoginRefusal::JoinRefused { sentence }));
        }
        self.notice(Notice::JoinRefused { sentence });
        self.line = Line::Asking;
        match &mut self.who {
            Some(who) if status == "BAD_PASSWORD" => {
                who.password = None;
                self.ask(Question::NewPassword);
            }
            _ => {
                self.who = None;
                self.ask(Question::NewName);
            }
        }
    }

    fn ask_again(&mut self, question: Question, sentence: Option<String>) {
        let name = self.name().unwrap_or_default().to_owned();
        // Nothing is tried by itself with a password that was wrong.
        match &mut self.who {
            Some(who) if question == Question::Password => who.password = None,
            _ => self.who = None,
        }
        self.line = Line::Asking;
        self.notice(Notice::WrongPassword { name, sentence });
        self.ask(question);
    }

    fn log_in_later(&mut self, now_ms: u64, locked: bool, retry_after: Option<u64>) {
        let retry_ms = retry_after.unwrap_or(RETRY_SECONDS).max(1).saturating_mul(1000);
        self.lost_at_ms.get_or_insert(now_ms);
        self.line = Line::LoginLater { at_ms: now_ms.saturating_add(retry_ms) };
        self.notice(Notice::LoginLater { locked, retry_ms });
    }

    fn begin_session(&mut self, now_ms: u64, incoming: &Incoming) {
        self.keep_device(incoming);
        self.profile_due = self.takes_profile_over() && incoming.protocol.is_some();
        let has_joined = self.joining.take().is_some();
        self.line = Line::Session { since_ms: now_ms, proven: false };
        self.original = incoming.protocol.is_none();
        self.begin_mailbox(incoming);
        if self.original {
            for pending in self.outbox.take_tried() {
                self.keep_outcome(&pending.id, &pending.command, Outcome::Uncertain);
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
            let admin = incoming.role.as_deref() == Some("admin");
            self.notice(Notice::LoggedIn { name, admin });
        }
        if has_joined && self.config.interactive {
            self.notice(Notice::WayBack { place: self.config.place.clone() });
        }
        if let Some(count) = incoming.failed_logins.filter(|count| *count > 0) {
            self.notice(Notice::FailedLogins { count });
        }
        if has_joined {
            self.join_links(now_ms);
        }
        self.resume_links(now_ms);
        self.begin_receipts();
        self.take_up();
        self.write(now_ms);
        self.ask_for_receipts();
        self.present_id = None;
        self.present_due = true;
        // A return is no deed of the person, and a question would look like one: the server
        // would not notice any more that nobody is there. After a return it waits for a deed.
        if !is_return {
            self.ask_who_is_present();
        }
    }

    /// From here on numbers of mail are those of this server.
    fn begin_mailbox(&mut self, incoming: &Incoming) {
        let server = incoming.server.as_deref();
        if self.mailbox.server() != server.unwrap_or_default() {
            self.keeping.forget_marks();
        }
        self.mailbox.begin(server, incoming.acknowledged.unwrap_or(0));
        if !self.original {
            self.mailbox.skip_shown(self.keeping.shown_of(server.unwrap_or_default()));
        }
    }

    /// Keeps the device if the server knows it now. Then nothing needs the password any more.
    fn keep_device(&mut self, incoming: &Incoming) {
        let by_device = matches!(self.line, Line::LoggingIn { step: Step::Resume, .. });
        let has_key = self.link.is_some_and(|link| link.key.is_some());
        let (introduces, is_person) = (self.introduces(), self.config.interactive);
        let Some(who) = self.who.as_mut().filter(|who| introduces && who.device.is_some()) else {
            return;
        };
        let is_known = has_key && (by_device || incoming.device_name.is_some());
        if is_known && !by_device {
            self.actions.push_back(Action::KeepDevice);
        }
        // The password of a script is to count whenever it is given.
        who.resumes = is_known && is_person;
        if who.resumes {
            who.password = None;
        }
    }

    /// Tells how safe the connection is, where that is worth a word and new.
    pub(super) fn tell_safety(&mut self, security: Security) {
        // The key of a server that is known by now was told when it was not.
        if security != Security::Known && self.safety_told.replace(security) != Some(security) {
            self.notice(Notice::Security(security));
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

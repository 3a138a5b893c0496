//! Private links with original clients, without IO: lines that nobody encrypts, to whoever is at an
//! address. A person has asked for each kind in so many words, and sees on every line what it is worth.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use whoelse_proto::Name;

use super::{Action, Core};
use crate::command::Command;
use crate::links::notice::{LinkWhy, NotSent};
use crate::links::{LinkLine, LinkNotice, LinkState, TEXTS_MAX};
use crate::notice::{Answer, Notice, Refusal, Why};
use crate::unencrypted::{Event, LineId, LineOrder, OBJECT_BYTES_MAX, object_bytes};

/// Most lines of others that have not said who they are; then the oldest goes.
const NAMELESS_MAX: usize = 4;

/// Most lines of others that have; then the one goes that nobody here has answered and that has been
/// silent longest.
const NAMED_MAX: usize = 8;

/// All lines.
#[derive(Default)]
pub(super) struct Unencrypted {
    /// Where others may open lines; 0 if they may not.
    port: u16,
    made: u64,
    /// How often something was said on any of them.
    heard: u64,
    /// It was told that there is no room for more.
    is_full: bool,
    /// The oldest first.
    lines: Vec<Line>,
}

/// A line.
struct Line {
    id: LineId,
    /// Who is there, by the word of the server, or of whoever opened it.
    user: Option<String>,
    address: IpAddr,
    /// It is open.
    up: bool,
    /// What was typed and is not written, with its numbers.
    texts: VecDeque<(u64, String)>,
    /// The number of the text that was typed last.
    said: u64,
    /// When something was said there last, in the order of all lines.
    heard: u64,
}

impl Unencrypted {
    /// Where others may open lines; 0 if they may not.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn any_stands(&self) -> bool {
        self.lines.iter().any(|line| line.up && line.user.is_some())
    }

    /// Whether everything that was typed has left.
    pub(super) fn is_idle(&self) -> bool {
        self.lines.iter().all(|line| line.texts.is_empty())
    }

    /// The line with a person; there is one at most.
    fn with(&mut self, user: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.user.as_deref() == Some(user))
    }

    fn by_id(&mut self, id: LineId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }
}

impl Core {
    /// Whether others may open lines.
    pub(crate) fn allows_unencrypted(&self) -> bool {
        self.config.links.allow_unencrypted
    }

    /// Others may open lines to this port, or why they cannot.
    pub fn handle_listening(&mut self, port: Result<u16, String>) {
        match port {
            Ok(port) => self.unencrypted.port = port,
            Err(words) => self.notice_link(LinkNotice::CannotListen { words }),
        }
    }

    /// Something happened on a line.
    pub fn handle_unencrypted(&mut self, now_ms: u64, event: Event) {
        if self.ending.is_some() {
            return;
        }
        match event {
            Event::Up(line) => self.handle_line_up(line),
            Event::Incoming { line, address } => self.handle_stranger_line(line, address),
            Event::Text { line, from, text } => self.handle_line_text(line, from, text),
            Event::Written { line, number } => self.handle_written(line, number),
            Event::Ended { line, trouble } => self.end_line(line, trouble, false),
        }
        self.go_on_leaving(now_ms);
    }

    /// Whether a person may be asked about; the server says where that person is.
    pub(super) fn may_open_line(&mut self, user: &str) -> Result<(), Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        if self.config.links.hide_address {
            return Err(Why::Link(LinkWhy::AddressHidden));
        }
        // What is encrypted is not said in clear besides.
        if let Some(why) = self.why_linked(user) {
            return Err(why);
        }
        match self.unencrypted.with(user) {
            Some(line) if line.up => Err(Why::Link(LinkWhy::LinkStands)),
            Some(_) => Err(Why::Link(LinkWhy::LinkBeing)),
            None => Ok(()),
        }
    }

    /// The server has said where a person's client listens.
    pub(super) fn open_line(&mut self, user: &str, to: SocketAddr) {
        // Much may have happened since the server was asked. What a person has asked for is worth more
        // than a line of somebody who came meanwhile.
        let theirs = self.unencrypted.with(user).is_some_and(|line| line.is_theirs());
        if theirs {
            self.stop_unencrypted(user);
        }
        if let Err(why) = self.may_open_line(user) {
            let command = Command::StartPrivate { user: user.to_owned(), unencrypted: true };
            let answer = Answer::Refused(Refusal::new(why));
            return self.notice(Notice::Answered { command, answer });
        }
        self.unencrypted.made += 1;
        let id = LineId::Ours(self.unencrypted.made);
        self.unencrypted.lines.push(Line::new(id, Some(user.to_owned()), to.ip()));
        self.order_line(LineOrder::Connect { line: id, to });
    }

    fn handle_line_up(&mut self, id: LineId) {
        let Some(line) = self.unencrypted.by_id(id) else { return };
        line.up = true;
        let (user, address) = (line.user.clone().unwrap_or_default(), line.address);
        self.notice_link(LinkNotice::UnencryptedUp { user, address, asked_us: false });
        self.say_waiting(id);
    }

    fn say_waiting(&mut self, id: LineId) {
        let from = self.name().unwrap_or_default().to_owned();
        let Some(line) = self.unencrypted.by_id(id) else { return };
        let orders: Vec<_> = line
            .texts
            .iter()
            .map(|(number, text)| LineOrder::Say {
                line: id,
                number: *number,
                from: from.clone(),
                text: text.clone(),
            })
            .collect();
        orders.into_iter().for_each(|order| self.order_line(order));
    }

    fn handle_stranger_line(&mut self, id: LineId, address: IpAddr) {
        let lines = &mut self.unencrypted.lines;
        let nameless = lines.iter().filter(|line| line.user.is_none());
        if nameless.clone().count() >= NAMELESS_MAX
            && let Some(oldest) = nameless.map(|line| line.id).next()
        {
            lines.retain(|line| line.id != oldest);
            self.order_line(LineOrder::Close { line: oldest });
        }
        let mut line = Line::new(id, None, address);
        line.up = true;
        self.unencrypted.lines.push(line);
    }

    fn handle_line_text(&mut self, id: LineId, from: String, text: String) {
        let me = self.is_me(&from);
        let Some(line) = self.unencrypted.by_id(id) else { return };
        let is_new = line.user.is_none();
        // A line is one person's, and nobody else's from one text to the next.
        if me || Name::new(&from).is_err() || line.user.as_ref().is_some_and(|user| *user != from) {
            self.order_line(LineOrder::Close { line: id });
            return self.end_line(id, Some("it changed its name".to_owned()), false);
        }
        let address = line.address;
        if is_new && self.is_no_stranger(&from) {
            self.order_line(LineOrder::Close { line: id });
            self.end_line(id, None, true);
            return self.notice_link(LinkNotice::UnencryptedTurnedAway { user: from, address });
        }
        if is_new && !self.makes_room(id) {
            return;
        }
        self.unencrypted.heard += 1;
        let heard = self.unencrypted.heard;
        if let Some(line) = self.unencrypted.by_id(id) {
            line.user = Some(from.clone());
            line.heard = heard;
        }
        if is_new {
            let user = from.clone();
            self.notice_link(LinkNotice::UnencryptedUp { user, address, asked_us: true });
        }
        self.notice_link(LinkNotice::UnencryptedText { from, text });
    }

    /// Makes room for a line of somebody else that is about to get its name; else that goes.
    fn makes_room(&mut self, id: LineId) -> bool {
        let theirs =
            self.unencrypted.lines.iter().filter(|line| line.is_theirs() && line.user.is_some());
        if theirs.clone().count() < NAMED_MAX {
            self.unencrypted.is_full = false;
            return true;
        }
        let idle = theirs.filter(|line| line.said == 0).min_by_key(|line| line.heard);
        if let Some(idle) = idle.map(|line| line.id) {
            self.order_line(LineOrder::Close { line: idle });
            let trouble = Some("it was silent, and somebody else needed the room".to_owned());
            self.end_line(idle, trouble, false);
            return true;
        }
        self.order_line(LineOrder::Close { line: id });
        let address = self.unencrypted.by_id(id).map(|line| line.address);
        self.end_line(id, None, true);
        if let Some(address) = address.filter(|_| !self.unencrypted.is_full) {
            self.unencrypted.is_full = true;
            self.notice_link(LinkNotice::UnencryptedFull { address });
        }
        false
    }

    /// Whether somebody is known or talked to so that nobody else may come in clear under that name:
    /// what is said next would go there.
    fn is_no_stranger(&mut self, user: &str) -> bool {
        self.why_linked(user).is_some()
            || self.has_met(user)
            || self.unencrypted.with(user).is_some()
    }

    /// A text has left. Nobody will ever say more about it.
    fn handle_written(&mut self, id: LineId, number: u64) {
        let Some(line) = self.unencrypted.by_id(id) else { return };
        let user = line.user.clone().unwrap_or_default();
        let Some((_, text)) = line.texts.pop_front_if(|(it, _)| *it == number) else { return };
        let command = Command::Private { user, text };
        self.notice(Notice::Answered { command, answer: Answer::Unconfirmed });
    }

    /// Says something to a person on a line, if there is one.
    pub(super) fn say_unencrypted(&mut self, user: &str, text: &str) -> Option<Result<(), Why>> {
        let me = self.name().unwrap_or_default().to_owned();
        let line = self.unencrypted.with(user)?;
        let (bytes, bytes_max) = (object_bytes(&me, text), OBJECT_BYTES_MAX);
        if bytes > bytes_max {
            return Some(Err(Why::TooLong { bytes, bytes_max }));
        }
        if line.texts.len() >= TEXTS_MAX {
            return Some(Err(Why::Link(LinkWhy::TooManyTexts)));
        }
        line.said += 1;
        line.texts.push_back((line.said, text.to_owned()));
        let order =
            LineOrder::Say { line: line.id, number: line.said, from: me, text: text.to_owned() };
        if line.up {
            self.order_line(order);
        } else {
            self.notice_link(LinkNotice::Waits { user: user.to_owned() });
        }
        Some(Ok(()))
    }

    /// Ends the lines with a person; says whether there were any.
    pub(super) fn stop_unencrypted(&mut self, user: &str) -> bool {
        let mut any = false;
        while let Some(id) = self.unencrypted.with(user).map(|line| line.id) {
            any = true;
            self.order_line(LineOrder::Close { line: id });
            self.end_line(id, None, true);
        }
        any
    }

    /// Ends all lines: the client ends.
    pub(super) fn end_unencrypted(&mut self) {
        while let Some(id) = self.unencrypted.lines.first().map(|line| line.id) {
            self.order_line(LineOrder::Close { line: id });
            self.end_line(id, None, true);
        }
    }

    /// Forgets a line, and says so if it had a name.
    fn end_line(&mut self, id: LineId, trouble: Option<String>, here: bool) {
        let Some(at) = self.unencrypted.lines.iter().position(|line| line.id == id) else { return };
        let line = self.unencrypted.lines.remove(at);
        let Some(user) = line.user else { return };
        // What was handed on and is not written may or may not have left.
        let tried = line.up;
        let texts: Vec<_> =
            line.texts.into_iter().map(|(_, text)| NotSent { text, tried }).collect();
        self.unconfirmed |= !texts.is_empty();
        let (stood, address) = (line.up, line.address);
        self.notice_link(LinkNotice::UnencryptedEnded {
            user,
            address,
            stood,
            here,
            trouble,
            texts,
        });
    }

    pub(super) fn list_unencrypted(&self) -> impl Iterator<Item = LinkLine> {
        self.unencrypted.lines.iter().filter_map(|line| {
            Some(LinkLine {
                user: line.user.clone()?,
                state: LinkState::Unencrypted { up: line.up },
                trust: None,
                texts: line.texts.len(),
            })
        })
    }

    fn order_line(&mut self, order: LineOrder) {
        self.actions.push_back(Action::Unencrypted(order));
    }
}

impl Line {
    fn is_theirs(&self) -> bool {
        matches!(self.id, LineId::Theirs(_))
    }

    fn new(id: LineId, user: Option<String>, address: IpAddr) -> Self {
        Self { id, user, address, up: false, texts: VecDeque::new(), said: 0, heard: 0 }
    }
}

//! What a person wants of private links.

use whoelse_proto::{LinkReason, NewLink, Purpose, request};

use super::{Ask, CLOSING_MS_MAX, Link, Stage, Text};
use crate::command::Command;
use crate::core::{Core, Line};
use crate::links::notice::{LinkWhy, NoLinks};
use crate::links::{
    FileId, LinkEnd, LinkId, LinkLine, LinkNotice, LinkState, PRIVATE_BYTES_MAX, TEXT_BYTES_MAX,
    TEXTS_MAX,
};
use crate::notice::{Answer, Notice, Refusal, Why};

/// A question that waits for this person.
enum Open {
    Link(LinkId),
    File(FileId),
}

impl Core {
    /// Does what concerns private links; gives back what does not.
    pub(in crate::core) fn do_with_links(
        &mut self,
        now_ms: u64,
        command: Command,
    ) -> Option<Command> {
        if let Some(done) = self.do_with_swarm(now_ms, &command) {
            return self.tell_done(command, done);
        }
        let done = match &command {
            Command::StartPrivate { user, unencrypted: true } => match self.may_open_line(user) {
                Ok(()) => return Some(command),
                Err(why) => Err(why),
            },
            Command::StartPrivate { .. } if self.original => return Some(command),
            Command::StartPrivate { user, .. } => self.start_link(now_ms, user),
            Command::Private { user, text } => self.say_privately(now_ms, user, text),
            Command::StopPrivate { user } => self.stop_link(now_ms, user),
            Command::Accept { user } => self.accept_question(now_ms, user),
            Command::SendFile { user, path } => self.send_file(user, path),
            Command::Cancel { which } => self.cancel_file(which),
            Command::Files => {
                Ok(Some(Answer::Files { transfers: self.list_files(), gets: self.list_gets() }))
            }
            Command::Decline { user } => self.decline_question(user),
            Command::Safety { user, step } => self.safety(now_ms, user, *step),
            Command::Links => Ok(Some(Answer::Links(self.list_links()))),
            _ => return Some(command),
        };
        self.tell_done(command, done)
    }

    /// Tells what came of a wish, if that is known already.
    pub(super) fn tell_done(
        &mut self,
        command: Command,
        done: Result<Option<Answer>, Why>,
    ) -> Option<Command> {
        let answer = match done {
            Ok(None) => return None,
            Ok(Some(answer)) => answer,
            Err(why) => Answer::Refused(Refusal::new(why)),
        };
        self.notice(Notice::Answered { command, answer });
        None
    }

    pub(super) fn start_link(&mut self, now_ms: u64, user: &str) -> Result<Option<Answer>, Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        if !matches!(self.line, Line::Session { .. }) {
            return Err(Why::Link(LinkWhy::NoConnection));
        }
        self.may_make_links()?;
        // Whoever hears nothing need not wait for the end of it.
        let is_dead = |link: &&mut Link| matches!(link.stage, Stage::Interrupted { .. });
        if let Some(dead) = self.links.with(user).filter(is_dead).map(|link| link.id) {
            self.end_link(dead, LinkEnd::Here);
        }
        if let Some(why) = self.why_linked(user) {
            return Err(why);
        }
        // Who was asked and asks back agrees.
        if let Some(question) = self.links.question_of(user) {
            self.may_have_more()?;
            self.accept_link(now_ms, question);
            return Ok(None);
        }
        self.may_have_more()?;
        let id = self.links.next_id();
        let name = self.make_link_name(id).ok_or(Why::Link(LinkWhy::NoLinks(NoLinks::NoDevice)))?;
        let purpose = Purpose::Talk;
        self.links.all.push(Link::new(id, name.clone(), user, purpose, true, Stage::Starting));
        let link = Some(NewLink { name, purpose });
        let command = request::Command::StartPrivate { user: user.into(), link };
        self.ask_server(Ask::Start(id), command);
        Ok(None)
    }

    /// Why there is no other link with a person: one stands, or is being made.
    pub(in crate::core) fn why_linked(&mut self, user: &str) -> Option<Why> {
        let stands = self.links.with(user)?.stage.stands();
        Some(Why::Link(if stands { LinkWhy::LinkStands } else { LinkWhy::LinkBeing }))
    }

    pub(super) fn may_make_links(&self) -> Result<(), Why> {
        if !self.links.options.carried {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::NotBuilt)));
        }
        if let Err(words) = &self.links.peers {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::PeersDamaged(words.clone()))));
        }
        if self.link.is_some_and(|link| link.key.is_none()) {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::Plain)));
        }
        if !self.introduces() {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::Unwanted)));
        }
        if !self.makes_links() {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::NoDevice)));
        }
        Ok(())
    }

    fn may_have_more(&self) -> Result<(), Why> {
        if self.links.is_full() { Err(Why::Link(LinkWhy::TooManyLinks)) } else { Ok(()) }
    }

    fn say_privately(
        &mut self,
        now_ms: u64,
        user: &str,
        text: &str,
    ) -> Result<Option<Answer>, Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        let (bytes, bytes_max) = (text.len(), PRIVATE_BYTES_MAX);
        if bytes > bytes_max {
            return Err(Why::TooLong { bytes, bytes_max });
        }
        let asks = self.links.question_of(user).is_some();
        let Some(link) = self.links.with(user) else {
            return match self.say_unencrypted(user, text) {
                Some(Ok(())) => {
                    self.note_activity(now_ms);
                    Ok(None)
                }
                Some(Err(why)) => Err(why),
                None if asks => Err(Why::Link(LinkWhy::Asks)),
                None => Err(Why::NoLink),
            };
        };
        if link.texts.len() >= TEXTS_MAX {
            return Err(Why::Link(LinkWhy::TooManyTexts));
        }
        let waiting: usize = link.texts.iter().map(|it| it.text.len()).sum();
        if waiting + bytes > TEXT_BYTES_MAX {
            return Err(Why::Link(LinkWhy::TooMuchText));
        }
        link.texts.push_back(Text { text: text.to_owned(), number: None });
        let (id, waits) = (link.id, !matches!(link.stage, Stage::Standing { .. }));
        if waits {
            self.notice_link(LinkNotice::Waits { user: user.to_owned() });
        }
        self.send_texts(now_ms, id);
        Ok(None)
    }

    fn stop_link(&mut self, now_ms: u64, user: &str) -> Result<Option<Answer>, Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        let asks = self.links.question_of(user).is_some();
        let Some(link) = self.links.with(user) else {
            return match self.stop_unencrypted(user) {
                true => Ok(None),
                false if asks => Err(Why::Link(LinkWhy::Asks)),
                false => Err(Why::NoLink),
            };
        };
        let id = link.id;
        self.close_link(now_ms, id, CLOSING_MS_MAX);
        Ok(None)
    }

    fn accept_question(&mut self, now_ms: u64, user: &str) -> Result<Option<Answer>, Why> {
        let question = match self.oldest_question(user)? {
            Open::Link(question) => question,
            Open::File(file) => {
                self.answer_offer(file, true);
                return Ok(None);
            }
        };
        let replaces = self.links.with(user).is_some();
        if !replaces {
            self.may_have_more()?;
        }
        self.accept_link(now_ms, question);
        Ok(None)
    }

    fn decline_question(&mut self, user: &str) -> Result<Option<Answer>, Why> {
        match self.oldest_question(user) {
            Ok(Open::Link(question)) => drop(self.decline_link(question, LinkReason::Declined)),
            Ok(Open::File(file)) => self.answer_offer(file, false),
            // A key that was refused is nobody's, then.
            Err(_) if self.links.refused.remove(user).is_some() => {}
            Err(why) => return Err(why),
        }
        Ok(Some(Answer::Done))
    }

    /// What a person waits for an answer to, the oldest of it.
    fn oldest_question(&self, user: &str) -> Result<Open, Why> {
        match (self.links.question_of(user), self.links.files.offer_of(user)) {
            (Some(question), Some((number, file))) if number < question.0 => Ok(Open::File(file)),
            (Some(question), _) => Ok(Open::Link(question)),
            (None, Some((_, file))) => Ok(Open::File(file)),
            (None, None) => Err(Why::Link(LinkWhy::NotAsked)),
        }
    }

    pub(in crate::core) fn list_links(&self) -> Vec<LinkLine> {
        let line = |link: &Link| LinkLine {
            user: link.user.clone(),
            state: match link.stage {
                Stage::Wanted { .. } => LinkState::Wanted,
                Stage::Starting | Stage::Asked => LinkState::Asked,
                Stage::Being { .. } => LinkState::Being,
                Stage::Interrupted { route, .. } => LinkState::Interrupted(route),
                Stage::Standing { route } => LinkState::Standing(route),
                Stage::Closing { .. } => LinkState::Closing,
            },
            trust: link.device.as_ref().map(|_| link.trust),
            texts: link.texts.len(),
        };
        self.links.talks().map(line).chain(self.list_unencrypted()).collect()
    }

    /// Ends what waits for others when the person leaves; what was said is waited for elsewhere.
    pub(in crate::core) fn leave_links(&mut self) {
        let mute = self.links.talks().filter(|link| link.texts.is_empty() && !link.stage.stands());
        let mute: Vec<_> = mute.map(|link| link.id).collect();
        mute.into_iter().for_each(|link| self.end_link(link, LinkEnd::Leaving));
    }
}

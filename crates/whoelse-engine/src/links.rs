//! Introductions for private links: a question, an answer with a card, the asker's card, and then the
//! server forgets. They live in memory only, and only while both have a line.

pub(crate) mod introductions;

use std::collections::VecDeque;
use std::sync::Arc;

use whoelse_proto::{
    DeviceKey, Event, LinkAnswer, LinkName, LinkReason, NewLink, Outcome, Purpose, Refusal,
};

use crate::record::{AccountId, Time};
use crate::sessions::Session;
use crate::timers::Timer;
use crate::{Asker, Engine, Turn};
use introductions::Introduction;

/// Lower ports are not handed out: no client listens there.
const PORT_MIN: u16 = 1024;

/// Whom somebody has asked lately, oldest first.
#[derive(Default)]
pub(crate) struct Asked(VecDeque<(Time, AccountId, IsForFile)>);

/// Whether a question was for a file; those to talk are counted apart.
type IsForFile = bool;

impl Asked {
    /// Takes note of a question, or says after how many milliseconds one may be asked.
    fn take(
        &mut self,
        now: Time,
        (callee, is_for_file): (AccountId, IsForFile),
        rules: &crate::Rules,
    ) -> Result<(), u64> {
        while self.0.front().is_some_and(|(at, ..)| at.plus(rules.asks_ms) <= now) {
            self.0.pop_front();
        }
        let most = if is_for_file { rules.file_asks_max } else { rules.asks_max };
        let alike = |&&(_, asked, for_file): &&(Time, AccountId, IsForFile)| {
            asked == callee && for_file == is_for_file
        };
        let of_callee = || self.0.iter().filter(alike);
        let oldest = if of_callee().count() >= most {
            of_callee().next()
        } else if self.0.len() >= rules.asks_in_all_max {
            self.0.front()
        } else {
            None
        };
        if let Some((at, ..)) = oldest {
            return Err(at.plus(rules.asks_ms).0.saturating_sub(now.0));
        }
        self.0.push_back((now, callee, is_for_file));
        Ok(())
    }
}

impl Engine {
    /// Tells where an original client listens. Refusals in the original's order: self, unknown,
    /// blocked, offline.
    pub(crate) fn start_private(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        turn: &mut Turn,
    ) {
        let Some(other) = self.other(now, account, asker, user, turn) else { return };
        if self.has_blocked(other, account) {
            return turn.refuse(asker, Refusal::UserBlocked);
        }
        match self.address_for(asker, other) {
            Some(outcome) => turn.answer(asker, outcome),
            None => turn.refuse(asker, Refusal::UserOffline),
        }
    }

    /// Asks somebody for a private link. Nothing that depends on whether the other is there comes
    /// before the blocks.
    pub(crate) fn ask_private(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        new: NewLink,
        turn: &mut Turn,
    ) {
        if !self.has_links(account) {
            let why = "Private links need a device, and 'links' when the session begins.";
            return turn.refuse(asker, Refusal::BadRequest(why.into()));
        }
        let Some(other) = self.other(now, account, asker, user, turn) else { return };
        match self.introduce(now, account, asker, other, new, turn) {
            Ok(outcome) => turn.answer(asker, outcome),
            Err(refusal) => turn.refuse(asker, refusal),
        }
    }

    fn introduce(
        &mut self,
        now: Time,
        caller: AccountId,
        asker: &Asker,
        callee: AccountId,
        new: NewLink,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        if self.has_blocked(callee, caller) {
            return Err(Refusal::UserBlocked);
        }
        let user = self.state.account(callee).name.clone();
        if self.has_blocked(caller, callee) {
            return Err(Refusal::YouBlocked(user));
        }
        if new.purpose.file().is_some_and(|file| !self.may_fetch(caller, callee, file)) {
            return Err(Refusal::FileNotExist);
        }
        let session = self.state.account(callee).session.as_ref();
        if session.is_none_or(|session| session.connection.is_none()) {
            return Err(Refusal::UserOffline);
        }
        let Some((device, device_name)) = self.linking_device(callee) else {
            let original = self.address_for(asker, callee).filter(|_| new.purpose == Purpose::Talk);
            return original.ok_or(Refusal::NoLinks);
        };
        if let Some(link) = self.question_for(caller, callee, new.purpose) {
            return Ok(Outcome::Asked { user, link, device, device_name, accepts: true });
        }
        self.may_ask(now, caller, callee, &new)?;
        let link = new.name.clone();
        self.add_introduction(now, caller, callee, new, turn);
        Ok(Outcome::Asked { user, link, device, device_name, accepts: false })
    }

    /// The name of the question to talk that the other has asked already: so that two who ask each
    /// other at once make one link.
    fn question_for(
        &self,
        caller: AccountId,
        callee: AccountId,
        purpose: Purpose,
    ) -> Option<LinkName> {
        let theirs =
            self.state.introductions.of(caller).into_iter().find(|(_, it)| {
                it.caller == callee && !it.is_accepted && it.purpose == Purpose::Talk
            });
        theirs.filter(|_| purpose == Purpose::Talk).map(|(_, it)| it.name.clone())
    }

    fn may_ask(
        &mut self,
        now: Time,
        caller: AccountId,
        callee: AccountId,
        new: &NewLink,
    ) -> Result<(), Refusal> {
        let introductions = &self.state.introductions;
        let asking = introductions.of(caller).iter().filter(|(_, it)| it.caller == caller).count();
        let asked = introductions.of(callee).iter().filter(|(_, it)| it.callee == callee).count();
        if asking >= self.rules.questions_max || asked >= self.rules.questions_to_max {
            return Err(Refusal::TooManyLinks);
        }
        if [caller, callee].iter().any(|party| introductions.find(*party, &new.name).is_some()) {
            return Err(Refusal::BadRequest("'link' is in use. Choose another.".into()));
        }
        let asked = &mut self.state.accounts[caller.index()].asked;
        asked
            .take(now, (callee, new.purpose.file().is_some()), &self.rules)
            .map_err(|retry_after_ms| Refusal::TooFast { retry_after_ms })
    }

    fn add_introduction(
        &mut self,
        now: Time,
        caller: AccountId,
        callee: AccountId,
        new: NewLink,
        turn: &mut Turn,
    ) {
        let Some((device, device_name)) = self.linking_device(caller) else { return };
        let expires = now.plus(self.rules.introduction_ms);
        let from = self.state.account(caller).name.clone();
        let (link, purpose) = (new.name.clone(), new.purpose);
        let event = Event::PrivateRequest { from, link, purpose, device, device_name };
        self.tell(callee, event, turn);
        let number = self.state.introductions.add(Introduction {
            caller,
            callee,
            name: new.name,
            purpose,
            is_accepted: false,
            expires,
        });
        self.state.timers.add(expires, Timer::Introduction(number));
    }

    pub(crate) fn answer_private(
        &mut self,
        account: AccountId,
        asker: &Asker,
        link: LinkName,
        answer: LinkAnswer<'_>,
        turn: &mut Turn,
    ) {
        let found = self.state.introductions.find(account, &link);
        let open = found.filter(|(_, it)| it.callee == account && !it.is_accepted);
        let Some((number, caller)) = open.map(|(number, it)| (number, it.caller)) else {
            return turn.refuse(asker, Refusal::LinkNotExist);
        };
        let answer: Result<Arc<str>, LinkReason> = match answer {
            LinkAnswer::Accept { card } => Ok(card.into()),
            LinkAnswer::Decline(reason) => Err(reason),
        };
        if answer.is_err() {
            self.forget_introduction(number);
        } else if let Some(introduction) = self.state.introductions.get_mut(number) {
            introduction.is_accepted = true;
        }
        turn.answer(asker, Outcome::Done);
        let from = self.state.account(account).name.clone();
        self.tell(caller, Event::PrivateAnswer { from, link, answer }, turn);
    }

    pub(crate) fn private_card(
        &mut self,
        account: AccountId,
        asker: &Asker,
        link: LinkName,
        card: &str,
        turn: &mut Turn,
    ) {
        let found = self.state.introductions.find(account, &link);
        let accepted = found.filter(|(_, it)| it.caller == account && it.is_accepted);
        let Some((number, callee)) = accepted.map(|(number, it)| (number, it.callee)) else {
            return turn.refuse(asker, Refusal::LinkNotExist);
        };
        self.forget_introduction(number);
        turn.answer(asker, Outcome::Done);
        let from = self.state.account(account).name.clone();
        self.tell(callee, Event::PrivateCard { from, link, card: card.into() }, turn);
    }

    /// Takes a question back, or breaks off what it led to. Of what is gone already that is true.
    pub(crate) fn end_private(
        &mut self,
        account: AccountId,
        asker: &Asker,
        link: &LinkName,
        turn: &mut Turn,
    ) {
        turn.answer(asker, Outcome::Done);
        if let Some((number, _)) = self.state.introductions.find(account, link) {
            self.end_introduction(number, Some(account), LinkReason::Withdrawn, turn);
        }
    }

    /// The line of somebody ended: so do all introductions.
    pub(crate) fn end_introductions(&mut self, account: AccountId, turn: &mut Turn) {
        let introductions = self.state.introductions.of(account);
        let numbers: Vec<u64> = introductions.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            self.end_introduction(number, Some(account), LinkReason::Offline, turn);
        }
    }

    /// Somebody blocked another: what they are about to make comes to nothing. Whoever asked learns
    /// no more than after any other no.
    pub(crate) fn end_introductions_between(
        &mut self,
        blocker: AccountId,
        blocked: AccountId,
        turn: &mut Turn,
    ) {
        let introductions = self.state.introductions.of(blocker).into_iter();
        let numbers: Vec<u64> = introductions
            .filter(|(_, it)| it.parties().contains(&blocked))
            .map(|(number, _)| number)
            .collect();
        for number in numbers {
            self.end_introduction(number, None, LinkReason::Declined, turn);
        }
    }

    /// An introduction took too long.
    pub(crate) fn introduction_timer(&mut self, number: u64, turn: &mut Turn) {
        self.end_introduction(number, None, LinkReason::NoAnswer, turn);
    }

    /// The server ends: nobody is left to be told.
    pub(crate) fn forget_introductions(&mut self) {
        for number in self.state.introductions.numbers() {
            self.forget_introduction(number);
        }
    }

    /// Tells both, or the one who has not ended it.
    fn end_introduction(
        &mut self,
        number: u64,
        ended_by: Option<AccountId>,
        reason: LinkReason,
        turn: &mut Turn,
    ) {
        let Some(introduction) = self.forget_introduction(number) else { return };
        let Introduction { caller, callee, name: link, is_accepted, .. } = introduction;
        for (party, other) in [(caller, callee), (callee, caller)] {
            if ended_by == Some(party) {
                continue;
            }
            let (from, link) = (self.state.account(other).name.clone(), link.clone());
            let event = if party == caller && !is_accepted {
                let answer = Err(if ended_by == Some(callee) && reason == LinkReason::Withdrawn {
                    LinkReason::Declined
                } else {
                    reason
                });
                Event::PrivateAnswer { from, link, answer }
            } else {
                let reason = if reason.of_decline() { LinkReason::Withdrawn } else { reason };
                Event::PrivateEnded { from, link, reason }
            };
            self.tell(party, event, turn);
        }
    }

    fn forget_introduction(&mut self, number: u64) -> Option<Introduction> {
        let introduction = self.state.introductions.remove(number)?;
        self.state.timers.remove(introduction.expires, Timer::Introduction(number));
        Some(introduction)
    }

    fn tell(&self, account: AccountId, event: Event, turn: &mut Turn) {
        let session = self.state.account(account).session.as_ref();
        if let Some(connection) = session.and_then(|session| session.connection) {
            turn.send(connection, event);
        }
    }

    /// Whether the session of an account can make private links.
    pub(crate) fn has_links(&self, account: AccountId) -> bool {
        self.state.account(account).session.as_ref().is_some_and(Session::has_links)
    }

    /// The device of a session that can make private links, and what it is called.
    pub(crate) fn linking_device(&self, account: AccountId) -> Option<(DeviceKey, Arc<str>)> {
        let account = self.state.account(account);
        let session = account.session.as_ref().filter(|session| session.has_links())?;
        let device = account.devices.get(&session.device?)?;
        Some((device.key, device.name.clone()))
    }

    fn address_for(&self, asker: &Asker, other: AccountId) -> Option<Outcome> {
        let account = self.state.account(other);
        let session = account.session.as_ref()?;
        let port = session.private_port.filter(|port| *port >= PORT_MIN)?;
        let address = self.state.connections.get(&session.connection?)?.address;
        let asker_address = self.state.connections.get(&asker.connection)?.address;
        // A loopback address means another machine to anybody who is not on this one.
        if address.is_loopback() && !asker_address.is_loopback() {
            return None;
        }
        Some(Outcome::Address { address, port, username: account.name.clone() })
    }
}

//! How a link is made.
//!
//! Caller: question, answer with a card, keys, relay, our card, dial. Callee: question, keys, relay,
//! answer with our card, a card, wait for the caller. Whatever fails ends it on both sides.

use std::net::SocketAddr;

use whoelse_proto::codec::Incoming;
use whoelse_proto::{
    DeviceKey, EndpointKey, FileHash, LinkAnswer, LinkName, LinkReason, Purpose, RelayTicket,
    request,
};

use super::{Ask, Link, MAKING_MS_MAX, Stage};
use crate::command::Command;
use crate::core::answers::refusal;
use crate::core::{Action, Core};
use crate::links::card::{self, CardError};
use crate::links::{
    LinkEnd, LinkId, LinkNotice, PeerFailure, PeerOrder, PeerPlace, Private, QUESTIONS_MAX, Trust,
};
use crate::notice::{Answer, Notice};

impl Core {
    /// Handles what the server says about links; says whether that was it.
    pub(in crate::core) fn handle_about_links(&mut self, now_ms: u64, incoming: &Incoming) -> bool {
        match incoming.action.as_str() {
            "private_request" => self.handle_wanted(now_ms, incoming),
            "private_answer" => self.handle_their_answer(now_ms, incoming),
            "private_card" if incoming.status.is_none() => self.handle_their_card(now_ms, incoming),
            "private_ended" => {
                // What is between the two ends is for them to end.
                let link = self.link_named(incoming).filter(|link| link.is_introduced());
                let link = link.map(|link| link.id);
                let reason = reason(incoming, LinkReason::Withdrawn);
                link.into_iter().for_each(|link| self.end_link(link, LinkEnd::Refused(reason)));
            }
            _ => return self.handle_link_answer(now_ms, incoming),
        }
        self.drive_swarm(now_ms);
        self.go_on_leaving(now_ms);
        true
    }

    /// Handles the answer to a request about links, if this is one.
    fn handle_link_answer(&mut self, now_ms: u64, incoming: &Incoming) -> bool {
        let Some(ask) = self.take_ask(incoming.id.as_deref()) else { return false };
        let is_success = incoming.outcome() == Some("SUCCESS");
        match ask {
            Ask::Swarm(number) => self.handle_swarm_answer(now_ms, number, incoming),
            Ask::Start(link) if is_success => self.handle_asked(now_ms, link, incoming),
            Ask::Start(link) => self.handle_not_asked(link, incoming),
            Ask::Relay(link) => self.handle_relay(link, is_success),
            // The introduction is gone, and what ended it is on its way or was lost.
            Ask::Pass(link) if !is_success => {
                if self.links.by_id(link).is_some_and(|link| !link.stage.stands()) {
                    self.end_link(link, LinkEnd::NotMade);
                }
            }
            Ask::RelayAgain => self.actions.push_back(Action::Peer(PeerOrder::Relay)),
            Ask::Pass(_) | Ask::Nothing => {}
        }
        self.drive_swarm(now_ms);
        self.go_on_leaving(now_ms);
        true
    }

    /// The other person was asked, or has asked already.
    fn handle_asked(&mut self, now_ms: u64, id: LinkId, incoming: &Incoming) {
        let Some((name, key, device)) = introduction(incoming) else {
            return self.handle_not_asked(id, incoming);
        };
        let Some(at) = self.links.all.iter().position(|link| link.id == id) else {
            // It was taken back in the meantime, and so is the question.
            return;
        };
        let is_talk = self.links.all[at].purpose == Purpose::Talk;
        if incoming.accepts == Some(true) && is_talk {
            let ours = self.links.all.remove(at);
            return self.accept_theirs(now_ms, ours, name, key, device);
        }
        let link = &mut self.links.all[at];
        link.device = Some((key, device));
        link.stage = Stage::Asked;
        let user = link.user.clone();
        if self.is_still_trusted(id) && is_talk {
            self.notice_link(LinkNotice::Being { user, asked: true });
        }
    }

    /// Both have asked: theirs was first, and one link is enough.
    fn accept_theirs(
        &mut self,
        now_ms: u64,
        ours: Link,
        name: LinkName,
        key: DeviceKey,
        device: String,
    ) {
        let is_it = |link: &Link| {
            link.name == name
                && link.is_with(&ours.user)
                && matches!(link.stage, Stage::Wanted { .. })
        };
        let id = match self.links.all.iter_mut().find(|link| is_it(link)) {
            Some(theirs) => {
                theirs.texts = ours.texts;
                theirs.id
            }
            None => {
                let id = ours.id;
                let stage = Stage::Wanted { told: false };
                let device = Some((key, device));
                self.links.all.push(Link { name, caller: false, device, stage, ..ours });
                id
            }
        };
        self.accept_link(now_ms, id);
    }

    /// The server does not ask the other person.
    fn handle_not_asked(&mut self, id: LinkId, incoming: &Incoming) {
        let Some(at) = self.links.all.iter().position(|link| link.id == id) else { return };
        let mut link = self.links.all.remove(at);
        if link.purpose != Purpose::Talk {
            return self.file_link_refused(&link, incoming);
        }
        let texts = link.not_sent();
        let user = link.user;
        let answer = match incoming.outcome() {
            Some("SUCCESS") => Answer::Address { address: incoming.address, port: incoming.port },
            _ => refusal(incoming.clone()),
        };
        let command = Command::StartPrivate { user: user.clone(), unencrypted: false };
        self.notice(Notice::Answered { command, answer });
        self.drop_files(&user);
        if !texts.is_empty() {
            self.unconfirmed = true;
            self.notice_link(LinkNotice::NotSent { user: user.clone(), texts });
        }
        // A question of theirs that was held back, because ours was under way, is one now.
        if let Some(question) = self.links.question_of(&user) {
            self.tell_question(question);
        }
    }

    /// Somebody asks.
    fn handle_wanted(&mut self, now_ms: u64, incoming: &Incoming) {
        let Some((name, key, device)) = introduction(incoming) else { return };
        let Some(user) = incoming.from.clone() else { return };
        let file = incoming.file.as_deref().and_then(|text| FileHash::parse(text).ok());
        let purpose = incoming.purpose.as_deref().and_then(|word| Purpose::parse(word, file));
        if let Some(Purpose::File(hash)) = purpose {
            return self.handle_file_wanted(now_ms, user, name, (key, device), hash);
        }
        let trust = self.judge(&user, key, &device);
        let both = self.links.with(&user).is_some_and(|link| link.stage == Stage::Starting);
        let id = self.links.next_id();
        let mut link =
            Link::new(id, name, &user, Purpose::Talk, false, Stage::Wanted { told: false });
        link.trust = trust;
        link.device = Some((key, device));
        self.links.all.push(link);
        let private = self.links.options.private;
        if trust == Trust::Changed {
            self.refuse_changed(id);
        } else if purpose != Some(Purpose::Talk) || !self.makes_links() {
            self.turn_away(id, LinkReason::NotWanted, false);
        } else if both {
            // Our own question is on its way; its answer says that theirs was first.
        } else if private == Private::Never {
            self.turn_away(id, LinkReason::NotWanted, true);
        } else if self.links.is_full() || self.links.talks().count() > QUESTIONS_MAX {
            self.turn_away(id, LinkReason::Busy, true);
        } else {
            if private != Private::Always || self.links.holds(&user) {
                self.tell_question(id);
            }
            self.accept_always(now_ms);
        }
    }

    /// Accepts what nobody needs to be asked about. Whoever asks anew may have lost the link there was,
    /// or the server has made the question up to end that: it goes on until nothing is heard there.
    pub(super) fn accept_always(&mut self, now_ms: u64) {
        if self.links.options.private != Private::Always {
            return;
        }
        while let Some(question) = self.links.acceptable() {
            self.accept_link(now_ms, question);
        }
    }

    fn tell_question(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id(id) else { return };
        link.stage = Stage::Wanted { told: true };
        let (user, trust) = (link.user.clone(), link.trust);
        let hidden = self.links.options.hide_address;
        self.notice_link(LinkNotice::Wanted { user, trust, hidden });
    }

    /// Declines without asking the person.
    fn turn_away(&mut self, id: LinkId, reason: LinkReason, tells: bool) {
        if let Some(user) = self.decline_link(id, reason).filter(|_| tells) {
            self.notice_link(LinkNotice::TurnedAway { user, reason });
        }
    }

    /// Declines, and says whom.
    pub(super) fn decline_link(&mut self, id: LinkId, reason: LinkReason) -> Option<String> {
        let at = self.links.all.iter().position(|link| link.id == id)?;
        let link = self.links.all.remove(at);
        let answer = LinkAnswer::Decline(reason);
        self.ask_server(Ask::Nothing, request::Command::AnswerPrivate { link: link.name, answer });
        Some(link.user)
    }

    /// Another key was known: nothing happens before the person has looked at that.
    fn refuse_changed(&mut self, id: LinkId) {
        let Some(at) = self.links.all.iter().position(|link| link.id == id) else { return };
        let mut link = self.links.all.remove(at);
        let Some((key, device)) = link.device.clone() else { return };
        if link.purpose != Purpose::Talk {
            return self.file_link_distrusted(&link, key, device);
        }
        let asked_us = !link.caller;
        if matches!(link.stage, Stage::Wanted { .. }) {
            let answer = LinkAnswer::Decline(LinkReason::KeyChanged);
            let command = request::Command::AnswerPrivate { link: link.name.clone(), answer };
            self.ask_server(Ask::Nothing, command);
        } else {
            self.forget_link(&link, false);
        }
        let (texts, user) = (link.not_sent(), link.user);
        let known = self.contradicted(&user, &device);
        self.links.refused.insert(user.clone(), (key, device.clone()));
        self.notice_link(LinkNotice::Changed { user: user.clone(), device, known, asked_us });
        // Another question may go on to a link; only what no link is made for is over.
        if self.links.with(&user).is_none() {
            self.drop_files(&user);
        }
        if !texts.is_empty() {
            self.unconfirmed = true;
            self.notice_link(LinkNotice::NotSent { user, texts });
        }
    }

    /// Judges the device of a link once more: what is known may have changed since it was named, by
    /// a comparison or by another link. Says whether the link may go on; if not, it is gone.
    pub(super) fn is_still_trusted(&mut self, id: LinkId) -> bool {
        let Some(at) = self.links.all.iter().position(|link| link.id == id) else { return false };
        let link = &self.links.all[at];
        let Some((key, device)) = &link.device else { return false };
        let trust = self.judge(&link.user, *key, device);
        self.links.all[at].trust = trust;
        if trust == Trust::Changed {
            self.refuse_changed(id);
        }
        trust != Trust::Changed
    }

    /// Begins to make a link that the other side has asked for.
    pub(super) fn accept_link(&mut self, now_ms: u64, id: LinkId) {
        if !self.is_still_trusted(id) {
            return;
        }
        let Some(user) = self.links.by_id(id).map(|link| link.user.clone()) else { return };
        // Who asks anew has lost the one there was.
        if let Some(old) = self.links.with(&user).map(|link| link.id) {
            self.end_link(old, LinkEnd::Replaced);
        }
        self.notice_link(LinkNotice::Being { user, asked: false });
        self.begin_making(now_ms, id);
    }

    pub(super) fn begin_making(&mut self, now_ms: u64, id: LinkId) {
        let Some(link) = self.links.by_id(id) else { return };
        link.stage = Stage::Being { until_ms: now_ms + MAKING_MS_MAX };
        link.carried = true;
        let (user, is_talk) = (link.user.clone(), link.purpose == Purpose::Talk);
        self.actions.push_back(Action::Peer(PeerOrder::Prepare { link: id }));
        if !is_talk {
            return self.use_file_link(id);
        }
        // Whatever becomes of it, what is said next does not go out in clear.
        self.stop_unencrypted(&user);
    }

    pub(super) fn handle_prepared(
        &mut self,
        id: LinkId,
        endpoint: EndpointKey,
        ticket: RelayTicket,
    ) {
        let Some(link) = self.links.by_id(id) else { return };
        link.keys = Some((endpoint, ticket.clone()));
        let ticket = Some(ticket);
        self.ask_server(Ask::Relay(id), request::Command::Relay { endpoint, ticket });
    }

    /// The server lets it into the relay, or has none.
    fn handle_relay(&mut self, id: LinkId, relay: bool) {
        let is_hidden = self.links.options.hide_address;
        let Some(link) = self.links.by_id(id) else { return };
        link.relay = relay;
        if is_hidden && !relay {
            return self.end_link(id, LinkEnd::Failed(PeerFailure::NoRoute));
        }
        self.actions.push_back(Action::Peer(PeerOrder::Open { link: id, relay }));
    }

    /// It can be found: the other side hears where.
    pub(super) fn handle_opened(
        &mut self,
        now_ms: u64,
        id: LinkId,
        mut addresses: Vec<SocketAddr>,
    ) {
        if self.links.options.hide_address {
            addresses.clear();
        }
        let Some(link) = self.links.all.iter().find(|link| link.id == id) else { return };
        let Some((endpoint, _)) = link.keys else { return };
        if addresses.is_empty() && !link.relay {
            return self.end_link(id, LinkEnd::Failed(PeerFailure::NoRoute));
        }
        let place = PeerPlace { endpoint, addresses, relay: link.relay };
        let Some(card) = self.make_card(link, &place) else { return };
        let (name, caller) = (link.name.clone(), link.caller);
        self.ask_server(
            Ask::Pass(id),
            match caller {
                true => request::Command::PrivateCard { link: name, card: card.into() },
                false => request::Command::AnswerPrivate {
                    link: name,
                    answer: LinkAnswer::Accept { card: card.into() },
                },
            },
        );
        let Some(link) = self.links.by_id(id) else { return };
        link.card_sent = true;
        if let Some(to) = link.place.clone() {
            link.stage = Stage::Being { until_ms: now_ms + MAKING_MS_MAX };
            let device = link.device_id();
            self.actions.push_back(Action::Peer(PeerOrder::Dial { link: id, to, device }));
        }
    }

    fn make_card(&self, link: &Link, place: &PeerPlace) -> Option<String> {
        let device = self.device()?;
        let peers = self.links.peers.as_ref().ok()?;
        let me = self.name().unwrap_or_default();
        let vouch = peers.vouch_for(&link.user, self.mailbox.server(), me, device.key());
        Some(card::make(self.card_context(link, true), device, place, vouch))
    }

    /// The other person has answered.
    fn handle_their_answer(&mut self, now_ms: u64, incoming: &Incoming) {
        let Some(link) = self.link_named(incoming) else { return };
        let (id, waits) = (link.id, link.caller && link.stage == Stage::Asked);
        let is_introduced = link.is_introduced();
        match incoming.card.as_deref().filter(|_| incoming.accepted == Some(true)) {
            Some(card) if waits => {
                if self.take_card(now_ms, id, card) {
                    self.begin_making(now_ms, id);
                }
            }
            Some(_) => {}
            None if !is_introduced => {}
            None => {
                self.end_link(id, LinkEnd::Refused(reason(incoming, LinkReason::Declined)));
            }
        }
    }

    /// The caller says where it is found, and will call.
    fn handle_their_card(&mut self, now_ms: u64, incoming: &Incoming) {
        let Some(link) = self.link_named(incoming) else { return };
        let id = link.id;
        let waits = !link.caller && link.card_sent && link.place.is_none();
        let Some(card) = incoming.card.as_deref().filter(|_| waits) else { return };
        if !self.take_card(now_ms, id, card) {
            return;
        }
        let Some(link) = self.links.by_id(id) else { return };
        link.stage = Stage::Being { until_ms: now_ms + MAKING_MS_MAX };
        let (device, place) = (link.device_id(), link.place.clone());
        if let Some(from) = place {
            self.actions.push_back(Action::Peer(PeerOrder::Expect { link: id, from, device }));
        }
    }

    /// Takes the card of the other side, if it is of the device that the server has named.
    fn take_card(&mut self, now_ms: u64, id: LinkId, card: &str) -> bool {
        if !self.is_still_trusted(id) {
            return false;
        }
        let Some(link) = self.links.all.iter().find(|link| link.id == id) else { return false };
        let Some((key, _)) = link.device else { return false };
        let read: Result<_, CardError> = card::read(self.card_context(link, false), key, card);
        let Ok((place, proof)) = read else {
            self.end_link(id, LinkEnd::BadCard);
            return false;
        };
        let (server, now_s) = (self.mailbox.server(), self.links.now_s(now_ms));
        // An invite brings somebody new; whoever is known has to be compared by the two people.
        let proof = proof.filter(|proof| match &self.links.peers {
            Ok(peers) if link.trust == Trust::New => {
                peers.is_vouched(proof, server, &link.user, key, now_s)
            }
            _ => false,
        });
        if let Some(link) = self.links.by_id(id) {
            link.place = Some(place);
            link.proof = proof;
        }
        true
    }

    fn link_named(&self, incoming: &Incoming) -> Option<&Link> {
        let (name, from) = (incoming.link.as_deref()?, incoming.from.as_deref()?);
        self.links.all.iter().find(|link| link.name.as_str() == name && link.user == from)
    }
}

impl Link {
    /// What person and device are called together, to whoever carries links: unfinished files go on
    /// with the same one only.
    pub(super) fn device_id(&self) -> String {
        let key = self.device.as_ref().map(|(key, _)| key.to_string());
        [key.unwrap_or_default().as_str(), &self.user].join(" ")
    }
}

/// The link and the device that the server names.
fn introduction(incoming: &Incoming) -> Option<(LinkName, DeviceKey, String)> {
    let name = LinkName::new(incoming.link.as_deref()?)?;
    let key = DeviceKey::parse(incoming.device.as_deref()?).ok()?;
    Some((name, key, incoming.device_name.clone().unwrap_or_default()))
}

fn reason(incoming: &Incoming, or: LinkReason) -> LinkReason {
    incoming.reason.as_deref().and_then(LinkReason::parse).unwrap_or(or)
}

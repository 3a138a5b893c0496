//! What happens to a link once it stands: texts, silence, another way.

use whoelse_proto::{Purpose, request};

use super::{ACTIVE_MS, Ask, SILENT_MS_MAX, Stage};
use crate::command::Command;
use crate::core::{Action, Core, Line};
use crate::links::{LinkEnd, LinkId, LinkNotice, PeerFailure, PeerOrder, Route, Trust};
use crate::notice::{Answer, Notice};

impl Core {
    /// Both ends have proven themselves.
    pub(super) fn handle_up(&mut self, now_ms: u64, id: LinkId, route: Route) {
        let Some(link) = self.links.by_id(id) else { return };
        if !matches!(link.stage, Stage::Being { .. }) || !self.is_still_trusted(id) {
            return;
        }
        let Some(link) = self.links.by_id(id) else { return };
        link.stage = Stage::Standing { route };
        let (user, trust, is_talk) = (link.user.clone(), link.trust, link.purpose == Purpose::Talk);
        let by_invite = self.remember_device(now_ms, id);
        let trust = if by_invite { Trust::Compared } else { trust };
        if by_invite {
            self.notice_link(LinkNotice::ByInvite { user: user.clone() });
        }
        if let Some(link) = self.links.by_id(id) {
            link.trust = match trust {
                Trust::Compared => Trust::Compared,
                _ => Trust::NotCompared,
            };
        }
        if !is_talk {
            return self.file_link_up(id);
        }
        self.notice_link(LinkNotice::Up { user, route, trust });
        self.send_texts(now_ms, id);
        self.offer_files(id);
    }

    /// Remembers the device that has proven itself. Says whether an invite has now shown whose it is.
    fn remember_device(&mut self, now_ms: u64, id: LinkId) -> bool {
        let now_s = self.links.now_s(now_ms);
        let server = self.mailbox.server().to_owned();
        let Some(link) = self.links.all.iter().find(|link| link.id == id) else { return false };
        let (Some((key, device)), Ok(peers)) = (&link.device, &mut self.links.peers) else {
            return false;
        };
        let before = peers.clone();
        let proof = link.proof.as_ref().filter(|_| link.trust == Trust::New);
        let by_invite = proof.is_some();
        peers.pin(&link.user, *key, device, by_invite, now_s);
        if let Some(proof) = proof {
            peers.use_invite(proof, &server, &link.user, *key);
        }
        // Our card has brought the proof, if there was one to bring.
        peers.vouched(&link.user);
        if *peers != before {
            self.keep_peers();
        }
        by_invite
    }

    /// Sends what has waited.
    pub(super) fn send_texts(&mut self, now_ms: u64, id: LinkId) {
        let Some(link) = self.links.by_id(id) else { return };
        if !link.stage.stands() {
            return;
        }
        let mut orders = Vec::new();
        for text in link.texts.iter_mut().filter(|text| text.number.is_none()) {
            link.sent += 1;
            text.number = Some(link.sent);
            orders.push(PeerOrder::Send { link: id, number: link.sent, text: text.text.clone() });
        }
        let any = !orders.is_empty();
        self.actions.extend(orders.into_iter().map(Action::Peer));
        if any {
            self.note_activity(now_ms);
        }
    }

    /// The server does not see that the person does something, and could take it for gone.
    pub(super) fn note_activity(&mut self, now_ms: u64) {
        let in_session = matches!(self.line, Line::Session { .. });
        // A server of the original system has no word for it.
        if now_ms >= self.links.active_at_ms && in_session && !self.original {
            self.links.active_at_ms = now_ms + ACTIVE_MS;
            self.ask_server(Ask::Nothing, request::Command::Active);
        }
    }

    /// A text has come.
    pub(super) fn handle_text(&mut self, id: LinkId, number: u64, text: String) {
        let Some(link) = self.links.by_id(id) else { return };
        if number <= link.heard {
            return; // it was told before
        }
        let is_talk = link.purpose == Purpose::Talk;
        if number != link.heard + 1 || !link.stage.stands() || !is_talk {
            return self.end_link(id, LinkEnd::Failed(PeerFailure::Protocol));
        }
        link.heard = number;
        let from = link.user.clone();
        self.links.told.push_back((self.last_sequence + 1, id, number));
        self.notice_link(LinkNotice::Text { from, text });
    }

    /// The screen has shown everything up to a place: the other side hears of its texts.
    pub(in crate::core) fn acknowledge_texts(&mut self) {
        let mut last: Vec<(LinkId, u64)> = Vec::new();
        while let Some((_, link, number)) =
            self.links.told.pop_front_if(|(place, ..)| *place <= self.shown_sequence)
        {
            last.retain(|(other, _)| *other != link);
            last.push((link, number));
        }
        for (link, number) in last {
            if self.links.by_id(link).is_some() {
                self.actions.push_back(Action::Peer(PeerOrder::Acknowledge { link, number }));
            }
        }
    }

    /// The other person has seen everything up to a number.
    pub(super) fn handle_text_shown(&mut self, id: LinkId, number: u64) {
        let Some(link) = self.links.by_id(id) else { return };
        let user = link.user.clone();
        let mut shown = Vec::new();
        while let Some(text) =
            link.texts.pop_front_if(|text| text.number.is_some_and(|it| it <= number))
        {
            shown.push(text.text);
        }
        let is_done = link.texts.is_empty() && matches!(link.stage, Stage::Closing { .. });
        for text in shown {
            let command = Command::Private { user: user.clone(), text };
            self.notice(Notice::Answered { command, answer: Answer::Done });
        }
        if is_done {
            self.end_link(id, LinkEnd::Here);
        }
    }

    pub(super) fn handle_route(&mut self, id: LinkId, new: Route) {
        let Some(link) = self.links.by_id(id) else { return };
        let (user, is_talk) = (link.user.clone(), link.purpose == Purpose::Talk);
        match &mut link.stage {
            Stage::Standing { route } if *route != new => {
                *route = new;
                if !is_talk {
                    return;
                }
                self.notice_link(LinkNotice::Route { user, route: new });
            }
            Stage::Interrupted { route, .. } => *route = new,
            _ => {}
        }
    }

    /// Nothing was heard of the other end for some seconds.
    pub(super) fn handle_silent(&mut self, now_ms: u64, id: LinkId) {
        let in_session = matches!(self.line, Line::Session { .. });
        let resuming_until_ms = self.links.resuming_until_ms;
        let Some(link) = self.links.by_id(id) else { return };
        let Stage::Standing { route } = link.stage else { return };
        // The relay is the server: it will be back when that is.
        let relayed = route == Route::Relayed;
        let server_away = relayed && (!in_session || now_ms < resuming_until_ms);
        let until_ms = match server_away {
            true => in_session.then_some(resuming_until_ms),
            false => Some(now_ms + SILENT_MS_MAX),
        };
        link.stage = Stage::Interrupted { route, until_ms };
        if link.purpose != Purpose::Talk {
            return;
        }
        let user = link.user.clone();
        self.notice_link(LinkNotice::Interrupted { user: user.clone(), server_away });
        self.interrupt_files(&user);
    }

    pub(super) fn handle_heard(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id(id) else { return };
        let Stage::Interrupted { route, .. } = link.stage else { return };
        link.stage = Stage::Standing { route };
        if link.purpose != Purpose::Talk {
            return;
        }
        let user = link.user.clone();
        self.notice_link(LinkNotice::Back { user, route });
    }

    /// Ends a link as the person wants, after what it has said was acknowledged.
    pub(super) fn close_link(&mut self, now_ms: u64, id: LinkId, until_ms: u64) {
        let Some(link) = self.links.by_id(id) else { return };
        let waits = matches!(link.stage, Stage::Standing { .. }) && !link.texts.is_empty();
        if waits {
            link.stage = Stage::Closing { until_ms: now_ms + until_ms };
        } else {
            self.end_link(id, LinkEnd::Here);
        }
    }
}

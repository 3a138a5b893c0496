//! What a server says, made into what a person is told.

use whoelse_proto::codec::{Incoming, Reply};

use super::{Core, Line};
use crate::command::Command;
use crate::mailbox::Verdict;
use crate::notice::{Answer, Ending, Notice, Refusal, Why};

impl Core {
    /// The server said something.
    pub fn handle_incoming(&mut self, now_ms: u64, incoming: Incoming) {
        if self.ending.is_some() {
            return;
        }
        self.note_life(now_ms);
        match incoming.action.as_str() {
            "login" => self.handle_login_answer(now_ms, &incoming),
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
            // Neither is followed by another try: somebody or nobody wanted it so.
            "timeout" => self.end(Ending::Timeout),
            "takeover" => self.end(Ending::TakenOver),
            "logout" => self.handle_goodbye(),
            _ => self.handle_answer(now_ms, incoming),
        }
    }

    fn handle_mail(&mut self, now_ms: u64, incoming: Incoming) {
        let (Some(from), Some(text)) = (incoming.from, incoming.message) else { return };
        if let Some(number) = incoming.number.filter(|_| !self.original) {
            // It could no longer be acknowledged. The server keeps it for the next login.
            if self.said_goodbye() {
                return;
            }
            match self.mailbox.take(number, self.last_sequence + 1) {
                Verdict::Drop => return,
                Verdict::Tell => {}
                Verdict::TellMissing { first, last } => {
                    // The message keeps the place it was given; this comes after it.
                    self.notice(Notice::Message { from, text, at: incoming.at });
                    self.notice(Notice::Missing { first, last });
                    return;
                }
                Verdict::Absurd => return self.handle_garbage(now_ms),
            }
        }
        self.notice(Notice::Message { from, text, at: incoming.at });
    }

    fn handle_answer(&mut self, now_ms: u64, incoming: Incoming) {
        if self.present_id.take_if(|id| incoming.id.as_deref() == Some(id.as_str())).is_some() {
            return self.handle_present(incoming);
        }
        let command = match &incoming.id {
            Some(id) => self.outbox.answered(id),
            // Without an id it answers the oldest request of its kind.
            None => self.outbox.answered_oldest(&incoming.action),
        };
        // Whatever else there is, is of a later protocol and not for us.
        let Some(command) = command else { return };
        if let Line::Session { proven, .. } = &mut self.line {
            *proven = true;
        }
        let answer = answer(&command, incoming);
        self.notice(Notice::Answered { command, answer });
        self.write(now_ms);
        self.ask_who_is_present();
    }

    fn handle_present(&mut self, incoming: Incoming) {
        // Whoever leaves needs no names any more, and would have to wait for the screen.
        if let Some(Reply::Names(names)) = incoming.reply.filter(|_| self.leave.is_none()) {
            self.notice(Notice::Present { names });
        }
    }
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
        Command::StartPrivate { .. } if incoming.outcome() == Some("SUCCESS") => {
            Answer::Address { address: incoming.address, port: incoming.port }
        }
        _ if incoming.outcome() == Some("SUCCESS") => Answer::Done,
        _ => refusal(incoming),
    }
}

fn refusal(incoming: Incoming) -> Answer {
    let why = match incoming.outcome().unwrap_or_default() {
        "MESSAGE_SELF" | "USER_SELF" => Why::Yourself,
        "USER_NOT_EXIST" => Why::UserNotExist,
        "USER_BLOCKED" => Why::UserBlocked,
        "USER_OFFLINE" => Why::UserOffline,
        "NOT_BLOCKED" => Why::NotBlocked,
        "MAILBOX_FULL" => Why::MailboxFull,
        status => Why::Other(status.to_owned()),
    };
    Answer::Refused(Refusal {
        why,
        sentence: incoming.message,
        suggestion: incoming.suggestion,
        retry_after: incoming.retry_after,
    })
}

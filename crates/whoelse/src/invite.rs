//! `whoelse invite`: lines that make new people.

use whoelse_proto::Role;
use whoelse_server::{Invite, Operation, Place, Report};
use whoelse_term::shown::Shown;

use crate::cli::{InviteArguments, InviteCommand, InviteListArguments, InviteRevokeArguments};
use crate::operate::{self, Problem, say, say_done, spoken};

const DAY_MS: u64 = 24 * 3600 * 1000;

pub(crate) fn run(arguments: InviteArguments) -> Result<(), Problem> {
    match &arguments.command {
        None => make(&arguments),
        Some(InviteCommand::List(arguments)) => list(arguments),
        Some(InviteCommand::Revoke(arguments)) => revoke(arguments),
    }
}

fn make(arguments: &InviteArguments) -> Result<(), Problem> {
    let role = if arguments.admin { Role::Admin } else { Role::Member };
    let valid_ms = arguments.valid * DAY_MS;
    let address = arguments.public_address.clone();
    let (report, place) =
        operate::run(&arguments.data, Operation::Invite { role, valid_ms, address })?;
    let Report::Invited(invited) = report else { return Ok(()) };
    // The line itself comes first, for scripts.
    say(&format!("whoelse client {}", Shown::line(&invited.link)));
    let days = spoken(valid_ms);
    let becomes = match role {
        Role::Admin => "an administrator",
        Role::Member => "a member",
    };
    say(&format!("  For one person, who becomes {becomes}; valid for {days} unless taken back:"));
    say(&format!("  whoelse invite revoke {}", invited.number));
    if invited.is_guessed {
        say("  Its address is guessed. If others find the server elsewhere, say so with \
             --public-address HOST.");
    }
    if let Place::Folder(folder) = place {
        let folder = Shown::line(&folder.display().to_string());
        say(&format!("  No server uses {folder} now: start it before the line is run."));
    }
    Ok(())
}

fn list(arguments: &InviteListArguments) -> Result<(), Problem> {
    let (report, _) = operate::run(&arguments.data, Operation::Invites)?;
    let Report::Invites(invites) = report else { return Ok(()) };
    if arguments.json {
        operate::say_json(&invites);
        return Ok(());
    }
    if invites.is_empty() {
        say("No invite is open. Make one: whoelse invite");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = invites.iter().map(row).collect();
    operate::table(&["NUMBER", "ROLE", "BY", "VALID FOR"], &rows);
    Ok(())
}

fn row(invite: &Invite) -> Vec<String> {
    let by = match &invite.by {
        Some(name) => Shown::name(name).to_string(),
        None => "(operator)".into(),
    };
    let role = Shown::line(&invite.role).to_string();
    vec![invite.number.to_string(), role, by, spoken(invite.expires_in_ms)]
}

fn revoke(arguments: &InviteRevokeArguments) -> Result<(), Problem> {
    let number = arguments.number;
    let (_, place) = operate::run(&arguments.data, Operation::RevokeInvite { number })?;
    say_done(&format!("Invite {number} is taken back."), &place);
    Ok(())
}

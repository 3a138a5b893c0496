//! `whoelse user`: the people of a server.

use std::io::IsTerminal;

use whoelse_proto::Role;
use whoelse_server::{Operation, Person, Place, Report, check_name, check_password, wall_ms};
use whoelse_term::shown::Shown;

use crate::cli::{
    DataArguments, UserAddArguments, UserCommand, UserListArguments, UserPasswdArguments,
    UserRemoveArguments, UserRoleArguments,
};
use crate::operate::{self, Problem, say, say_done, spoken};

pub(crate) fn run(command: UserCommand) -> Result<(), Problem> {
    match command {
        UserCommand::List(arguments) => list(&arguments),
        UserCommand::Add(arguments) => add(&arguments),
        UserCommand::Passwd(arguments) => passwd(&arguments),
        UserCommand::Lock(arguments) => {
            let operation = Operation::Lock { name: arguments.name.clone() };
            let done = "cannot log in any more";
            simply(&arguments.data, &arguments.name, operation, done, "was locked already")
        }
        UserCommand::Unlock(arguments) => {
            let operation = Operation::Unlock { name: arguments.name.clone() };
            let done = "may log in again";
            simply(&arguments.data, &arguments.name, operation, done, "was not locked")
        }
        UserCommand::Remove(arguments) => remove(&arguments),
        UserCommand::Role(arguments) => role(&arguments),
    }
}

/// Has something done that needs no further question, and says how it ended.
fn simply(
    data: &DataArguments,
    name: &str,
    operation: Operation,
    done: &str,
    unchanged: &str,
) -> Result<(), Problem> {
    let (report, place) = operate::run(data, operation)?;
    let words = if report == Report::Unchanged { unchanged } else { done };
    say_done(&format!("{} {words}.", Shown::name(name)), &place);
    Ok(())
}

/// Whether there is such a person, before anything else is asked.
fn find(data: &DataArguments, name: &str) -> Result<(), Problem> {
    operate::run(data, Operation::Find { name: name.to_owned() }).map(drop)
}

fn add(arguments: &UserAddArguments) -> Result<(), Problem> {
    let name = &arguments.name;
    check_name(name)?;
    let password = operate::password(name, arguments.password_file.as_deref())?;
    check_password(name, &password)?;
    let role = if arguments.admin { Role::Admin } else { Role::Member };
    let (_, place) =
        operate::run(&arguments.data, Operation::Add { name: name.clone(), role, password })?;
    let name = Shown::name(name);
    say(&match place {
        Place::Server => format!("{name} can log in now."),
        Place::Folder(folder) => {
            let folder = Shown::line(&folder.display().to_string());
            format!(
                "{name} is added to {folder}, which no server uses now. Start one: \
                 whoelse server --data {folder}"
            )
        }
    });
    Ok(())
}

fn passwd(arguments: &UserPasswdArguments) -> Result<(), Problem> {
    let name = &arguments.name;
    find(&arguments.data, name)?;
    let password = operate::password(name, arguments.password_file.as_deref())?;
    check_password(name, &password)?;
    let operation = Operation::SetPassword { name: name.clone(), password };
    let (_, place) = operate::run(&arguments.data, operation)?;
    let name = Shown::name(name);
    let done = format!("{name} has a new password, and has to log in with it everywhere.");
    say_done(&done, &place);
    Ok(())
}

fn remove(arguments: &UserRemoveArguments) -> Result<(), Problem> {
    let name = &arguments.name;
    let shown = Shown::name(name);
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Problem::Usage(
                "there is no terminal to ask whether this is meant. Say so with --yes.".into(),
            ));
        }
        find(&arguments.data, name)?;
        say(&format!("This erases {shown} for good:"));
        say("password, devices, blocks, open invites, and mail that waits.");
        say(&format!("What {shown} wrote to others stays with them."));
        say("Nobody can have the name again.");
        if operate::ask_line("Type the name again to go on: ")? != *name {
            return Err(Problem::Usage("that is not the name. Nothing was changed.".into()));
        }
    }
    let done = "is removed, and the name is retired";
    let operation = Operation::Remove { name: name.clone() };
    simply(&arguments.data, name, operation, done, "was removed already")
}

fn role(arguments: &UserRoleArguments) -> Result<(), Problem> {
    let name = &arguments.name;
    let (done, unchanged) = match arguments.role {
        Role::Admin => ("is an administrator now", "was an administrator already"),
        Role::Member => ("is a member now", "was a member already"),
    };
    let operation = Operation::SetRole { name: name.clone(), role: arguments.role };
    simply(&arguments.data, name, operation, done, unchanged)
}

fn list(arguments: &UserListArguments) -> Result<(), Problem> {
    let (report, _) = operate::run(&arguments.data, Operation::List)?;
    let Report::People(people) = report else { return Ok(()) };
    if arguments.json {
        operate::say_json(&people);
        return Ok(());
    }
    if people.is_empty() {
        say("Nobody yet. Invite somebody: whoelse invite");
        return Ok(());
    }
    let now_ms = wall_ms();
    let rows: Vec<Vec<String>> = people.iter().map(|person| row(person, now_ms)).collect();
    operate::table(&["NAME", "ROLE", "STATE", "DEVICES", "WAITING"], &rows);
    Ok(())
}

fn row(person: &Person, now_ms: u64) -> Vec<String> {
    vec![
        Shown::name(&person.name).to_string(),
        Shown::line(&person.role).to_string(),
        state(person, now_ms),
        person.devices.to_string(),
        person.waiting.to_string(),
    ]
}

/// What keeps the person out comes first: that is what an operator looks for.
fn state(person: &Person, now_ms: u64) -> String {
    if person.locked {
        return "locked by an administrator".into();
    }
    if let Some(milliseconds) = person.locked_for_ms {
        let seconds = milliseconds.div_ceil(1000);
        let is_online = if person.online { "online, " } else { "" };
        return format!("{is_online}locked for {seconds} s after wrong passwords");
    }
    match person.last_seen_ms {
        _ if person.online => "online".into(),
        None => "never logged in".into(),
        Some(seen_ms) => format!("offline for {}", spoken(now_ms.saturating_sub(seen_ms))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_keeps_a_person_out() {
        let seen = Person {
            name: "ha\u{1b}[2Jns".into(),
            role: "member".into(),
            online: false,
            locked: false,
            locked_for_ms: None,
            last_seen_ms: Some(1_000),
            devices: 2,
            waiting: 3,
        };
        let cells = row(&seen, 3_601_000);
        assert_eq!(cells, ["ha\\u{1b}[2Jns", "member", "offline for 60 minutes", "2", "3"]);
        let shown = |person: Person| state(&person, 3_601_000);
        assert_eq!(shown(Person { last_seen_ms: None, ..seen.clone() }), "never logged in");
        let online = Person { online: true, ..seen };
        assert_eq!(shown(online.clone()), "online");
        let struck = Person { locked_for_ms: Some(1), ..online };
        assert_eq!(shown(struck.clone()), "online, locked for 1 s after wrong passwords");
        assert_eq!(shown(Person { locked: true, ..struck }), "locked by an administrator");
    }
}

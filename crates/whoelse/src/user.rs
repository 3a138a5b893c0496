//! `whoelse user`: the people of a server.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use whoelse_proto::Password;
use whoelse_proto::limits::PASSWORD_BYTES_MAX;
use whoelse_server::Added;

use crate::cli::{UserAddArguments, UserArguments, UserCommand};
use crate::complain;

pub(crate) fn run(arguments: UserArguments) -> ExitCode {
    match arguments.command {
        UserCommand::Add(arguments) => add(arguments),
    }
}

fn add(arguments: UserAddArguments) -> ExitCode {
    if let Err(failure) = whoelse_server::check_name(&arguments.name) {
        complain(&failure);
        return ExitCode::from(failure.exit_code());
    }
    let password = match &arguments.password_file {
        Some(path) => from_file(path),
        None => ask(&arguments.name),
    };
    let password = match password {
        Ok(password) => password,
        Err(what) => {
            complain(&what);
            return ExitCode::from(2);
        }
    };
    match whoelse_server::add_person(arguments.data, &arguments.name, password) {
        Ok(added) => {
            let said = match added {
                Added::ToServer => format!("{} can log in now.", arguments.name),
                Added::ToFolder(folder) => format!(
                    "{} is added to {}, which no server uses now. Start one: whoelse server --data {}",
                    arguments.name,
                    folder.display(),
                    folder.display()
                ),
            };
            writeln!(std::io::stdout(), "{said}").unwrap_or_default();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn ask(name: &str) -> Result<Password, String> {
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask for the password. Use --password-file FILE, or \
                    --password-file - for standard input."
            .into());
    }
    let read = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|error| format!("cannot read it: {error}"))
    };
    let password = Password::new(read(format!("Password for {name}: "))?);
    let again = Password::new(read("Again: ".to_owned())?);
    if password.expose() != again.expose() {
        return Err("the two passwords differ. Try again.".into());
    }
    Ok(password)
}

fn from_file(path: &Path) -> Result<Password, String> {
    let shown = path.display();
    let cannot = |error| format!("cannot read the password file {shown}: {error}.");
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    let mut line = String::new();
    let limit = PASSWORD_BYTES_MAX as u64 + 2;
    BufReader::new(source.take(limit)).read_line(&mut line).map_err(cannot)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(Password::new(line))
}

//! The command line as it is read.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_original_forms_work_word_for_word() {
    let Command::Server(server) =
        Cli::parse_from(["whoelse", "server", "12346", "10", "60"]).command
    else {
        panic!()
    };
    let config = server.config();
    assert_eq!((config.port, config.block_seconds, config.idle_seconds), (12346, 10, 60));
    let Command::Client(client) =
        Cli::parse_from(["whoelse", "client", "localhost", "12346"]).command
    else {
        panic!()
    };
    assert_eq!(client.target(None), Ok(("localhost".into(), Some(12346))));
}

fn client(words: &[&str]) -> Result<ClientArguments, clap::Error> {
    match Cli::try_parse_from([&["whoelse", "client"], words].concat())?.command {
        Command::Client(client) => Ok(client),
        _ => panic!(),
    }
}

#[test]
fn an_invite_stands_in_the_place_of_the_host() {
    let key = Fingerprint([7; 32]);
    let link = format!("whoelse://chat.example:443/{key}/CQkJCQkJCQkJCQkJCQkJCQ");
    let invite = client(&[&link]).unwrap().invite().unwrap().unwrap();
    assert_eq!((invite.place.host.as_str(), invite.place.port), ("chat.example", 443));
    assert_eq!(invite.key, key);
    let cut = client(&["WHOELSE://chat.example"]).unwrap().invite().unwrap();
    assert_eq!(cut, Err(LinkError::Cut));
    assert!(client(&["chat.example"]).unwrap().invite().is_none());
}

#[test]
fn keys_are_read_and_a_server_is_forgotten_by_name_only() {
    let key = Fingerprint([7; 32]);
    let read = client(&["a", "--fingerprint", &key.to_string()]).unwrap();
    assert_eq!(read.fingerprint, Some(key));
    let error = client(&["a", "--fingerprint", "4f:9c"]).err().expect("refused").to_string();
    assert!(error.contains("43 characters"), "{error}");
    assert!(client(&["--forget", "a"]).unwrap().forget);
    assert!(client(&["--forget"]).is_err());
    assert_eq!(client(&["--forget", "a", "7"]).unwrap().target(None), Ok(("a".into(), Some(7))));
}

#[test]
fn a_port_may_stand_behind_the_host_and_two_that_differ_are_refused() {
    for (words, host, port) in [
        (&["chat.example"][..], "chat.example", None),
        (&["chat.example:443"], "chat.example", Some(443)),
        (&["chat.example:443", "443"], "chat.example", Some(443)),
        (&["chat.example", "443"], "chat.example", Some(443)),
        (&["[::1]:12346"], "::1", Some(12346)),
        (&["[::1]"], "::1", None),
        (&["[::1]", "7"], "::1", Some(7)),
        (&["::1"], "::1", None),
        (&["2001:db8::1", "7"], "2001:db8::1", Some(7)),
        (&["localhost."], "localhost.", None),
        (&["a:b"], "a:b", None),
        (&["a:70000"], "a:70000", None),
        (&[":7"], ":7", None),
        (&["[::1]x"], "[::1]x", None),
    ] {
        let target = client(words).unwrap().target(None);
        assert_eq!(target, Ok((host.to_owned(), port)), "{words:?}");
    }
    let words = client(&["chat.example:443", "7"]).unwrap().target(None).unwrap_err();
    assert_eq!(words, "'chat.example:443' names port 443, not 7. Use one of them.");
    let key = Fingerprint([7; 32]);
    let link = format!("whoelse://chat.example:443/{key}/CQkJCQkJCQkJCQkJCQkJCQ");
    for (port, is_fine) in [("443", true), ("99", false)] {
        let invited = client(&[&link, port]).unwrap();
        let invite = invited.invite().unwrap().unwrap();
        let target = invited.target(Some(&invite));
        assert_eq!(target.is_ok(), is_fine, "{target:?}");
        assert!(is_fine || target.unwrap_err().starts_with("the invite leads to port 443"));
    }
}

#[test]
fn a_key_may_begin_with_a_dash() {
    // One key in 64 does, and the client prints this very command.
    let key = Fingerprint([0xf8; 32]);
    assert!(key.to_string().starts_with('-'));
    let read = client(&["a", "7", "--fingerprint", &key.to_string()]);
    assert_eq!(read.ok().and_then(|read| read.fingerprint), Some(key));
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [("0", 0), ("17", 17), ("2k", 2048), ("256M", 256 << 20), ("1G", 1 << 30)]
    {
        assert_eq!(size(text), Ok(bytes));
    }
}

#[test]
fn a_certificate_needs_its_key() {
    for flag in ["--tls-cert", "--tls-key"] {
        let error = Cli::try_parse_from(["whoelse", "server", flag, "x.pem"]).err();
        assert!(error.expect("refused").to_string().contains("required"));
    }
}

#[test]
fn help_is_enough_to_read() {
    for (command, words) in [
        ("server", "a name and a password on each line"),
        ("client", "the first line of standard input is the name"),
    ] {
        let mut cli = Cli::command();
        let command = cli.find_subcommand_mut(command).expect("there is one");
        let help =
            command.render_long_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn bad_numbers_are_refused_with_an_example() {
    for arguments in [
        ["server", "ten"].as_slice(),
        &["server", "70000"],
        &["server", "1", "x"],
        &["server", "1", "1", "-1"],
        &["server", "--connections", "0"],
        &["server", "--min-free", "much"],
        &["server", "--min-free", "99999999999999T"],
        &["server", "--behind-proxy", "localhost"],
    ] {
        let arguments = std::iter::once(&"whoelse").chain(arguments);
        let error = Cli::try_parse_from(arguments).err().expect("refused").to_string();
        assert!(error.contains("Example") || error.contains("unexpected"), "{error}");
    }
}

//! The real client at a terminal, as a person sees it: nothing overwrites what is being typed.

use serde_json::json;
use whoelse_tests::program::{Peer, Server, Terminal, password_of};

use super::{message, message_with_id, server, setup};

fn start(server: &Server) -> Terminal {
    let port = server.port().to_string();
    Terminal::start(server.program(), &["client", "localhost", &port], server.folder())
}

/// A client at a terminal, logged in and waiting for a command.
fn client(server: &Server, name: &str) -> Terminal {
    let mut terminal = start(server);
    log_in(&mut terminal, name);
    terminal
}

fn log_in(terminal: &mut Terminal, name: &str) {
    terminal.wait_for("Name:");
    terminal.type_text(&format!("{name}\r"));
    terminal.wait_for("Password:");
    terminal.type_text(&format!("{}\r", password_of(name)));
    terminal.wait_for(&format!("logged in as {name}"));
    wait_for_input(terminal, name, "");
}

/// The line being typed is whole: the prompt, and behind it this text, with the cursor at its end.
fn wait_for_input(terminal: &Terminal, name: &str, text: &str) {
    let whole = format!("{name}> {text}");
    terminal.wait_for_cursor_line(&whole, |line| line.trim_end() == whole.trim_end());
}

#[test]
fn the_password_is_not_shown() {
    let server = server(&["hans"]);
    let terminal = client(&server, "hans");
    let bytes = terminal.bytes();
    let secret = password_of("hans");
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[test]
fn a_wrong_password_is_asked_for_again_and_the_third_ends_the_client() {
    let server = setup(&["hans"]).block_seconds(30).start();
    let mut terminal = start(&server);
    terminal.wait_for("Name:");
    terminal.type_text("hans\r");
    for tries in 1..=3 {
        terminal.wait("the password is asked for", |lines| {
            lines.iter().filter(|line| line.contains("Password:")).count() == tries
        });
        terminal.type_text("wrong\r");
    }
    assert_eq!(terminal.wait_exit(), 4);
    let text = terminal.everything().join("\n");
    // The window's edge may fall between the two words, or into one.
    let unwrapped: String = text.split_whitespace().collect();
    assert!(unwrapped.contains("30seconds"), "{text}");
    assert_eq!(text.matches("Name:").count(), 1, "{text}");
}

#[test]
fn a_message_that_comes_while_one_is_typed_leaves_the_text_whole() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    hans.type_text("message luke half a sen");
    wait_for_input(&hans, "hans", "message luke half a sen");
    luke.message("hans", "am I interrupting?");
    hans.wait_for("luke: am I interrupting?");
    wait_for_input(&hans, "hans", "message luke half a sen");
    hans.type_text("tence\r");
    luke.expect_message("hans", "half a sentence");
    hans.wait_for("message luke: sent");
    wait_for_input(&hans, "hans", "");
}

#[test]
fn a_burst_of_200_messages_leaves_the_text_whole_and_all_are_shown_in_order() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    let text = "message luke typed while two hundred came";
    let mut keys = text.chars();
    for burst in 0..20 {
        luke.send_all((0..10).map(|number| {
            let text = format!("burst {:03}", burst * 10 + number);
            message_with_id("hans", &text, &text)
        }));
        hans.type_text(&keys.by_ref().take(2).collect::<String>());
    }
    hans.type_text(keys.as_str());
    hans.wait_for("luke: burst 199");
    wait_for_input(&hans, "hans", text);
    let shown: Vec<String> =
        hans.everything().into_iter().filter(|line| line.contains("burst")).collect();
    let wanted: Vec<String> = (0..200).map(|number| format!("luke: burst {number:03}")).collect();
    assert_eq!(shown, wanted);
    hans.type_text("\r");
    luke.until(|value| value["message"] == "typed while two hundred came");
}

#[test]
fn tab_completes_commands_and_names() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    hans.type_text("whoelse\r");
    hans.wait_for("1 other person is online");
    hans.type_text("mes\t");
    wait_for_input(&hans, "hans", "message ");
    hans.type_text("lu\t");
    wait_for_input(&hans, "hans", "message luke ");
    hans.type_text("hello\r");
    luke.until(|value| value["message"] == "hello");
}

#[test]
fn an_unknown_command_is_repeated_with_the_nearest() {
    let server = server(&["hans"]);
    let mut hans = client(&server, "hans");
    hans.type_text("mesage luke hello\r");
    hans.wait_for("mesage");
    hans.wait("the nearest command", |lines| {
        lines.iter().any(|line| line.contains("mesage") && line.contains("'message'"))
            || lines.iter().any(|line| line.contains("mesage") && line.contains("message?"))
    });
    hans.type_text("help\r");
    hans.wait_for("whoelsesince <seconds>");
}

#[test]
fn a_lost_server_leaves_the_text_whole_and_the_session_goes_on() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = client(&server, "hans");
    hans.type_text("message luke written across a cra");
    wait_for_input(&hans, "hans", "message luke written across a cra");
    server.kill9();
    hans.wait_for("connection lost");
    wait_for_input(&hans, "hans", "message luke written across a cra");
    hans.type_text("sh\r");
    hans.wait_for("message luke: kept");
    hans.type_text("broadcast to nobody\r");
    hans.wait_for("broadcast: not done");
    hans.type_text("half a line");
    server.restart();
    hans.wait_for("back after");
    hans.wait_for("message luke: sent");
    wait_for_input(&hans, "hans", "half a line");
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "written across a crash");
}

#[test]
fn wide_characters_and_long_lines_stay_whole_too() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    let text = format!("{} 日本語 é 👩🏽", "long ".repeat(20));
    hans.type_text(&format!("message luke {text}"));
    luke.message("hans", "漢字 in between");
    hans.wait_for("luke: 漢字 in between");
    hans.type_text(" end\r");
    luke.expect_message("hans", &format!("{text} end"));
}

#[test]
fn colours_and_sequences_of_others_do_not_reach_the_terminal() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let hans = client(&server, "hans");
    luke.expect("login_broadcast");
    luke.message("hans", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}");
    hans.wait_for(r"luke: \u{1b}[2J");
    hans.wait_for("logged in as hans"); // not cleared
}

#[test]
fn the_end_of_input_logs_out() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    hans.type_text("\u{4}");
    assert_eq!(hans.wait_exit(), 0);
    assert_eq!(luke.hear(), json!({"action": "logout_broadcast", "from": "hans", "message": ""}));
    assert_eq!(luke.status(&message("hans", "until next time")), "SUCCESS");
}

#[test]
fn a_new_password_is_asked_for_twice_and_never_shown() {
    let server = server(&["hans"]);
    let mut hans = client(&server, "hans");
    hans.type_text("passwd\r");
    hans.wait_for("Password until now:");
    hans.type_text(&format!("{}\r", password_of("hans")));
    for (new, again, says) in [
        ("short", None, "at least 8 characters"),
        ("long enough", Some("not the same"), "The two differ"),
        ("quite long enough", Some("quite long enough"), "* passwd: "),
    ] {
        hans.wait_for_cursor_line("the new password", |line| line.starts_with("New password ("));
        hans.type_text(&format!("{new}\r"));
        if let Some(again) = again {
            hans.wait_for_cursor_line("it again", |line| line.starts_with("Again:"));
            hans.type_text(&format!("{again}\r"));
        }
        hans.wait_for(says);
    }
    wait_for_input(&hans, "hans", "");
    let bytes = hans.bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("long enough") && !text.contains("not the same"), "{text}");
    hans.type_text("whoelse\r");
    hans.wait_for("nobody else is online");
}

/// A server that forgets the devices of hans while it is down, so that his client has to ask.
fn comes_back_without_devices(server: &mut Server) {
    server.kill9();
    let words = ["user", "passwd", "hans", "--password-file", "-", "--data", "data"];
    let ended = server.run(&words, &format!("{}\n", password_of("hans")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.restart();
}

#[test]
fn a_password_that_is_needed_in_the_middle_of_a_line_is_neither_shown_nor_mistaken_for_it() {
    for plain in [false, true] {
        let mut server = server(&["hans", "luke"]);
        let port = server.port().to_string();
        let mut words = vec!["client", "localhost", &port];
        words.extend(plain.then_some("--plain"));
        let mut hans = Terminal::start(server.program(), &words, server.folder());
        hans.wait_for("Name:");
        hans.type_text("hans\r");
        hans.wait_for("Password:");
        hans.type_text(&format!("{}\r", password_of("hans")));
        hans.wait_for("help lists the commands");
        hans.type_text("message luke half of it");
        hans.wait_for("half of it");
        comes_back_without_devices(&mut server);
        hans.wait_for("the password is needed");
        if !plain {
            hans.wait_for("Press Enter to type the password:");
        }
        hans.type_text("the-other-half\r");
        if !plain {
            hans.wait_for("That was not sent anywhere.");
            hans.type_text("\r");
        } else {
            hans.wait_for("Press Enter to type the password:");
            hans.type_text("\r");
        }
        hans.wait_for_cursor_line("the question", |line| line.starts_with("Password:"));
        hans.type_text("a wrong one\r");
        hans.wait_for("login hans:");
        hans.wait_for_cursor_line("the question", |line| line.starts_with("Password:"));
        hans.type_text(&format!("{}\r", password_of("hans")));
        hans.wait_for("back after");
        hans.type_text("whoelse\r");
        hans.wait_for("nobody else is online");
        let bytes = hans.bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("the-other-half") && !text.contains(&password_of("hans")), "{text}");
        let mut luke = Peer::protocol(&server, "luke");
        luke.expect_quiet();
        // The new device is known already.
        server.kill9();
        server.restart();
        hans.wait("it is back by itself", |lines| {
            lines.iter().filter(|line| line.contains("back after")).count() == 2
        });
    }
}

#[test]
fn the_operator_is_asked_for_a_new_password_twice() {
    let server = server(&["hans"]);
    let words = ["user", "add", "anna", "--data", "data"];
    let mut terminal = Terminal::start(server.program(), &words, server.folder());
    terminal.wait_for("Password for anna:");
    terminal.type_text(&format!("{}\r", password_of("anna")));
    terminal.wait_for("Again:");
    terminal.type_text(&format!("{}\r", password_of("anna")));
    terminal.wait_for("anna can log in now.");
    assert_eq!(terminal.wait_exit(), 0);
    Peer::plain(&server, "anna").hang_up();
}

#[test]
fn what_is_kept_can_be_read_before_the_server_is_there_and_messages_wait_for_it() {
    let mut server = server(&["hans", "luke"]);
    let state = server.folder().join("hans's machine");
    let port = server.port().to_string();
    let start = |server: &Server| {
        let words = ["client", "localhost", &port];
        Terminal::start_with(server.program(), &words, server.folder(), &state)
    };
    let mut first = start(&server);
    log_in(&mut first, "hans");
    first.type_text("message luke dinner?\r");
    first.wait_for("* message luke: sent");
    wait_for_input(&first, "hans", "");
    first.type_text("\u{4}");
    assert_eq!(first.wait_exit(), 0);
    server.kill9();

    let mut stranger = start(&server);
    stranger.wait_for("no connection to localhost");
    stranger.type_text("luke\r");
    assert_eq!(stranger.wait_exit(), 3, "nothing is kept here for luke");

    let mut terminal = start(&server);
    terminal.wait_for("no connection to localhost");
    terminal.type_text("hans\r");
    terminal.wait_for("* going on without the server");
    wait_for_input(&terminal, "hans", "");
    terminal.type_text("history luke\r");
    terminal.wait_for("-> luke (sent): dinner?");
    wait_for_input(&terminal, "hans", "");
    terminal.type_text("message luke or lunch?\r");
    terminal.wait_for("* message luke: kept");
    wait_for_input(&terminal, "hans", "");
    server.restart();
    terminal.wait_for("* logged in as hans");
    terminal.wait_for("* message luke: sent");
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "dinner?");
    luke.expect_message("hans", "or lunch?");
}

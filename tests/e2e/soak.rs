//! The rows of the soak on a small scale: what they find in minutes is looked for in seconds at
//! every change.

use whoelse_tests::soak::{Field, ROWS, Scale};

use super::PROGRAM;

/// Runs the row of this name.
fn hold(name: &str) {
    let field = Field::new(PROGRAM.as_ref(), 1).unwrap();
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let verdict = row.run(&field, Scale::Quick);
    // How long it took is judged where nothing else runs: by the program `soak`.
    let missed: Vec<&str> = verdict.missed().collect();
    assert!(verdict.is_right(), "{}\n{missed:#?}", verdict.line());
}

#[test]
fn killed_under_load_it_loses_repeats_and_reorders_nothing() {
    hold("kill-9");
}

#[test]
fn killed_while_the_database_is_written_it_loses_nothing() {
    hold("projector-killed");
}

#[test]
fn whatever_a_power_cut_leaves_holds_all_that_was_confirmed() {
    hold("power-cut");
}

#[test]
fn damaged_data_are_refused_or_as_they_were() {
    hold("damaged-data");
}

#[test]
fn on_a_disk_that_fails_it_confirms_nothing_and_ends() {
    hold("failing-disk");
}

#[test]
fn on_a_disk_that_cannot_be_read_it_refuses_or_ends_and_says_nothing_wrong() {
    hold("failing-reads");
}

#[test]
fn deleted_mail_is_in_no_file_a_minute_later() {
    hold("deleted-mail");
}

#[test]
fn clocks_that_jump_lock_nobody_out_and_let_nobody_in() {
    hold("clocks");
}

#[test]
fn told_to_end_among_many_it_loses_nothing_and_told_twice_it_ends_at_once() {
    hold("told-to-end");
}

#[test]
fn over_lines_that_stall_and_break_nothing_is_lost() {
    hold("network");
}

//! Files over links, one thing after the other.

use std::path::PathBuf;

use whoelse_proto::FileName;

use super::links_world::{World, accept, start, stop};
use super::*;
use crate::links::files::{
    FileEvent, FileFailure, FileId, FileNotice, FileOf, FileState, Progress,
};
use crate::links::notice::LinkWhy;
use crate::links::{LinkId, LinkNotice, LinkOptions, PeerEvent, PeerOrder};

fn send_file() -> Command {
    Command::SendFile { user: "luke".into(), path: PathBuf::from("/tmp/a.pdf") }
}

fn cancel(which: &str) -> Command {
    Command::Cancel { which: which.into() }
}

fn file(user: &str, sending: bool) -> FileOf {
    FileOf { user: user.into(), name: FileName::of("a.pdf"), sending }
}

impl World {
    fn file(&mut self, at: usize, file: u64, event: FileEvent) {
        let event = PeerEvent::File { file: FileId(file), event };
        self.ends[at].core.handle_peer(self.now_ms, event);
        self.settle();
    }

    /// What was ordered about files since the last time.
    fn file_orders(&mut self) -> Vec<(usize, PeerOrder)> {
        std::mem::take(&mut self.files)
    }

    fn file_notices(&mut self, at: usize) -> Vec<FileNotice> {
        let screen = std::mem::take(&mut self.ends[at].screen);
        let files = screen.into_iter().filter_map(|notice| match notice {
            Notice::File(notice) => Some(notice),
            _ => None,
        });
        files.collect()
    }

    fn file_states(&mut self, at: usize) -> Vec<FileState> {
        self.wants(at, Command::Files);
        self.settle();
        match self.ends[at].screen.pop() {
            Some(Notice::Answered { answer: Answer::Files { transfers: files, .. }, .. }) => {
                files.into_iter().map(|file| file.state).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn linked() -> World {
    let mut world = World::new(1);
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world
}

/// A world in which hans has offered a file, called 5 there and 9 at luke's.
fn offered() -> World {
    let mut world = linked();
    world.wants(0, send_file());
    world.settle();
    let [(0, PeerOrder::OfferFile { number, path, .. })] = &world.file_orders()[..] else {
        panic!("not offered")
    };
    assert_eq!(path, &PathBuf::from("/tmp/a.pdf"));
    let event = PeerEvent::Offering { number: *number, file: FileId(5) };
    world.ends[0].core.handle_peer(world.now_ms, event);
    world.file(0, 5, FileEvent::Asked { name: FileName::of("a.pdf"), size: 100 });
    let link = LinkId(1);
    world.file(1, 9, FileEvent::Offered { link, name: FileName::of("a.pdf"), size: 100 });
    let asked = FileNotice::Asked { file: file("luke", true), size: 100 };
    assert_eq!(world.file_notices(0), [asked]);
    let wanted = FileNotice::Wanted { file: file("hans", false), size: 100 };
    assert_eq!(world.file_notices(1), [wanted]);
    world
}

fn refused(command: Command, why: LinkWhy) -> Notice {
    answered(command, Answer::Refused(Refusal::new(Why::Link(why))))
}

const HALF: Progress = Progress { done: 50, total: 100, bytes_per_second: 10 };
const NONE: Progress = Progress { done: 0, total: 100, bytes_per_second: 0 };

#[test]
fn a_file_is_offered_accepted_and_arrives() {
    let mut world = offered();
    assert_eq!(world.file_states(0), [FileState::Asked { size: 100 }]);
    world.wants(1, accept("hans"));
    world.settle();
    assert_eq!(world.file_orders(), [(1, PeerOrder::AcceptFile { file: FileId(9) })]);
    for (at, id) in [(0, 5), (1, 9)] {
        world.file(at, id, FileEvent::Started);
        world.file(at, id, FileEvent::Progress(HALF));
    }
    assert_eq!(world.file_states(0), [FileState::Going(HALF)]);
    world.file(1, 9, FileEvent::Received { path: "/home/luke/a.pdf".into() });
    world.file(0, 5, FileEvent::Sent);
    let (ours, theirs) = (file("luke", true), file("hans", false));
    assert_eq!(
        world.file_notices(0),
        [
            FileNotice::Started { file: ours.clone(), again: false },
            FileNotice::Progress { number: 2, file: ours.clone(), progress: HALF },
            FileNotice::Sent { file: ours },
        ]
    );
    assert_eq!(
        world.file_notices(1).last(),
        Some(&FileNotice::Received { file: theirs, path: "/home/luke/a.pdf".into() })
    );
    assert_eq!((world.file_states(0), world.file_states(1)), (vec![], vec![]));
}

#[test]
fn without_a_link_one_is_asked_for_and_the_file_follows() {
    let mut world = World::new(1);
    world.wants(0, send_file());
    world.settle();
    assert_eq!(world.file_states(0), [FileState::Waits]);
    assert_eq!(world.file_notices(0), [FileNotice::Waits { file: file("luke", true) }]);
    assert_eq!(world.file_orders(), []);
    world.wants(1, accept("hans"));
    world.settle();
    assert!(matches!(world.file_orders()[..], [(0, PeerOrder::OfferFile { .. })]));
}

#[test]
fn a_link_that_does_not_come_about_takes_the_file_along() {
    let mut world = World::new(1);
    world.wants(0, send_file());
    world.settle();
    world.wants(1, Command::Decline { user: "hans".into() });
    world.settle();
    let failed = FileNotice::Failed { file: file("luke", true), why: FileFailure::NoLink };
    assert_eq!(world.file_notices(0).last(), Some(&failed));
    // The same for one that the server refuses.
    world.hang_up(1);
    world.wants(0, send_file());
    world.settle();
    assert_eq!(world.file_notices(0).last(), Some(&failed));
    assert_eq!(world.file_states(0), []);
}

#[test]
fn what_is_not_there_is_asked_of_nobody() {
    let links = LinkOptions { carried: true, ..Default::default() };
    let mut client =
        Client::of(Config { links, ..config(true) }).with_device(false).logged_in(WELCOME);
    client.wants(send_file());
    let number = 1;
    let check = PeerOrder::CheckFile { number, path: "/tmp/a.pdf".into() };
    assert_eq!(client.done(), [format!("{check:?}")]);
    client.core.handle_file_checked(client.now_ms, number, Err(FileFailure::NotAFile));
    let failed = FileNotice::Failed { file: file("luke", true), why: FileFailure::NotAFile };
    assert_eq!(client.notices(), [Notice::File(failed)]);
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn a_tilde_is_the_home_of_who_types() {
    let home = Some(PathBuf::from("/home/hans"));
    let links = LinkOptions { carried: true, home, ..Default::default() };
    let mut client =
        Client::of(Config { links, ..config(true) }).with_device(false).logged_in(WELCOME);
    for (typed, meant) in
        [("~/a b.pdf", "/home/hans/a b.pdf"), ("~a.pdf", "~a.pdf"), ("a~/b", "a~/b")]
    {
        client.wants(Command::SendFile { user: "luke".into(), path: typed.into() });
        let done = client.done();
        assert!(done[0].contains(&format!("{meant:?}")), "{done:?}");
    }
}

#[test]
fn declining_answers_the_file_and_tells_the_other() {
    let mut world = offered();
    world.wants(1, Command::Decline { user: "hans".into() });
    world.settle();
    assert_eq!(world.file_orders(), [(1, PeerOrder::DeclineFile { file: FileId(9) })]);
    // What whoever carries it says to that is no news.
    world.file(1, 9, FileEvent::Failed(FileFailure::Declined));
    assert_eq!(world.file_notices(1), []);
    world.file(0, 5, FileEvent::Failed(FileFailure::Declined));
    let failed = FileNotice::Failed { file: file("luke", true), why: FileFailure::Declined };
    assert_eq!(world.file_notices(0), [failed]);
    world.wants(1, accept("hans"));
    world.settle();
    assert_eq!(world.ends[1].screen.pop(), Some(refused(accept("hans"), LinkWhy::NotAsked)));
}

#[test]
fn the_oldest_question_is_answered_first_be_it_a_link_or_a_file() {
    let mut world = offered();
    // The link breaks on one side only, which asks for another.
    world.ends[0].core.handle_peer(world.now_ms, PeerEvent::Bye { link: LinkId(1) });
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    assert_eq!(world.file_orders(), [(1, PeerOrder::AcceptFile { file: FileId(9) })]);
    world.wants(1, accept("hans"));
    world.settle();
    let being = LinkNotice::Being { user: "hans".into(), asked: false };
    let screen = &world.ends[1].screen;
    assert!(screen.contains(&Notice::Link(being)), "{screen:?}");
}

#[test]
fn a_file_is_cancelled_by_the_person_or_the_number() {
    for which in ["luke", "2"] {
        let mut world = offered();
        world.wants(0, cancel("yoda"));
        world.wants(0, cancel("1"));
        world.wants(0, cancel(which));
        world.settle();
        assert_eq!(
            world.ends[0].screen[..2],
            [refused(cancel("yoda"), LinkWhy::NoFile), refused(cancel("1"), LinkWhy::NoFile)]
        );
        assert_eq!(world.file_orders(), [(0, PeerOrder::CancelFile { file: FileId(5) })]);
        world.file(0, 5, FileEvent::Failed(FileFailure::Cancelled));
        let failed = FileNotice::Failed { file: file("luke", true), why: FileFailure::Cancelled };
        assert_eq!(world.file_notices(0), [failed], "told once");
    }
    let mut world = offered();
    world.wants(0, send_file());
    world.settle();
    world.wants(0, cancel("luke"));
    world.settle();
    assert_eq!(world.ends[0].screen.pop(), Some(refused(cancel("luke"), LinkWhy::SeveralFiles)));
}

#[test]
fn a_file_outlives_its_link_and_its_run() {
    let mut world = offered();
    world.file(0, 5, FileEvent::Started);
    world.file(0, 5, FileEvent::Progress(HALF));
    world.wants(0, stop("luke"));
    world.settle();
    world.file(0, 5, FileEvent::Waiting);
    world.file_notices(0);
    assert_eq!(world.file_states(0), [FileState::Interrupted(HALF)]);
    world.file(0, 5, FileEvent::Started);
    let again = FileNotice::Started { file: file("luke", true), again: true };
    assert_eq!(world.file_notices(0), [again]);
    // The next run hears of it by the device.
    let mut world = World::new(1);
    let kept = FileEvent::Kept {
        device: format!("{} luke", DeviceKey([2; 32])),
        name: FileName::of("a.pdf"),
        size: 100,
        sending: true,
    };
    world.file(0, 1, kept);
    let kept = FileNotice::Kept { file: file("luke", true), size: 100 };
    assert_eq!(world.file_notices(0), [kept]);
    assert_eq!(world.file_states(0), [FileState::Interrupted(NONE)]);
}

#[test]
fn a_file_waits_as_long_as_nothing_is_heard() {
    let mut world = offered();
    world.file(0, 5, FileEvent::Started);
    world.file(0, 5, FileEvent::Progress(HALF));
    world.file_notices(0);
    let (now_ms, link) = (world.now_ms, LinkId(1));
    world.ends[0].core.handle_peer(now_ms, PeerEvent::Silent { link });
    world.settle();
    let ours = file("luke", true);
    let waiting = FileNotice::Waiting { file: ours.clone(), progress: HALF };
    assert_eq!(world.file_notices(0), [waiting]);
    // Whoever carries it may find out, too, or not.
    world.file(0, 5, FileEvent::Waiting);
    world.ends[0].core.handle_peer(now_ms, PeerEvent::Heard { link });
    world.file(0, 5, FileEvent::Progress(HALF));
    assert_eq!(
        world.file_notices(0),
        [
            FileNotice::Started { file: ours.clone(), again: true },
            FileNotice::Progress { number: 2, file: ours, progress: HALF }
        ]
    );
}

#[test]
fn a_script_ends_when_what_moves_has_arrived_and_a_person_at_once() {
    let mut world = offered();
    world.file(0, 5, FileEvent::Started);
    world.ends[0].core.handle_end_of_input(world.now_ms);
    for _ in 0..20 {
        world.wait(1_000);
        world.file(0, 5, FileEvent::Progress(HALF));
        assert_eq!(world.ends[0].core.ending(), None);
    }
    world.file(0, 5, FileEvent::Sent);
    world.wait(1_000);
    world.wait(6_000);
    assert!(world.ends[0].core.ending().is_some());

    let mut world = offered();
    world.file(0, 5, FileEvent::Started);
    world.file(0, 5, FileEvent::Progress(HALF));
    world.file_notices(0);
    world.ends[0].core.handle_interrupt();
    world.settle();
    let waiting = FileNotice::Waiting { file: file("luke", true), progress: HALF };
    assert_eq!(world.file_notices(0), [waiting]);
}

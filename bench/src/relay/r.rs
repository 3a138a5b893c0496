//! R, the floor: lines `destination payload`, and the payload goes to the destination.
//!
//! The first line of a connection is the number it wants to be reached by, answered with `ok`.
//! No program that carries messages over TCP can do less, so R shows what the kernel costs.

use crate::relay::{Outbox, Rules};

/// Numbers above this are not given out, so that the table stays small.
const NUMBER_MAX: usize = 100_000;

/// The rules of R: who is reached by which number.
#[derive(Debug, Default)]
pub(crate) struct Bare {
    connections_by_number: Vec<Option<usize>>,
    numbers_by_connection: Vec<Option<usize>>,
}

impl Rules for Bare {
    fn line(&mut self, from: usize, line: &[u8], outbox: &mut Outbox) {
        let (number, rest) = split_number(line);
        let known = self.numbers_by_connection.get(from).is_some_and(Option::is_some);
        if !known {
            if let Some(number) = number {
                self.register(from, number);
                outbox.of(from).extend_from_slice(b"ok\n");
            }
            return;
        }
        let to = number.and_then(|number| self.connections_by_number.get(number).copied());
        if let Some(Some(to)) = to {
            let out = outbox.of(to);
            out.extend_from_slice(rest);
            out.push(b'\n');
        }
    }

    fn gone(&mut self, who: usize) {
        let number = self.numbers_by_connection.get_mut(who).and_then(Option::take);
        if let Some(number) = number
            && self.connections_by_number[number] == Some(who)
        {
            self.connections_by_number[number] = None;
        }
    }
}

impl Bare {
    fn register(&mut self, who: usize, number: usize) {
        if self.connections_by_number.len() <= number {
            self.connections_by_number.resize(number + 1, None);
        }
        if self.numbers_by_connection.len() <= who {
            self.numbers_by_connection.resize(who + 1, None);
        }
        self.connections_by_number[number] = Some(who);
        self.numbers_by_connection[who] = Some(number);
    }
}

/// Takes the decimal number and the space after it off the front of a line.
fn split_number(line: &[u8]) -> (Option<usize>, &[u8]) {
    let mut number = 0;
    for (index, byte) in line.iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b' ' if index > 0 => return (Some(number), &line[index + 1..]),
            _ => return (None, line),
        }
        if number > NUMBER_MAX {
            return (None, line);
        }
    }
    (if line.is_empty() { None } else { Some(number) }, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_number_and_the_rest() {
        assert_eq!(split_number(b"17 hello you"), (Some(17), &b"hello you"[..]));
        assert_eq!(split_number(b"17"), (Some(17), &b""[..]));
        assert_eq!(split_number(b""), (None, &b""[..]));
        assert_eq!(split_number(b" 1"), (None, &b" 1"[..]));
        assert_eq!(split_number(b"1x"), (None, &b"1x"[..]));
        assert_eq!(split_number(b"99999999999999999999999 x").0, None);
    }
}

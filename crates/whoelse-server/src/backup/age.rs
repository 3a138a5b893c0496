//! Encrypts and decrypts in the format of age (age-encryption.org/v1), to X25519 keys.
//!
//! Only the format is ours, the cryptography is not. The crate `age` brings 69 others along, for
//! translated messages and passphrases; this is what a backup needs of it. Whatever else reads the
//! format opens our backups, and we open what `age` has encrypted to one of its usual keys.
//!
//! ```text
//! age-encryption.org/v1
//! -> X25519 <our ephemeral key>          for each recipient, and who else may open it
//! <the file key, encrypted>
//! --- <sum over the header>
//! nonce (16 bytes), then chunks of 64 KiB, each with 16 bytes of proof
//! ```

use std::io::{self, BufRead, Read, Write};

use base64ct::{Base64Unpadded, Encoding};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::bech32;

const VERSION: &str = "age-encryption.org/v1";
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
const FILE_KEY_BYTES: usize = 16;

/// Longest line of a header, and most lines: more is no header.
const LINE_BYTES_MAX: u64 = 4096;
const LINES_MAX: usize = 200;

/// Who may open a backup: `age1…`.
#[derive(Clone, Debug)]
pub(crate) struct Recipient(PublicKey);

/// What opens it: `AGE-SECRET-KEY-1…`.
pub(crate) struct Identity(StaticSecret);

/// Why something cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgeError {
    #[error("it is encrypted to another key")]
    OtherKey,
    #[error("it is encrypted with a passphrase, not to a key")]
    Passphrase,
    #[error("it is damaged or cut off")]
    Damaged,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Recipient {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::of(PublicKey::from(bech32::decode("age", text)?))
    }

    /// Nothing for the few points with which everybody shares the same secret.
    fn of(key: PublicKey) -> Option<Self> {
        let anybody = StaticSecret::from([1; 32]);
        anybody.diffie_hellman(&key).was_contributory().then_some(Self(key))
    }
}

impl Identity {
    /// Those in the text of a file as `age-keygen` writes it. Nothing if there is none, or anything
    /// else.
    pub(crate) fn parse_all(text: &str) -> Option<Vec<Self>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all = lines.map(Self::parse).collect::<Option<Vec<Self>>>()?;
        (!all.is_empty()).then_some(all)
    }

    fn parse(line: &str) -> Option<Self> {
        let secret = Zeroizing::new(bech32::decode("age-secret-key-", line)?);
        Some(Self(StaticSecret::from(*secret)))
    }

    /// One that is forgotten when it has served.
    pub(super) fn fresh() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(&mut *bytes)?;
        Ok(Self(StaticSecret::from(*bytes)))
    }

    pub(super) fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0))
    }
}

/// Encrypts what is written to it; [`Self::finish`] must be called.
pub(super) struct Sealer<W> {
    inner: W,
    chunks: Chunks,
    buffer: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(mut inner: W, recipients: &[Recipient]) -> io::Result<Self> {
        let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
        random(&mut *file_key)?;
        let mut header = format!("{VERSION}\n");
        for recipient in recipients {
            let ephemeral = Identity::fresh()?;
            let share = PublicKey::from(&ephemeral.0);
            let shared = Zeroizing::new(ephemeral.0.diffie_hellman(&recipient.0).to_bytes());
            let wrap = wrap_key(&*shared, &share, &recipient.0);
            let mut body = file_key.to_vec();
            seal(&wrap, [0; 12], &mut body)?;
            let (share, body) = (
                Base64Unpadded::encode_string(share.as_bytes()),
                Base64Unpadded::encode_string(&body),
            );
            header.push_str(&format!("-> X25519 {share}\n{body}\n"));
        }
        header.push_str("---");
        let sum = hmac::sign(&header_key(&*file_key), header.as_bytes());
        let mut nonce = [0; 16];
        random(&mut nonce)?;
        writeln!(inner, "{header} {}", Base64Unpadded::encode_string(sum.as_ref()))?;
        inner.write_all(&nonce)?;
        let chunks = Chunks::new(&*file_key, &nonce);
        Ok(Self { inner, chunks, buffer: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.inner)
    }

    fn put(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = self.chunks.nonce(is_last);
        seal(&self.chunks.key, nonce, &mut self.buffer)?;
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is kept until it is known whether it is the last.
        if self.buffer.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts what it reads. Each chunk is proven before any of it is passed on.
pub(super) struct Opener<R> {
    inner: R,
    chunks: Chunks,
    /// The first byte of the next chunk tells that there is one.
    ahead: Vec<u8>,
    plain: Vec<u8>,
    read: usize,
    is_over: bool,
}

impl<R: BufRead> Opener<R> {
    pub(super) fn new(mut inner: R, identities: &[Identity]) -> Result<Self, AgeError> {
        let file_key = read_header(&mut inner, identities)?;
        let mut nonce = [0; 16];
        inner.read_exact(&mut nonce).map_err(cut)?;
        let chunks = Chunks::new(&*file_key, &nonce);
        let (ahead, plain) = (Vec::new(), Vec::new());
        Ok(Self { inner, chunks, ahead, plain, read: 0, is_over: false })
    }

    /// Makes the next chunk readable.
    fn next(&mut self) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.ahead);
        let wanted = (CHUNK_BYTES + TAG_BYTES + 1 - chunk.len()) as u64;
        (&mut self.inner).take(wanted).read_to_end(&mut chunk)?;
        self.is_over = chunk.len() <= CHUNK_BYTES + TAG_BYTES;
        if !self.is_over {
            self.ahead.extend(chunk.pop());
        }
        let is_first = self.chunks.number == 0;
        let nonce = self.chunks.nonce(self.is_over);
        let length = open(&self.chunks.key, nonce, &mut chunk)
            .filter(|length| is_first || *length > 0)
            .ok_or_else(damaged)?;
        chunk.truncate(length);
        (self.plain, self.read) = (chunk, 0);
        Ok(())
    }
}

impl<R: BufRead> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.plain.len() {
            if self.is_over {
                return Ok(0);
            }
            self.next()?;
        }
        let count = buffer.len().min(self.plain.len() - self.read);
        buffer[..count].copy_from_slice(&self.plain[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// Finds the part that is for us, and checks that nobody has changed the header.
fn read_header(
    from: &mut impl BufRead,
    identities: &[Identity],
) -> Result<Zeroizing<[u8; FILE_KEY_BYTES]>, AgeError> {
    let mut header = String::new();
    let mut found: Option<Zeroizing<[u8; FILE_KEY_BYTES]>> = None;
    let mut share = None;
    let mut has_passphrase = false;
    for number in 0..LINES_MAX {
        let mut line = String::new();
        from.take(LINE_BYTES_MAX).read_line(&mut line).map_err(cut)?;
        let text = line.strip_suffix('\n').ok_or(AgeError::Damaged)?;
        if number == 0 && text != VERSION {
            return Err(AgeError::Damaged);
        }
        if let Some(sum) = text.strip_prefix("--- ") {
            header.push_str("---");
            let other = if has_passphrase { AgeError::Passphrase } else { AgeError::OtherKey };
            let file_key = found.ok_or(other)?;
            let sum = Base64Unpadded::decode_vec(sum).map_err(|_| AgeError::Damaged)?;
            let is_whole = hmac::verify(&header_key(&*file_key), header.as_bytes(), &sum);
            return is_whole.map(|()| file_key).map_err(|_| AgeError::Damaged);
        }
        if let Some(share) = share.take() {
            let mut opened = identities.iter().filter_map(|it| unwrap(it, share, text));
            found = found.or_else(|| opened.next());
        }
        has_passphrase |= text.starts_with("-> scrypt ");
        if let Some(text) = text.strip_prefix("-> X25519 ") {
            share = Some(decode_32(text).ok_or(AgeError::Damaged)?);
        }
        header.push_str(&line);
    }
    Err(AgeError::Damaged)
}

fn unwrap(
    identity: &Identity,
    share: [u8; 32],
    body: &str,
) -> Option<Zeroizing<[u8; FILE_KEY_BYTES]>> {
    let share = PublicKey::from(share);
    let shared = identity.0.diffie_hellman(&share);
    if !shared.was_contributory() {
        return None;
    }
    let wrap = wrap_key(shared.as_bytes(), &share, &PublicKey::from(&identity.0));
    let mut body = Zeroizing::new(Base64Unpadded::decode_vec(body).ok()?);
    let length = open(&wrap, [0; 12], &mut body)?;
    body.get(..length)?.try_into().ok().map(Zeroizing::new)
}

fn decode_32(text: &str) -> Option<[u8; 32]> {
    Base64Unpadded::decode_vec(text).ok()?.try_into().ok()
}

/// The key of the chunks, and which one is next.
struct Chunks {
    key: LessSafeKey,
    number: u64,
}

impl Chunks {
    fn new(file_key: &[u8], nonce: &[u8]) -> Self {
        let key = cipher(&*derive(nonce, file_key, b"payload"));
        Self { key, number: 0 }
    }

    fn nonce(&mut self, is_last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.number += 1;
        nonce
    }
}

fn wrap_key(shared: &[u8], share: &PublicKey, recipient: &PublicKey) -> LessSafeKey {
    let salt = [*share.as_bytes(), *recipient.as_bytes()].concat();
    cipher(&*derive(&salt, shared, b"age-encryption.org/v1/X25519"))
}

fn header_key(file_key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &*derive(&[], file_key, b"header"))
}

fn derive(salt: &[u8], secret: &[u8], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let made = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    made.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|made| made.fill(&mut *key))
        .expect("32 bytes are what the hash gives");
    key
}

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("keys have 32 bytes"))
}

fn seal(key: &LessSafeKey, nonce: [u8; 12], bytes: &mut Vec<u8>) -> io::Result<()> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), bytes)
        .map_err(|_| io::Error::other("it is too long to be encrypted"))
}

/// Returns how many bytes it holds; nothing if they are not what was sealed.
fn open(key: &LessSafeKey, nonce: [u8; 12], bytes: &mut [u8]) -> Option<usize> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.open_in_place(nonce, Aad::empty(), bytes).ok().map(|plain| plain.len())
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::other)
}

fn cut(error: io::Error) -> AgeError {
    match error.kind() {
        // The latter: a line that is no text.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => AgeError::Damaged,
        _ => error.into(),
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged or cut off")
}

#[cfg(test)]
mod tests;

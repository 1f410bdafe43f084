//! Incremental decoding. Each id has its bytes in a table; what a stream holds back is at most an
//! unfinished character (byte-level vocabularies) or an unfinished run of byte tokens
//! (SentencePiece with byte fallback, where one bad byte turns its whole run into U+FFFD).

use std::sync::Arc;

const REPLACEMENT: &str = "\u{fffd}";

/// How the tokenizer's decoder joins the pieces of ids.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// The pieces are bytes; the text is their UTF-8, with U+FFFD as String::from_utf8_lossy places
    /// it.
    ByteLevel,
    /// The pieces are text or single bytes; up to `strip` blanks at the very start go.
    ByteFallback { strip: usize },
}

/// The bytes of every id.
pub struct Pieces {
    pub scheme: Scheme,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    flags: Vec<u8>,
}

pub const FLAG_SPECIAL: u8 = 1;
pub const FLAG_BYTE: u8 = 2;

impl Pieces {
    pub fn new(scheme: Scheme) -> Pieces {
        Pieces { scheme, bytes: Vec::new(), ends: Vec::new(), flags: Vec::new() }
    }

    /// Appends the next id; an id without a token gets an empty piece. False when the table is
    /// full.
    pub fn add(&mut self, piece: &[u8], flags: u8) -> bool {
        self.bytes.extend_from_slice(piece);
        self.flags.push(flags);
        let end = u32::try_from(self.bytes.len());
        self.ends.push(end.unwrap_or(u32::MAX));
        end.is_ok()
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, id: i32) -> (&[u8], u8) {
        let Some(id) = usize::try_from(id).ok().filter(|&id| id < self.ends.len()) else {
            return (&[], 0);
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        (&self.bytes[start..self.ends[id] as usize], self.flags[id])
    }
}

pub struct StreamDecoder {
    pieces: Arc<Pieces>,
    skip_special: bool,
    held: Vec<u8>,
    run_is_bad: bool,
    run_checked: usize,
    strip_left: usize,
    /// The text that the last call made final.
    pub text: String,
}

impl StreamDecoder {
    pub fn new(pieces: Arc<Pieces>, skip_special: bool) -> StreamDecoder {
        let strip_left = match pieces.scheme {
            Scheme::ByteLevel => 0,
            Scheme::ByteFallback { strip } => strip,
        };
        StreamDecoder {
            pieces,
            skip_special,
            held: Vec::new(),
            run_is_bad: false,
            run_checked: 0,
            strip_left,
            text: String::new(),
        }
    }

    /// Appends one id; `text` is what became final.
    pub fn push(&mut self, id: i32) {
        self.text.clear();
        let pieces = Arc::clone(&self.pieces);
        let (piece, flags) = pieces.get(id);
        if piece.is_empty() || (self.skip_special && flags & FLAG_SPECIAL != 0) {
            return;
        }
        match self.pieces.scheme {
            Scheme::ByteLevel => {
                self.held.extend_from_slice(piece);
                self.emit_characters();
            }
            Scheme::ByteFallback { .. } if flags & FLAG_BYTE != 0 => self.push_run_byte(piece[0]),
            Scheme::ByteFallback { .. } => {
                self.end_run();
                self.emit(&String::from_utf8_lossy(piece));
            }
        }
    }

    /// The end: `text` is what was held back.
    pub fn flush(&mut self) {
        self.text.clear();
        match self.pieces.scheme {
            Scheme::ByteLevel => {
                if !self.held.is_empty() {
                    self.text.push_str(REPLACEMENT);
                }
                self.held.clear();
            }
            Scheme::ByteFallback { .. } => self.end_run(),
        }
    }

    /// Moves whole characters, and U+FFFD for what can never become one, from `held` to `text`.
    fn emit_characters(&mut self) {
        let mut from = 0;
        loop {
            match std::str::from_utf8(&self.held[from..]) {
                Ok(valid) => {
                    self.text.push_str(valid);
                    from = self.held.len();
                    break;
                }
                Err(error) => {
                    let valid_end = from + error.valid_up_to();
                    self.text.push_str(&String::from_utf8_lossy(&self.held[from..valid_end]));
                    from = valid_end;
                    match error.error_len() {
                        Some(bad) => {
                            self.text.push_str(REPLACEMENT);
                            from += bad;
                        }
                        None => break,
                    }
                }
            }
        }
        self.held.drain(..from);
    }

    /// A run that is valid so far stays whole, since only its end decides whether it is text.
    /// `run_checked` keeps this linear: every byte before it belongs to a whole character.
    fn push_run_byte(&mut self, byte: u8) {
        self.held.push(byte);
        if !self.run_is_bad {
            match std::str::from_utf8(&self.held[self.run_checked..]) {
                Ok(_) => self.run_checked = self.held.len(),
                Err(error) => self.run_is_bad = error.error_len().is_some(),
            }
        }
        if self.run_is_bad {
            let count = self.held.len();
            self.held.clear();
            self.emit(&REPLACEMENT.repeat(count));
        }
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.held);
        self.run_is_bad = false;
        self.run_checked = 0;
        match std::str::from_utf8(&run) {
            Ok(text) => self.emit(text),
            Err(_) => self.emit(&REPLACEMENT.repeat(run.len())),
        }
    }

    fn emit(&mut self, text: &str) {
        let mut text = text;
        while self.strip_left > 0 && !text.is_empty() {
            match text.strip_prefix(' ') {
                Some(rest) => {
                    text = rest;
                    self.strip_left -= 1;
                }
                None => self.strip_left = 0,
            }
        }
        self.text.push_str(text);
    }
}

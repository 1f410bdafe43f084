//! Hugging Face tokenizers: text to ids and back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokenizers::{Model, Normalizer, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer};

use crate::decode::{Pieces, Scheme, FLAG_BYTE, FLAG_SPECIAL};
use crate::{Failure, Kind};

pub const TEXT_BYTES_MAX: usize = 16 << 20;
const FILE_BYTES_MAX: usize = 256 << 20;
const IDS_MAX: usize = 1 << 24;

pub struct Coder {
    tokenizer: Tokenizer,
    pub pieces: Arc<Pieces>,
}

fn broken(message: String) -> Failure {
    Failure::new(Kind::FailedPrecondition, message)
}

fn internal(error: tokenizers::Error) -> Failure {
    Failure::new(Kind::Internal, format!("tokenizer: {error}"))
}

impl Coder {
    pub fn load(json: &[u8]) -> Result<Coder, Failure> {
        if json.len() > FILE_BYTES_MAX {
            return Err(broken(format!("{} bytes, at most {FILE_BYTES_MAX}", json.len())));
        }
        let mut tokenizer =
            Tokenizer::from_bytes(json).map_err(|error| broken(error.to_string()))?;
        // These are settings of batches in training; a prompt is never cut or padded.
        tokenizer.with_truncation(None).map_err(internal)?;
        tokenizer.with_padding(None);
        let scheme = scheme_of(&tokenizer)?;
        let pieces = Arc::new(collect_pieces(&tokenizer, scheme)?);
        Ok(Coder { tokenizer, pieces })
    }

    pub fn encode(
        &self,
        text: &str,
        parse_special: bool,
        add_special: bool,
    ) -> Result<Vec<u32>, Failure> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("text: {} bytes, at most {TEXT_BYTES_MAX}", text.len());
            return Err(Failure::new(Kind::InvalidArgument, message));
        }
        let encoding = if parse_special {
            self.tokenizer.encode_fast(text, add_special).map_err(internal)?
        } else {
            self.encode_plain(text, add_special).map_err(internal)?
        };
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokenizer's own steps without its search for added tokens.
    fn encode_plain(
        &self,
        text: &str,
        add_special: bool,
    ) -> tokenizers::Result<tokenizers::Encoding> {
        let mut words = PreTokenizedString::from(text);
        if let Some(normalizer) = self.tokenizer.get_normalizer() {
            words.normalize(|piece| normalizer.normalize(piece))?;
        }
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut words)?;
        }
        words.tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get()))?;
        let encoding = words.into_encoding(None, 0, OffsetType::None)?;
        self.tokenizer.post_process(encoding, None, add_special)
    }

    /// Ids without a token decode to nothing.
    pub fn decode(&self, ids: &[i32], skip_special: bool) -> Result<String, Failure> {
        let known: Vec<u32> = ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
        self.tokenizer.decode(&known, skip_special).map_err(internal)
    }

    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }
}

/// Which of the two known ways the decoder works in; another one would stream wrong text, so it is
/// refused.
fn scheme_of(tokenizer: &Tokenizer) -> Result<Scheme, Failure> {
    let decoder =
        serde_json::to_value(tokenizer.get_decoder()).map_err(|error| broken(error.to_string()))?;
    let kind = |part: &serde_json::Value| part["type"].as_str().unwrap_or_default().to_string();
    if kind(&decoder) == "ByteLevel" {
        return Ok(Scheme::ByteLevel);
    }
    let parts: Vec<serde_json::Value> = decoder["decoders"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<String> = parts.iter().map(kind).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let replaces = parts
        .first()
        .is_some_and(|part| part["pattern"]["String"] == "\u{2581}" && part["content"] == " ");
    let strip =
        parts.get(3).map(|part| (part["start"].as_u64(), part["stop"].as_u64(), &part["content"]));
    match (kinds.as_slice(), strip) {
        (["ByteLevel"], _) => Ok(Scheme::ByteLevel),
        (["Replace", "ByteFallback", "Fuse"], _) if replaces => {
            Ok(Scheme::ByteFallback { strip: 0 })
        }
        (["Replace", "ByteFallback", "Fuse", "Strip"], Some((Some(start), Some(0), blank)))
            if replaces && blank == " " && start <= 16 =>
        {
            Ok(Scheme::ByteFallback { strip: start as usize })
        }
        _ => Err(broken(format!(
            "its decoder is neither byte-level nor SentencePiece with byte fallback: {} {}",
            kind(&decoder),
            kinds.join(" ")
        ))),
    }
}

/// The characters that stand for bytes in a byte-level vocabulary: printable ones for themselves,
/// the other bytes in their order from U+0100.
fn byte_of_character() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0u32;
    let mut map = HashMap::new();
    for byte in 0..=255u8 {
        let code = if printable(byte) {
            u32::from(byte)
        } else {
            others += 1;
            255 + others
        };
        map.extend(char::from_u32(code).map(|c| (c, byte)));
    }
    map
}

fn collect_pieces(tokenizer: &Tokenizer, scheme: Scheme) -> Result<Pieces, Failure> {
    let added = tokenizer.get_added_tokens_decoder();
    let special: HashSet<String> =
        added.values().filter(|token| token.special).map(|token| token.content.clone()).collect();
    let vocab = tokenizer.get_vocab(true);
    let count = vocab.values().map(|&id| id as usize + 1).max().unwrap_or(0);
    if count > IDS_MAX {
        return Err(broken(format!("an id of {} is beyond {IDS_MAX}", count - 1)));
    }
    let bytes = byte_of_character();
    let mut pieces = Pieces::new(scheme);
    for id in 0..count as u32 {
        let token = tokenizer.id_to_token(id).unwrap_or_default();
        let mut flags = if special.contains(&token) { FLAG_SPECIAL } else { 0 };
        let piece = match scheme {
            Scheme::ByteLevel => {
                let mapped: Option<Vec<u8>> =
                    token.chars().map(|c| bytes.get(&c).copied()).collect();
                mapped.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Scheme::ByteFallback { .. } => match fallback_byte(&token) {
                Some(byte) => {
                    flags |= FLAG_BYTE;
                    vec![byte]
                }
                None => token.replace('\u{2581}', " ").into_bytes(),
            },
        };
        if !pieces.add(&piece, flags) {
            return Err(broken("its tokens together are longer than 4 GiB".into()));
        }
    }
    Ok(pieces)
}

/// `<0x41>` stands for the byte 0x41.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

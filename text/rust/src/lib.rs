//! The C ABI of text/text.cc: thin functions that check pointers, catch panics and hand out owned
//! buffers. Strings are pointer and length, UTF-8 is checked here, nothing is zero-terminated.

mod budget;
mod decode;
mod filters;
mod json;
mod operators;
mod template;
mod tokenizer;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use decode::StreamDecoder;
use template::{Input, TimeFormatter};
use tokenizer::Coder;

/// The numbers are absl's status codes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(i32)]
pub enum Kind {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Internal = 13,
}

#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: String) -> Failure {
        Failure { kind, message }
    }
}

/// Borrowed bytes; `data` may be null when `size` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    data: *const u8,
    size: usize,
}

/// Owned bytes; free with conclave_text_free_bytes.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

/// Owned ids; free with conclave_text_free_ids.
#[repr(C)]
pub struct Ids {
    data: *mut u32,
    size: usize,
    capacity: usize,
}

impl Bytes {
    fn from_string(text: String) -> Bytes {
        let mut bytes = std::mem::ManuallyDrop::new(text.into_bytes());
        Bytes { data: bytes.as_mut_ptr(), size: bytes.len(), capacity: bytes.capacity() }
    }
}

/// # Safety
/// `span` describes readable memory that outlives the call.
unsafe fn bytes_of<'a>(span: Span) -> &'a [u8] {
    if span.size == 0 {
        return &[];
    }
    std::slice::from_raw_parts(span.data, span.size)
}

/// # Safety
/// As bytes_of.
unsafe fn text_of<'a>(what: &str, span: Span) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes_of(span)).map_err(|error| {
        let message = format!("{what}: not UTF-8 at byte {}", error.valid_up_to());
        Failure::new(Kind::InvalidArgument, message)
    })
}

/// Runs `work`; 0, or the code with the message in `error`.
fn guarded(error: *mut Bytes, work: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return 0,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Failure::new(
                Kind::Internal,
                format!("text library panicked: {}", text.unwrap_or_default()),
            )
        }
    };
    let kind = failure.kind as i32;
    if !error.is_null() {
        unsafe { error.write(Bytes::from_string(failure.message)) };
    }
    kind
}

/// # Safety
/// `out` and `error` point to writable memory.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_load(
    json: Span,
    out: *mut *mut Coder,
    error: *mut Bytes,
) -> i32 {
    guarded(error, || {
        out.write(Box::into_raw(Box::new(Coder::load(bytes_of(json))?)));
        Ok(())
    })
}

/// # Safety
/// `coder` came from conclave_text_load and is not used again.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_unload(coder: *mut Coder) {
    if !coder.is_null() {
        drop(Box::from_raw(coder));
    }
}

/// # Safety
/// Pointers are valid; `out` and `error` are written on success and failure respectively.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_encode(
    coder: *const Coder,
    text: Span,
    parse_special: bool,
    add_special: bool,
    out: *mut Ids,
    error: *mut Bytes,
) -> i32 {
    guarded(error, || {
        let ids = (*coder).encode(text_of("text", text)?, parse_special, add_special)?;
        let mut ids = std::mem::ManuallyDrop::new(ids);
        out.write(Ids { data: ids.as_mut_ptr(), size: ids.len(), capacity: ids.capacity() });
        Ok(())
    })
}

/// # Safety
/// `ids` points to `size` ids; the others as above.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_decode(
    coder: *const Coder,
    ids: *const i32,
    size: usize,
    skip_special: bool,
    out: *mut Bytes,
    error: *mut Bytes,
) -> i32 {
    guarded(error, || {
        let ids = if size == 0 { &[] } else { std::slice::from_raw_parts(ids, size) };
        out.write(Bytes::from_string((*coder).decode(ids, skip_special)?));
        Ok(())
    })
}

/// The number of ids, one more than the largest.
/// # Safety
/// `coder` is valid.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_vocab_size(coder: *const Coder) -> usize {
    (*coder).pieces.len()
}

/// The id of a token, or -1.
/// # Safety
/// `coder` and `token` are valid.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_id_of(coder: *const Coder, token: Span) -> i64 {
    match text_of("token", token) {
        Ok(token) => (*coder).id_of(token).map_or(-1, i64::from),
        Err(_) => -1,
    }
}

/// # Safety
/// `coder` is valid now; the decoder may outlive it.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_new_decoder(
    coder: *const Coder,
    skip_special: bool,
) -> *mut StreamDecoder {
    Box::into_raw(Box::new(StreamDecoder::new(Arc::clone(&(*coder).pieces), skip_special)))
}

/// The text that became final; it belongs to the decoder until its next call.
/// # Safety
/// `decoder` is valid and used by one thread.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_push(decoder: *mut StreamDecoder, id: i32) -> Span {
    let decoder = &mut *decoder;
    decoder.push(id);
    Span { data: decoder.text.as_ptr(), size: decoder.text.len() }
}

/// As conclave_text_push, at the end.
/// # Safety
/// As conclave_text_push.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_flush(decoder: *mut StreamDecoder) -> Span {
    let decoder = &mut *decoder;
    decoder.flush();
    Span { data: decoder.text.as_ptr(), size: decoder.text.len() }
}

/// # Safety
/// `decoder` came from conclave_text_new_decoder and is not used again.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_free_decoder(decoder: *mut StreamDecoder) {
    if !decoder.is_null() {
        drop(Box::from_raw(decoder));
    }
}

/// JSON texts of one rendering; see template::Input.
#[repr(C)]
pub struct RenderInput {
    messages: Span,
    tools: Span,
    variables: Span,
    special_tokens: Span,
    add_generation_prompt: bool,
    time: TimeFormatter,
}

/// # Safety
/// Pointers are valid; `error` is written on failure.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_check_template(source: Span, error: *mut Bytes) -> i32 {
    guarded(error, || template::check(text_of("chat template", source)?))
}

/// # Safety
/// Pointers are valid; `out` and `error` are written on success and failure respectively.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_render(
    source: Span,
    input: *const RenderInput,
    out: *mut Bytes,
    error: *mut Bytes,
) -> i32 {
    guarded(error, || {
        let raw = &*input;
        let input = Input {
            messages: text_of("messages", raw.messages)?,
            tools: text_of("tools", raw.tools)?,
            variables: text_of("template variables", raw.variables)?,
            special_tokens: text_of("special tokens", raw.special_tokens)?,
            add_generation_prompt: raw.add_generation_prompt,
        };
        out.write(Bytes::from_string(template::render(
            text_of("chat template", source)?,
            &input,
            raw.time,
        )?));
        Ok(())
    })
}

/// # Safety
/// `bytes` came from this library and is not used again.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_free_bytes(bytes: Bytes) {
    drop(Vec::from_raw_parts(bytes.data, bytes.size, bytes.capacity));
}

/// # Safety
/// `ids` came from this library and is not used again.
#[no_mangle]
pub unsafe extern "C" fn conclave_text_free_ids(ids: Ids) {
    drop(Vec::from_raw_parts(ids.data, ids.size, ids.capacity));
}

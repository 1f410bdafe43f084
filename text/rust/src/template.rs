//! Chat templates: Jinja as the field's chat templates expect it, within a budget (budget.rs).
//!
//! A template is compiled to minijinja's instructions, and those that can build or compare
//! something large are then replaced by calls of functions that pay first. Each rendering runs on a
//! thread of its own, with a stack that deep values cannot exhaust and a budget that ends with it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::machinery::{self, CodeGenerator, Instruction, Instructions, Vm, WhitespaceConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};

use crate::budget::{self, FUEL};
use crate::filters::{self, FILTERS, TESTS};
use crate::json;
use crate::operators::OPERATORS;
use crate::{Failure, Kind};

pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;
pub const INPUT_BYTES_MAX: usize = 64 << 20;
const TIME_FORMAT_BYTES_MAX: usize = 256;
/// Values as deep as FUEL instructions can nest them are dropped without running out of it;
/// reserved, not used.
const STACK_BYTES: usize = 512 << 20;

/// Writes the present local time into the buffer as strftime does and returns its length, 0 when it
/// cannot.
pub type TimeFormatter =
    extern "C" fn(format: *const u8, size: usize, out: *mut u8, capacity: usize) -> usize;

fn format_time(time: TimeFormatter, format: &str) -> String {
    let mut buffer = [0u8; 1024];
    let size = time(format.as_ptr(), format.len(), buffer.as_mut_ptr(), buffer.len());
    String::from_utf8_lossy(&buffer[..size.min(buffer.len())]).into_owned()
}

/// JSON texts that become the template's variables.
pub struct Input<'a> {
    pub messages: &'a str,
    pub tools: &'a str,
    pub variables: &'a str,
    pub special_tokens: &'a str,
    pub add_generation_prompt: bool,
}

struct Guarded<F>(F);

impl<F> std::fmt::Debug for Guarded<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("function")
    }
}

impl<F> Object for Guarded<F>
where
    F: Fn(&State, &[Value]) -> Result<Value, Error> + Send + Sync + 'static,
{
    fn call(self: &Arc<Self>, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        (self.0)(state, args)
    }
}

fn add_function<F>(env: &mut Environment<'static>, name: &'static str, function: F)
where
    F: Fn(&State, &[Value]) -> Result<Value, Error> + Send + Sync + 'static,
{
    env.add_global(name, Value::from_object(Guarded(function)));
}

fn build_environment(time: TimeFormatter) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_fuel(Some(FUEL));
    env.set_formatter(|out, _, value| {
        let mut sink = budget::Sink::default();
        json::write_str(value, &mut sink)?;
        out.write_str(&sink.text).map_err(Error::from)
    });
    env.set_unknown_method_callback(filters::call_method);
    env.remove_global("debug");
    for &(name, operator) in OPERATORS {
        add_function(&mut env, name, operator);
    }
    for entry in FILTERS {
        add_function(&mut env, entry.function, move |state, args| {
            filters::call_filter(entry, state, args)
        });
    }
    for entry in TESTS {
        add_function(&mut env, entry.function, move |state, args| {
            filters::call_test(entry, state, args)
        });
    }
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(budget::raise(message))
    });
    env.add_function("strftime_now", move |format: String| -> Result<String, Error> {
        if format.len() > TIME_FORMAT_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidOperation, "strftime_now: format too long"));
        }
        Ok(format_time(time, &format))
    });
    env
}

fn environment(time: TimeFormatter) -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| build_environment(time))
}

fn guarded_name(list: &[filters::Entry], name: &str, kind: &str) -> Result<&'static str, Error> {
    let known = list.iter().find(|entry| entry.name == name);
    known.map(|entry| entry.function).ok_or_else(|| {
        let error =
            if kind == "filter" { ErrorKind::UnknownFilter } else { ErrorKind::UnknownTest };
        Error::new(error, format!("{kind} {name} is unknown"))
    })
}

/// What an instruction becomes: itself (empty), or these in its place.
fn guarded<'s>(instruction: &Instruction<'s>) -> Result<Vec<Instruction<'s>>, Error> {
    use Instruction as I;
    let call = |name: &'static str, args: u16| vec![I::CallFunction(name, Some(args))];
    // The values stay, in their order, after paying.
    let spread = |count: usize, then: I<'s>| {
        vec![I::CallFunction("spread", Some(count as u16)), I::UnpackList(count), then]
    };
    Ok(match instruction {
        I::EmitRaw(raw) => vec![I::LoadConst(Value::from(*raw)), I::Emit],
        I::StringConcat => call("~", 2),
        I::Add => call("+", 2),
        I::Mul => call("*", 2),
        I::Eq => call("==", 2),
        I::Ne => call("!=", 2),
        I::Lt => call("<", 2),
        I::Lte => call("<=", 2),
        I::Gt => call(">", 2),
        I::Gte => call(">=", 2),
        I::In => call("in", 2),
        I::Slice => spread(4, I::Slice),
        I::UnpackLists(n) => spread(*n, I::UnpackLists(*n)),
        I::MergeKwargs(n) => spread(*n, I::MergeKwargs(*n)),
        I::ApplyFilter(name, args, _) => {
            vec![I::CallFunction(guarded_name(FILTERS, name, "filter")?, *args)]
        }
        I::PerformTest(name, args, _) => {
            vec![I::CallFunction(guarded_name(TESTS, name, "test")?, *args)]
        }
        I::CompareAndPreserve(_) => {
            return Err(Error::new(
                ErrorKind::SyntaxError,
                "chained comparisons are not supported; use `and`",
            ))
        }
        I::Include(_) | I::LoadBlocks => {
            return Err(Error::new(
                ErrorKind::SyntaxError,
                "a chat template cannot load other templates",
            ))
        }
        _ => Vec::new(),
    })
}

/// Replaces instructions in place; what takes more than one goes to the end, with jumps there and
/// back.
fn guard(code: &mut Instructions) -> Result<(), Error> {
    let end = code.len() as u32;
    // The program used to stop by running off its end, where the appended parts now are.
    code.add(Instruction::Jump(u32::MAX));
    for at in 0..end {
        let line = code.get_line(at).unwrap_or(0);
        let Some(instruction) = code.get(at) else {
            continue;
        };
        let mut replacement = guarded(instruction).map_err(|error| at_line(error, line))?;
        match replacement.len() {
            0 => {}
            1 => set(code, at, replacement.remove(0)),
            _ => {
                set(code, at, Instruction::Jump(code.len() as u32));
                replacement.push(Instruction::Jump(at + 1));
                for part in replacement {
                    code.add_with_line(part, line as u16);
                }
            }
        }
    }
    Ok(())
}

fn set<'s>(code: &mut Instructions<'s>, at: u32, instruction: Instruction<'s>) {
    if let Some(place) = code.get_mut(at) {
        *place = instruction;
    }
}

fn at_line(error: Error, line: usize) -> Error {
    let detail = error.detail().unwrap_or_default().to_string();
    Error::new(error.kind(), format!("line {line}: {detail}"))
}

type Code<'s> = (Instructions<'s>, BTreeMap<&'s str, Instructions<'s>>);

fn compile(source: &str) -> Result<Code<'_>, Error> {
    let whitespace =
        WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };
    let ast = machinery::parse(source, "chat_template", SyntaxConfig::default(), whitespace)?;
    let mut generator = CodeGenerator::new("chat_template", source);
    generator.compile_stmt(&ast);
    let (mut code, mut blocks) = generator.finish();
    guard(&mut code)?;
    for block in blocks.values_mut() {
        guard(block)?;
    }
    Ok((code, blocks))
}

fn describe(error: &Error) -> Failure {
    if let Some(message) = budget::raised() {
        return Failure::new(Kind::InvalidArgument, message);
    }
    let place = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let what = match error.detail() {
        Some(detail) => detail.to_string(),
        None => error.kind().to_string(),
    };
    let exhausted = budget::exhausted() || error.kind() == ErrorKind::OutOfFuel;
    let kind = if exhausted { Kind::ResourceExhausted } else { Kind::InvalidArgument };
    let what =
        if error.kind() == ErrorKind::OutOfFuel { "it runs too long".to_string() } else { what };
    Failure::new(kind, format!("chat template{place}: {what}"))
}

fn parse_json(what: &str, text: &str) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(Kind::InvalidArgument, format!("{what} is not valid JSON: {error}"))
    })
}

fn parse_object(
    what: &str,
    text: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    match parse_json(what, text)? {
        serde_json::Value::Object(map) => Ok(map),
        _ => Err(Failure::new(Kind::InvalidArgument, format!("{what} must be an object"))),
    }
}

fn context(input: &Input) -> Result<Value, Failure> {
    let mut root = parse_object("special_tokens", input.special_tokens)?;
    for (name, value) in parse_object("template variables", input.variables)? {
        if matches!(name.as_str(), "messages" | "tools" | "add_generation_prompt") {
            let message = format!("template variables may not set {name}");
            return Err(Failure::new(Kind::InvalidArgument, message));
        }
        root.insert(name, value);
    }
    let messages = parse_json("messages", input.messages)?;
    if !messages.is_array() {
        return Err(Failure::new(Kind::InvalidArgument, "messages must be an array".into()));
    }
    let tools = parse_json("tools", input.tools)?;
    if !tools.is_array() && !tools.is_null() {
        return Err(Failure::new(Kind::InvalidArgument, "tools must be an array or null".into()));
    }
    root.insert("messages".into(), messages);
    root.insert("tools".into(), tools);
    root.insert("add_generation_prompt".into(), input.add_generation_prompt.into());
    Ok(Value::from_serialize(&root))
}

/// Runs `work` with a stack that hostile values cannot exhaust.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("chat template".into()).stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, work) {
            Ok(handle) => match handle.join() {
                Ok(result) => result,
                Err(_) => Err(Failure::new(Kind::Internal, "the template engine panicked".into())),
            },
            Err(error) => {
                Err(Failure::new(Kind::Internal, format!("cannot start a thread: {error}")))
            }
        }
    })
}

fn check_size(source: &str) -> Result<(), Failure> {
    if source.len() > TEMPLATE_BYTES_MAX {
        let message =
            format!("chat template: {} bytes, at most {TEMPLATE_BYTES_MAX}", source.len());
        return Err(Failure::new(Kind::InvalidArgument, message));
    }
    Ok(())
}

/// Whether a template compiles.
pub fn check(source: &str) -> Result<(), Failure> {
    check_size(source)?;
    on_deep_stack(|| {
        budget::begin(0);
        compile(source).map(|_| ()).map_err(|error| describe(&error))
    })
}

pub fn render(source: &str, input: &Input, time: TimeFormatter) -> Result<String, Failure> {
    check_size(source)?;
    let data = [input.messages, input.tools, input.variables, input.special_tokens];
    let bytes: usize = data.iter().map(|text| text.len()).sum();
    if bytes > INPUT_BYTES_MAX {
        let message = format!("chat template: {bytes} bytes of input, at most {INPUT_BYTES_MAX}");
        return Err(Failure::new(Kind::InvalidArgument, message));
    }
    on_deep_stack(|| {
        let root = context(input)?;
        budget::begin(source.len() + bytes);
        let run = || -> Result<String, Error> {
            let (code, blocks) = compile(source)?;
            let mut text = String::new();
            let mut out = machinery::make_string_output(&mut text);
            Vm::new(environment(time)).eval(&code, root, &blocks, &mut out, AutoEscape::None)?;
            drop(out);
            Ok(text)
        };
        run().map_err(|error| describe(&error))
    })
}

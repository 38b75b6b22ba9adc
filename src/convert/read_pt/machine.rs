//! A pickle machine that can build tensors and nothing else.
//!
//! It knows the opcodes that torch's pickles of a tensor use in protocols 2 to 5 (CPython's
//! `pickletools` describes them), and it executes nothing: a call of one of the known globals is
//! kept as a value, any other global is an error.

use std::rc::Rc;

use crate::dtype::DType;
use crate::error::{Error, Result};

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `torch._utils._rebuild_tensor`, `_v2` and `_v3`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `collections.OrderedDict`, of backward hooks: empty.
    OrderedDict,
    /// A storage class of one element type, `torch.FloatStorage` and the like.
    Storage(DType),
    /// `torch.storage.UntypedStorage`: bytes.
    UntypedStorage,
    /// An element type, `torch.uint16` and the like.
    DType(DType),
}

/// The globals that a tensor needs.
const GLOBALS: [(&str, &str, Global); 31] = [
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v3", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch.storage", "UntypedStorage", Global::UntypedStorage),
    ("torch", "BoolStorage", Global::Storage(DType::Bool)),
    ("torch", "CharStorage", Global::Storage(DType::I8)),
    ("torch", "ShortStorage", Global::Storage(DType::I16)),
    ("torch", "IntStorage", Global::Storage(DType::I32)),
    ("torch", "LongStorage", Global::Storage(DType::I64)),
    ("torch", "ByteStorage", Global::Storage(DType::U8)),
    ("torch", "HalfStorage", Global::Storage(DType::F16)),
    ("torch", "BFloat16Storage", Global::Storage(DType::BF16)),
    ("torch", "FloatStorage", Global::Storage(DType::F32)),
    ("torch", "DoubleStorage", Global::Storage(DType::F64)),
    ("torch", "bool", Global::DType(DType::Bool)),
    ("torch", "int8", Global::DType(DType::I8)),
    ("torch", "int16", Global::DType(DType::I16)),
    ("torch", "int32", Global::DType(DType::I32)),
    ("torch", "int64", Global::DType(DType::I64)),
    ("torch", "uint8", Global::DType(DType::U8)),
    ("torch", "uint16", Global::DType(DType::U16)),
    ("torch", "uint32", Global::DType(DType::U32)),
    ("torch", "uint64", Global::DType(DType::U64)),
    ("torch", "float16", Global::DType(DType::F16)),
    ("torch", "bfloat16", Global::DType(DType::BF16)),
    ("torch", "float32", Global::DType(DType::F32)),
    ("torch", "float64", Global::DType(DType::F64)),
    ("torch", "half", Global::DType(DType::F16)),
    ("torch", "float", Global::DType(DType::F32)),
];

/// A value on the machine's stack. Containers share their parts, so no pickle can grow larger
/// here than its own text.
#[derive(Clone)]
pub enum Value {
    /// `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A string.
    Text(Rc<str>),
    /// A known global.
    Global(Global),
    /// A tuple.
    Tuple(Rc<[Value]>),
    /// A list.
    List(Rc<Vec<Value>>),
    /// A dictionary as it was filled.
    Dict(Rc<Vec<(Value, Value)>>),
    /// What a persistent id stands for; the id.
    Persistent(Rc<Value>),
    /// A call that was not made: the global and its arguments.
    Call(Global, Rc<[Value]>),
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Text(_) => "a string",
            Self::Global(_) => "a class or function",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Persistent(_) => "a storage",
            Self::Call(Global::OrderedDict, _) => "an OrderedDict",
            Self::Call(..) => "a tensor",
        }
    }
}

/// The stack, its open marks, and the memo.
#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<(u32, Value)>,
}

/// Runs the pickle at the start of `text`: its value, and what follows it.
///
/// # Errors
/// A cut pickle, an opcode or a global that no tensor needs.
pub fn run(text: &[u8]) -> Result<(Value, &[u8])> {
    let mut machine = Machine::default();
    let mut rest = text;
    loop {
        let opcode = take::<1>(&mut rest)?[0];
        if opcode == b'.' {
            return Ok((machine.pop()?, rest));
        }
        machine.step(opcode, &mut rest)?;
    }
}

impl Machine {
    fn step(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<()> {
        match opcode {
            // PROTO and FRAME say nothing that matters here.
            0x80 => drop(take::<1>(rest)?),
            0x95 => drop(take::<8>(rest)?),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => self.int(u8::from_le_bytes(take(rest)?).into()),
            b'M' => self.int(u16::from_le_bytes(take(rest)?).into()),
            b'J' => self.int(i32::from_le_bytes(take(rest)?).into()),
            0x8a => {
                let value = long(rest)?;
                self.int(value);
            }
            b'X' => {
                let length = u32::from_le_bytes(take(rest)?);
                self.text(length as usize, rest)?;
            }
            0x8c => {
                let length = take::<1>(rest)?[0];
                self.text(length.into(), rest)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.stack.push(Value::Tuple([].into())),
            b't' => {
                let parts = self.since_mark()?;
                self.stack.push(Value::Tuple(parts.into()));
            }
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or_else(short)?;
                let parts = self.stack.split_off(first);
                self.stack.push(Value::Tuple(parts.into()));
            }
            b']' => self.stack.push(Value::List(Rc::default())),
            b'a' => {
                let value = self.pop()?;
                self.extend_list(vec![value])?;
            }
            b'e' => {
                let values = self.since_mark()?;
                self.extend_list(values)?;
            }
            b'}' => self.stack.push(Value::Dict(Rc::default())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![key, value])?;
            }
            b'u' => {
                let pairs = self.since_mark()?;
                self.extend_dict(pairs)?;
            }
            b'q' => self.put(take::<1>(rest)?[0].into())?,
            b'r' => self.put(u32::from_le_bytes(take(rest)?))?,
            0x94 => self.put(self.memo.len() as u32)?,
            b'h' => self.get(take::<1>(rest)?[0].into())?,
            b'j' => self.get(u32::from_le_bytes(take(rest)?))?,
            b'c' => {
                let (module, name) = (line(rest)?, line(rest)?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(Error::invalid("a global whose name is no string"));
                };
                self.global(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(Value::Persistent(Rc::new(id)));
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let (Value::Global(callee), Value::Tuple(arguments)) = (callee, arguments) else {
                    return Err(Error::invalid("a call of something that is no function of a tensor"));
                };
                self.stack.push(Value::Call(callee, arguments));
            }
            _ => {
                let opcode = opcode.escape_ascii();
                return Err(Error::invalid(format!("pickle opcode '{opcode}' has no place in a tensor")));
            }
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        // What lies below an open mark belongs to its container.
        if self.marks.last() == Some(&self.stack.len()) {
            return Err(short());
        }
        self.stack.pop().ok_or_else(short)
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(short)?;
        Ok(self.stack.split_off(mark))
    }

    fn int(&mut self, value: i64) {
        self.stack.push(Value::Int(value));
    }

    fn text(&mut self, length: usize, rest: &mut &[u8]) -> Result<()> {
        let text = rest.split_off(..length).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| Error::invalid("a string is not UTF-8"))?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let known = GLOBALS.iter().find(|(m, n, _)| (*m, *n) == (module, name));
        let (_, _, global) = known.ok_or_else(|| {
            Error::invalid(format!("it names {module:?} {name:?}, which no plain tensor needs"))
                .hint("save one tensor a file: torch.save(tensor.detach().cpu(), path)")
        })?;
        self.stack.push(Value::Global(*global));
        Ok(())
    }

    fn extend_list(&mut self, values: Vec<Value>) -> Result<()> {
        let Some(Value::List(list)) = self.stack.last_mut() else {
            return Err(Error::invalid("an append to something that is no list"));
        };
        Rc::make_mut(list).extend(values);
        Ok(())
    }

    fn extend_dict(&mut self, keys_and_values: Vec<Value>) -> Result<()> {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else {
            return Err(Error::invalid("an entry of something that is no dict"));
        };
        let (pairs, []) = keys_and_values.as_chunks() else {
            return Err(Error::invalid("a dict with a key that has no value"));
        };
        Rc::make_mut(dict).extend(pairs.iter().map(|[key, value]| (key.clone(), value.clone())));
        Ok(())
    }

    fn put(&mut self, index: u32) -> Result<()> {
        let value = self.stack.last().ok_or_else(short)?.clone();
        match self.memo.iter_mut().find(|(i, _)| *i == index) {
            Some((_, old)) => *old = value,
            None => self.memo.push((index, value)),
        }
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<()> {
        let (_, value) = self
            .memo
            .iter()
            .find(|(i, _)| *i == index)
            .ok_or_else(|| Error::invalid(format!("memo {index} was never written")))?;
        self.stack.push(value.clone());
        Ok(())
    }
}

fn cut() -> Error {
    Error::invalid("the pickle is cut")
}

fn short() -> Error {
    Error::invalid("the pickle takes more from its stack than is there")
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let bytes = rest.split_off(..N).ok_or_else(cut)?;
    Ok(std::array::from_fn(|i| bytes[i]))
}

/// The text up to a newline.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str> {
    let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
    let line = rest.split_off(..length).ok_or_else(cut)?;
    take::<1>(rest)?;
    std::str::from_utf8(line).map_err(|_| Error::invalid("a name is not UTF-8"))
}

/// LONG1: a byte of length, then two's complement, little-endian.
fn long(rest: &mut &[u8]) -> Result<i64> {
    let length = take::<1>(rest)?[0];
    let bytes = rest.split_off(..usize::from(length)).ok_or_else(cut)?;
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let mut wide = [fill; 8];
    let (low, high) = bytes.split_at(bytes.len().min(8));
    wide[..low.len()].copy_from_slice(low);
    let value = i64::from_le_bytes(wide);
    if high.iter().any(|byte| *byte != fill) || (value < 0) != negative {
        return Err(Error::invalid(format!("an integer of {length} bytes")));
    }
    Ok(value)
}

//! What a tensor's pickle says: element type, storage, shape, strides.

use super::machine::{self, Global, Value};
use crate::convert::tensor::Layout;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The longest pickle that is looked at. A tensor's has some 250 bytes; the bound also bounds how
/// deep values can nest, and so how far dropping them recurses.
pub const LONGEST: u64 = 1024;

/// A tensor as its pickle describes it.
pub struct Tensor {
    /// Name of its storage within the file.
    pub key: String,
    /// How many elements the storage has, in its own unit: values, or bytes when it is untyped.
    pub elements: u64,
    dtype: DType,
    untyped: bool,
    offset: u64,
    shape: Vec<u64>,
    strides: Vec<u64>,
}

impl Tensor {
    /// The storage's length in bytes.
    ///
    /// # Errors
    /// One that no file can have.
    pub fn length(&self) -> Result<u64> {
        let unit = if self.untyped { 1 } else { self.dtype.size() as u64 };
        self.elements
            .checked_mul(unit)
            .ok_or_else(|| Error::invalid(format!("a storage of {} elements", self.elements)))
    }

    /// How the tensor lies in the storage.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn layout(&self) -> Result<Layout> {
        let values = self.length()? / self.dtype.size() as u64;
        Layout::new(self.dtype, &self.shape, &self.strides, self.offset, values)
    }
}

/// Reads a pickle that is one tensor.
///
/// # Errors
/// Anything else; what was found is told.
pub fn tensor(pickle: &[u8]) -> Result<Tensor> {
    let (value, rest) = machine::run(pickle)?;
    if !rest.is_empty() {
        return Err(Error::invalid(format!("{} bytes follow the pickle's end", rest.len())));
    }
    interpret(&value)
}

/// The tensor that a pickled value is.
///
/// # Errors
/// As [`tensor`].
pub fn interpret(value: &Value) -> Result<Tensor> {
    let found = |value: &Value| Error::invalid(format!("expected one tensor, found {}", value.kind()));
    match value {
        // A parameter: data, requires_grad, hooks.
        Value::Call(Global::RebuildParameter, arguments) => match &**arguments {
            [data @ Value::Call(Global::RebuildTensor, _), Value::Bool(_), hooks] if no_hooks(hooks) => {
                interpret(data)
            }
            _ => Err(Error::invalid("a parameter that is not made as torch makes it")),
        },
        Value::Call(Global::RebuildTensor, arguments) => rebuild(arguments),
        other => Err(found(other)),
    }
}

/// Storage, offset, shape, strides; from version 2 on requires_grad and hooks; in version 3 the
/// element type. What else torch can append says that values must be conjugated or negated.
fn rebuild(arguments: &[Value]) -> Result<Tensor> {
    let odd = || Error::invalid("a tensor that is not made as torch makes a plain one");
    let ([storage, offset, shape, strides], more) = arguments.split_first_chunk().ok_or_else(odd)?;
    let dtype = match more {
        [] => None,
        [Value::Bool(_), hooks] if no_hooks(hooks) => None,
        [Value::Bool(_), hooks, Value::Global(Global::DType(dtype))] if no_hooks(hooks) => Some(*dtype),
        _ => return Err(odd()),
    };
    let Value::Persistent(id) = storage else { return Err(odd()) };
    let Value::Tuple(id) = &**id else { return Err(odd()) };
    // The older format appends None: no view of another storage. The device does not matter.
    let (Value::Text(tag), Value::Global(class), Value::Text(key), Value::Text(_), elements) = (match &**id {
        [tag, class, key, device, elements] | [tag, class, key, device, elements, Value::None] => {
            (tag, class, key, device, elements)
        }
        _ => return Err(odd()),
    }) else {
        return Err(odd());
    };
    let (dtype, untyped) = match (class, dtype) {
        (Global::Storage(dtype), None) => (*dtype, false),
        (Global::UntypedStorage, Some(dtype)) => (dtype, true),
        _ => return Err(odd()),
    };
    if &**tag != "storage" {
        return Err(odd());
    }
    Ok(Tensor {
        key: (**key).to_owned(),
        elements: count(elements)?,
        dtype,
        untyped,
        offset: count(offset)?,
        shape: counts(shape)?,
        strides: counts(strides)?,
    })
}

fn no_hooks(value: &Value) -> bool {
    matches!(value, Value::Call(Global::OrderedDict, arguments) if arguments.is_empty())
}

fn counts(value: &Value) -> Result<Vec<u64>> {
    match value {
        Value::Tuple(parts) => parts.iter().map(count).collect(),
        other => Err(Error::invalid(format!("expected a tuple of lengths, found {}", other.kind()))),
    }
}

fn count(value: &Value) -> Result<u64> {
    match value {
        Value::Int(value) => {
            u64::try_from(*value).map_err(|_| Error::invalid(format!("a length of {value}")))
        }
        other => Err(Error::invalid(format!("expected a length, found {}", other.kind()))),
    }
}

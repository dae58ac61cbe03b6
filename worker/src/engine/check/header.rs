//! The header of a GGUF file, walked forward within limits.

use std::io::{self, Read};

use super::{
    Census, CheckError, TENSORS_MAX,
    tensor_type::{TENSOR_TYPES, TensorType},
    within,
};

const METADATA_ENTRIES_MAX: u64 = 1 << 16;

const NAME_BYTES_MAX: u64 = 1 << 10;
const STRING_BYTES_MAX: u64 = 1 << 24;
/// All arrays together: the largest vocabularies need about 1.5 million, and
/// in memory each element takes some thirty bytes.
const ARRAY_ELEMENTS_MAX: u64 = 1 << 22;
const HEADER_BYTES_MAX: u64 = 1 << 27;

const ALIGNMENT_MAX: u64 = 1 << 16;

/// Reads forward and knows where it is.
pub(super) struct Header<R> {
    reader: R,
    pub(super) position: u64,
    file_bytes: u64,
    array_elements: u64,
}

impl<R: Read> Header<R> {
    pub(super) fn new(reader: R, file_bytes: u64) -> Self {
        Self { reader, position: 0, file_bytes, array_elements: 0 }
    }

    pub(super) fn truncated(&self, what: impl Into<String>) -> CheckError {
        CheckError::Truncated { what: what.into(), file_bytes: self.file_bytes }
    }

    /// Refuses `len` bytes that are not there or lie beyond any real header.
    fn require(&self, len: u64, what: &str) -> Result<(), CheckError> {
        let end = self.position.saturating_add(len);
        if end > self.file_bytes {
            return Err(self.truncated(what));
        }
        within("the size of the header", end, HEADER_BYTES_MAX)
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], CheckError> {
        self.require(N as u64, what)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(CheckError::Io)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, CheckError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, CheckError> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    fn skip(&mut self, len: u64, what: &str) -> Result<(), CheckError> {
        self.require(len, what)?;
        let skipped = io::copy(&mut (&mut self.reader).take(len), &mut io::sink());
        if skipped.map_err(CheckError::Io)? != len {
            return Err(self.truncated(what));
        }
        self.position += len;
        Ok(())
    }

    fn name(&mut self, what: &str) -> Result<String, CheckError> {
        let len = self.u64(what)?;
        within(&format!("the length of {what}"), len, NAME_BYTES_MAX)?;
        self.require(len, what)?;
        let mut bytes = Vec::new();
        (&mut self.reader).take(len).read_to_end(&mut bytes).map_err(CheckError::Io)?;
        if bytes.len() as u64 != len {
            return Err(self.truncated(what));
        }
        self.position += len;
        String::from_utf8(bytes).map_err(|error| CheckError::Invalid {
            what: what.to_owned(),
            found: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            expected: "UTF-8",
        })
    }

    /// Magic and version; returns how many tensors and metadata entries come.
    pub(super) fn prologue(&mut self) -> Result<(u64, u64), CheckError> {
        if self.file_bytes < 4 || self.bytes::<4>("the magic")? != *b"GGUF" {
            return Err(CheckError::NotGguf);
        }
        let version = self.u32("the version")?;
        if !matches!(version, 2 | 3) {
            return Err(CheckError::Version { found: version });
        }
        let tensors = self.u64("the number of tensors")?;
        within("the number of tensors", tensors, TENSORS_MAX)?;
        let entries = self.u64("the number of metadata entries")?;
        within("the number of metadata entries", entries, METADATA_ENTRIES_MAX)?;
        Ok((tensors, entries))
    }

    /// Walks over one entry; returns the alignment if the entry declares it.
    pub(super) fn metadata_entry(&mut self, index: u64) -> Result<Option<u64>, CheckError> {
        let key = self.name(&format!("the key of metadata entry {index}"))?;
        let kind = self.u32(&key)?;
        if key == "general.alignment" {
            return self.alignment(kind).map(Some);
        }
        match kind {
            STRING => self.string(&key)?,
            ARRAY => self.array(&key)?,
            BOOL => self.boolean(&key)?,
            _ => self.skip(scalar_bytes(kind, &key)?, &key)?,
        }
        Ok(None)
    }

    fn alignment(&mut self, kind: u32) -> Result<u64, CheckError> {
        let invalid = |found: String| CheckError::Invalid {
            what: "general.alignment".to_owned(),
            found,
            expected: "a power of two stored as u32",
        };
        if kind != U32 {
            return Err(invalid(format!("of type {kind}")));
        }
        let alignment = u64::from(self.u32("general.alignment")?);
        if !alignment.is_power_of_two() {
            return Err(invalid(alignment.to_string()));
        }
        within("general.alignment", alignment, ALIGNMENT_MAX)?;
        Ok(alignment)
    }

    fn string(&mut self, key: &str) -> Result<(), CheckError> {
        let len = self.u64(key)?;
        within(&format!("the length of {key}"), len, STRING_BYTES_MAX)?;
        self.skip(len, key)
    }

    fn boolean(&mut self, key: &str) -> Result<(), CheckError> {
        match self.bytes::<1>(key)? {
            [0 | 1] => Ok(()),
            [other] => Err(CheckError::Invalid {
                what: key.to_owned(),
                found: other.to_string(),
                expected: "0 or 1",
            }),
        }
    }

    fn array(&mut self, key: &str) -> Result<(), CheckError> {
        let kind = self.u32(key)?;
        let len = self.u64(key)?;
        self.array_elements = self.array_elements.saturating_add(len);
        within("the number of array elements", self.array_elements, ARRAY_ELEMENTS_MAX)?;
        match kind {
            STRING => (0..len).try_for_each(|_| self.string(key)),
            BOOL => (0..len).try_for_each(|_| self.boolean(key)),
            ARRAY => Err(CheckError::Invalid {
                what: key.to_owned(),
                found: "an array of arrays".to_owned(),
                expected: "an array of plain values",
            }),
            _ => self.skip(len * scalar_bytes(kind, key)?, key),
        }
    }

    pub(super) fn tensor(
        &mut self,
        index: u64,
        align: u64,
        census: &mut Census,
    ) -> Result<(), CheckError> {
        let name = self.name(&format!("the name of tensor {index}"))?;
        let dimensions = self.dimensions(&name)?;
        let id = self.u32(&name)?;
        let Some(kind) = TENSOR_TYPES.iter().position(|kind| kind.id == id) else {
            return Err(CheckError::TensorType { tensor: name, found: id });
        };
        let (elements, bytes) = sizes(&name, &dimensions, TENSOR_TYPES[kind])?;
        let offset = self.u64(&name)?;
        if offset % align != 0 {
            return Err(CheckError::Invalid {
                what: format!("the offset of tensor {name:?}"),
                found: offset.to_string(),
                expected: "a multiple of the alignment",
            });
        }
        let end = offset.saturating_add(bytes);
        if end > self.file_bytes {
            return Err(self.truncated(format!("tensor {name:?}")));
        }
        census.data_end = census.data_end.max(end);
        census.parameters = census.parameters.saturating_add(elements);
        census.weight_bytes = census.weight_bytes.saturating_add(bytes);
        census.bytes_of_type[kind] = census.bytes_of_type[kind].saturating_add(bytes);
        if census.names.insert(name.clone()) {
            return Ok(());
        }
        Err(CheckError::Invalid {
            what: "the name of a tensor".to_owned(),
            found: format!("{name:?} twice"),
            expected: "its own",
        })
    }

    fn dimensions(&mut self, name: &str) -> Result<Vec<u64>, CheckError> {
        let count = self.u32(name)?;
        if !(1..=4).contains(&count) {
            return Err(CheckError::Invalid {
                what: format!("the number of dimensions of tensor {name:?}"),
                found: count.to_string(),
                expected: "between 1 and 4",
            });
        }
        (0..count).map(|_| self.u64(name)).collect()
    }
}

pub(super) const U32: u32 = 4;
const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;

fn scalar_bytes(kind: u32, key: &str) -> Result<u64, CheckError> {
    match kind {
        0 | 1 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(CheckError::Invalid {
            what: format!("the type of {key:?}"),
            found: kind.to_string(),
            expected: "a GGUF value type (0 to 12)",
        }),
    }
}

/// Elements and bytes of a tensor. Rows are stored apart, so each must be
/// made of whole blocks.
fn sizes(name: &str, dimensions: &[u64], kind: TensorType) -> Result<(u64, u64), CheckError> {
    let invalid = |expected| CheckError::Invalid {
        what: format!("the shape of tensor {name:?}"),
        found: format!("{dimensions:?}"),
        expected,
    };
    if dimensions.first().is_none_or(|row| row % kind.block != 0) {
        return Err(invalid("rows of whole blocks of its type"));
    }
    let elements = dimensions.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
    let elements =
        elements.filter(|elements| *elements > 0).ok_or_else(|| invalid("of this world"))?;
    let bytes = (elements / kind.block).checked_mul(kind.bytes);
    Ok((elements, bytes.ok_or_else(|| invalid("of this world"))?))
}

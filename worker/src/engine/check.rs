//! Whether a file is a GGUF file that can be read without harm.
//!
//! The whole header is walked here, before any other reader sees the file:
//! every count, length, size and offset is held against the length of the file
//! and against fixed limits. A reader that trusts the header divides by an
//! alignment of zero, overflows a product of dimensions, or reserves memory
//! for elements that are not there.
//!
//! It allocates nothing in proportion to what the file claims, and it refuses
//! to know what the metadata mean; that is [`super::shape`].

use std::{
    collections::HashSet,
    io::{self, Read},
};

const METADATA_ENTRIES_MAX: u64 = 1 << 16;
const TENSORS_MAX: u64 = 1 << 16;
const NAME_BYTES_MAX: u64 = 1 << 10;
const STRING_BYTES_MAX: u64 = 1 << 24;
/// All arrays together: the largest vocabularies need about 1.5 million, and
/// in memory each element takes some thirty bytes.
const ARRAY_ELEMENTS_MAX: u64 = 1 << 22;
const HEADER_BYTES_MAX: u64 = 1 << 27;
const ALIGNMENT_DEFAULT: u64 = 32;
const ALIGNMENT_MAX: u64 = 1 << 16;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It begins with something else.
    #[error("it is not a GGUF file (it does not begin with `GGUF`)")]
    NotGguf,
    /// A version nobody here can read.
    #[error("it is GGUF version {found}; versions 2 and 3 can be read")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The file ends inside something.
    #[error("it is truncated: {what} goes past the end of the file ({file_bytes} bytes)")]
    Truncated {
        /// What is not all there.
        what: String,
        /// How long the file is.
        file_bytes: u64,
    },
    /// A number is larger than anything real.
    #[error("{what} is {found}; at most {limit} is accepted")]
    OverLimit {
        /// Which number.
        what: String,
        /// The number in the file.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A value that cannot be.
    #[error("{what} is {found}, which must be {expected}")]
    Invalid {
        /// Which value.
        what: String,
        /// The value in the file.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A way of storing weights that this engine does not compute with.
    #[error(
        "tensor {tensor:?} is stored as ggml type {found}; supported are {}",
        supported_types()
    )]
    TensorType {
        /// Which tensor.
        tensor: String,
        /// The type in the file.
        found: u32,
    },
    /// The file could not be read.
    #[error("it could not be read")]
    Io(#[source] io::Error),
}

/// What the walk over the header found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many weights the file holds.
    pub parameters: u64,
    /// How many bytes they take in the file.
    pub weight_bytes: u64,
    /// How many tensors they are in.
    pub tensors: u64,
    bytes_of_type: [u64; TENSOR_TYPES.len()],
}

impl Checked {
    /// The type that most of the weights are stored as, such as `Q4_K`.
    pub fn dominant_type(&self) -> &'static str {
        let of_type = TENSOR_TYPES.iter().zip(self.bytes_of_type);
        of_type.max_by_key(|(_, bytes)| *bytes).map_or("F32", |(kind, _)| kind.name)
    }

    /// Takes another part of the same model in.
    pub fn add(&mut self, part: &Self) -> Result<(), CheckError> {
        self.parameters = self.parameters.saturating_add(part.parameters);
        self.weight_bytes = self.weight_bytes.saturating_add(part.weight_bytes);
        for (all, bytes) in self.bytes_of_type.iter_mut().zip(part.bytes_of_type) {
            *all = all.saturating_add(bytes);
        }
        self.tensors += part.tensors;
        within("the number of tensors", self.tensors, TENSORS_MAX)
    }
}

/// A way of storing weights: blocks of `block` elements in `bytes` bytes.
#[derive(Debug, Clone, Copy)]
struct TensorType {
    id: u32,
    name: &'static str,
    block: u64,
    bytes: u64,
}

const fn tensor_type(id: u32, name: &'static str, block: u64, bytes: u64) -> TensorType {
    TensorType { id, name, block, bytes }
}

const TENSOR_TYPES: [TensorType; 13] = [
    tensor_type(0, "F32", 1, 4),
    tensor_type(1, "F16", 1, 2),
    tensor_type(2, "Q4_0", 32, 18),
    tensor_type(3, "Q4_1", 32, 20),
    tensor_type(6, "Q5_0", 32, 22),
    tensor_type(7, "Q5_1", 32, 24),
    tensor_type(8, "Q8_0", 32, 34),
    tensor_type(10, "Q2_K", 256, 84),
    tensor_type(11, "Q3_K", 256, 110),
    tensor_type(12, "Q4_K", 256, 144),
    tensor_type(13, "Q5_K", 256, 176),
    tensor_type(14, "Q6_K", 256, 210),
    tensor_type(30, "BF16", 1, 2),
];

fn supported_types() -> String {
    TENSOR_TYPES.map(|kind| kind.name).join(", ")
}

/// Walks the header of a file of `file_bytes` bytes from its first byte.
pub fn check(reader: impl Read, file_bytes: u64) -> Result<Checked, CheckError> {
    let mut header = Header { reader, position: 0, file_bytes, array_elements: 0 };
    let (tensors, entries) = header.prologue()?;
    let mut alignment = ALIGNMENT_DEFAULT;
    for index in 0..entries {
        if let Some(declared) = header.metadata_entry(index)? {
            alignment = declared;
        }
    }
    let mut census = Census::default();
    for index in 0..tensors {
        header.tensor(index, alignment, &mut census)?;
    }
    let data_start = header.position.div_ceil(alignment).saturating_mul(alignment);
    // The first part of a split model may hold none, and end with its header.
    if tensors > 0 && data_start.saturating_add(census.data_end) > file_bytes {
        return Err(header.truncated("the weights"));
    }
    census.finish(file_bytes - header.position)
}

/// What the tensors add up to.
#[derive(Debug, Default)]
struct Census {
    names: HashSet<String>,
    parameters: u64,
    weight_bytes: u64,
    bytes_of_type: [u64; TENSOR_TYPES.len()],
    /// Where the last of them ends, from the start of the data.
    data_end: u64,
}

impl Census {
    fn finish(self, data_bytes: u64) -> Result<Checked, CheckError> {
        // Otherwise a small file could make a reader load the same bytes
        // thousands of times.
        if self.weight_bytes > data_bytes {
            return Err(CheckError::Invalid {
                what: "the sum of all tensors".to_owned(),
                found: format!("{} bytes", self.weight_bytes),
                expected: "no more than the file holds: tensors overlap",
            });
        }
        Ok(Checked {
            parameters: self.parameters,
            weight_bytes: self.weight_bytes,
            tensors: self.names.len() as u64,
            bytes_of_type: self.bytes_of_type,
        })
    }
}

/// Reads forward and knows where it is.
struct Header<R> {
    reader: R,
    position: u64,
    file_bytes: u64,
    array_elements: u64,
}

impl<R: Read> Header<R> {
    fn truncated(&self, what: impl Into<String>) -> CheckError {
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
    fn prologue(&mut self) -> Result<(u64, u64), CheckError> {
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
    fn metadata_entry(&mut self, index: u64) -> Result<Option<u64>, CheckError> {
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

    fn tensor(&mut self, index: u64, align: u64, census: &mut Census) -> Result<(), CheckError> {
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

const U32: u32 = 4;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

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

fn within(what: &str, found: u64, limit: u64) -> Result<(), CheckError> {
    if found > limit {
        return Err(CheckError::OverLimit { what: what.to_owned(), found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn checked(bytes: &[u8]) -> Result<Checked, CheckError> {
        check(bytes, bytes.len() as u64)
    }

    fn header(tensors: u64, entries: u64) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes
    }

    fn string(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    fn tensor(bytes: &mut Vec<u8>, dimensions: &[u64], kind: u32, offset: u64) {
        string(bytes, "t");
        bytes.extend(u32::try_from(dimensions.len()).unwrap().to_le_bytes());
        for dimension in dimensions {
            bytes.extend(dimension.to_le_bytes());
        }
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }

    #[test]
    fn a_whole_model_file_passes_and_is_counted() {
        let file = testing::model("llama").bytes();
        let found = checked(&file).unwrap();
        assert_eq!(found.dominant_type(), "Q8_0");
        assert!(found.parameters > 10_000 && found.weight_bytes < file.len() as u64, "{found:?}");
    }

    #[test]
    fn the_sizes_of_the_types_are_those_the_engine_computes_with() {
        let types = [
            GgmlDType::F32,
            GgmlDType::F16,
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
            GgmlDType::Q8_0,
            GgmlDType::Q2K,
            GgmlDType::Q3K,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
            GgmlDType::BF16,
        ];
        for (ours, theirs) in TENSOR_TYPES.iter().zip(types) {
            assert_eq!(ours.block, theirs.block_size() as u64, "{theirs:?}");
            assert_eq!(ours.bytes, theirs.type_size() as u64, "{theirs:?}");
        }
    }

    #[test]
    fn what_is_no_gguf_file_is_called_that() {
        for bytes in [&b""[..], b"GG", b"<!DOCTYPE html>", b"FUGG\x03\0\0\0"] {
            assert!(matches!(checked(bytes), Err(CheckError::NotGguf)), "{bytes:?}");
        }
        let old = checked(b"GGUF\x01\0\0\0\0\0\0\0\0\0\0\0").unwrap_err();
        assert!(matches!(old, CheckError::Version { found: 1 }), "{old}");
    }

    #[test]
    fn an_alignment_of_zero_or_three_is_refused() {
        for alignment in [0_u32, 3, u32::MAX] {
            let mut bytes = header(0, 1);
            string(&mut bytes, "general.alignment");
            bytes.extend(U32.to_le_bytes());
            bytes.extend(alignment.to_le_bytes());
            let error = checked(&bytes).unwrap_err().to_string();
            assert!(error.contains("general.alignment"), "{error}");
        }
    }

    #[test]
    fn counts_and_lengths_that_no_file_could_hold_are_refused() {
        for bytes in [header(u64::MAX, 0), header(0, u64::MAX)] {
            assert!(matches!(checked(&bytes), Err(CheckError::OverLimit { .. })));
        }
        let mut long_string = header(0, 1);
        string(&mut long_string, "general.name");
        long_string.extend(STRING.to_le_bytes());
        long_string.extend((1_u64 << 20).to_le_bytes());
        assert!(matches!(checked(&long_string), Err(CheckError::Truncated { .. })));
        let mut long_array = header(0, 1);
        string(&mut long_array, "tokenizer.ggml.tokens");
        long_array.extend(ARRAY.to_le_bytes());
        long_array.extend(0_u32.to_le_bytes());
        long_array.extend(u64::MAX.to_le_bytes());
        assert!(matches!(checked(&long_array), Err(CheckError::OverLimit { .. })));
    }

    #[test]
    fn a_tensor_whose_dimensions_overflow_or_lie_outside_is_refused() {
        let shapes: [(&[u64], u32, u64); 7] = [
            (&[u64::MAX, 2], 0, 0),
            (&[1 << 40, 1 << 40], 0, 0),
            (&[0], 0, 0),
            (&[33], 8, 0),
            (&[32], 0, 1 << 50),
            (&[32], 0, 7),
            (&[32, 1, 1, 1, 1], 0, 0),
        ];
        for (dimensions, kind, offset) in shapes {
            let mut bytes = header(1, 0);
            tensor(&mut bytes, dimensions, kind, offset);
            bytes.extend([0; 256]);
            assert!(checked(&bytes).is_err(), "{dimensions:?} of type {kind} at {offset}");
        }
        let mut good = header(1, 0);
        tensor(&mut good, &[32], 0, 0);
        good.extend([0; 256]);
        assert_eq!(checked(&good).unwrap().parameters, 32);
    }

    #[test]
    fn an_unknown_way_of_storing_weights_is_named() {
        let mut bytes = header(1, 0);
        tensor(&mut bytes, &[256], 16, 0);
        bytes.extend([0; 1024]);
        let error = checked(&bytes).unwrap_err().to_string();
        assert!(error.contains("ggml type 16") && error.contains("Q4_K"), "{error}");
    }

    #[test]
    fn a_file_cut_anywhere_is_truncated_and_nothing_worse() {
        let file = testing::model("llama").bytes();
        for end in (0..file.len() - 64).step_by(97) {
            assert!(checked(&file[..end]).is_err(), "cut at {end} passed");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut file = b"GGUF\x03\0\0\0".to_vec();
            file.extend(bytes);
            prop_assert!(checked(&file).is_ok() || checked(&file).is_err());
        }
    }
}

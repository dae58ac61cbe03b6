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

mod header;
mod tensor_type;

use std::{
    collections::HashSet,
    io::{self, Read},
};

use self::{
    header::Header,
    tensor_type::{TENSOR_TYPES, supported_types},
};

const TENSORS_MAX: u64 = 1 << 16;
const ALIGNMENT_DEFAULT: u64 = 32;

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

/// Walks the header of a file of `file_bytes` bytes from its first byte.
pub fn check(reader: impl Read, file_bytes: u64) -> Result<Checked, CheckError> {
    let mut header = Header::new(reader, file_bytes);
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

    use super::{
        header::{ARRAY, STRING, U32},
        *,
    };
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

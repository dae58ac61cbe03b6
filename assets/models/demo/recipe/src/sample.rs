//! Looks at what a finished file says, through the stock loader and not through our own graph.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, anyhow};
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use candle_core::{Device, Tensor};
use candle_transformers::generation::LogitsProcessor;
use candle_transformers::models::quantized_llama::ModelWeights;
use tokenizers::Tokenizer;

use crate::tokenizer::END_ID;

/// How to choose among the likely tokens.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Decides the choices.
    pub seed: u64,
    /// 0 always takes the likeliest token.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: f64,
    /// Longest answer.
    pub tokens: usize,
}

/// A loaded file.
pub struct Reader {
    model: ModelWeights,
    tokenizer: Tokenizer,
}

impl Reader {
    /// Loads the file as any other program would.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let tokenizer = Tokenizer::from_gguf(&content)?;
        let model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
        Ok(Self { model, tokenizer })
    }

    /// The ids of a prompt.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, true).map_err(|error| anyhow!("{error}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Logits for the token after `ids`, which begin at `position`.
    pub fn logits(&mut self, ids: &[u32], position: usize) -> Result<Tensor> {
        let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        Ok(self.model.forward(&input, position)?.squeeze(0)?)
    }

    /// Continues `prompt` until the end token.
    pub fn generate(&mut self, prompt: &str, sampling: Sampling) -> Result<String> {
        let temperature = Some(sampling.temperature).filter(|value| *value > 0.0);
        let mut choose = LogitsProcessor::new(sampling.seed, temperature, Some(sampling.top_p));
        let mut position = 0;
        let mut input = self.encode(prompt)?;
        let mut output = Vec::new();
        while output.len() < sampling.tokens {
            let logits = self.logits(&input, position)?;
            position += input.len();
            let token = choose.sample(&logits)?;
            if token == END_ID {
                break;
            }
            output.push(token);
            input = vec![token];
        }
        self.tokenizer.decode(&output, false).map_err(|error| anyhow!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Batch;
    use crate::tokenizer::Vocabulary;
    use crate::{corpus::Corpus, gguf, model::Model, model::Shape, optimizer::AdamW};
    use rand::SeedableRng;

    /// Two steps are enough to make every weight, the norms too, differ from where it began.
    fn barely_trained(directory: &Path) -> (Model, Vocabulary, Reader) {
        let mut corpus = Corpus::new(1);
        let documents: Vec<_> = (0..200).map(|_| corpus.document().unwrap()).collect();
        let vocabulary = Vocabulary::train(&documents, 600).unwrap();
        let shape = Shape { layers: 2, context: 256, ..Shape::shipped(vocabulary.tokens.len()) };
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let model = Model::new(shape, &mut rng).unwrap();
        let mut optimizer = AdamW::new(model.variables());
        for document in &documents[..2] {
            let ids = vocabulary.encode(document).unwrap();
            let batch = single(&ids[..ids.len().min(100)]);
            let gradients = model.loss(&batch).unwrap().backward().unwrap();
            optimizer.step(&[gradients], 1e-2).unwrap();
        }
        let path = directory.join("tiny.gguf");
        gguf::write(&path, &model, &vocabulary).unwrap();
        let reader = Reader::open(&path).unwrap();
        (model, vocabulary, reader)
    }

    fn single(ids: &[u32]) -> Batch {
        let size = ids.len() - 1;
        Batch {
            windows: 1,
            tokens: ids[..size].to_vec(),
            targets: ids[1..].into(),
            starts: vec![0; size].into(),
        }
    }

    #[test]
    fn the_stock_loader_computes_what_was_trained() {
        let directory = tempfile::tempdir().unwrap();
        let (model, vocabulary, mut reader) = barely_trained(directory.path());
        let mut ids =
            vocabulary.encode("Once upon a time, there was a little fox named Pip.").unwrap();
        let loaded = reader.logits(&ids, 0).unwrap().to_vec1::<f32>().unwrap();
        // A batch drops its last token, which is only a target.
        ids.push(END_ID);
        let all = model.logits(&single(&ids)).unwrap().to_vec2::<f32>().unwrap();
        let trained = all.last().unwrap();
        let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        assert_eq!(best(trained), best(&loaded));
        let spread = trained.iter().fold(0f32, |most, value| most.max(value.abs()));
        for (trained, loaded) in trained.iter().zip(&loaded) {
            assert!((trained - loaded).abs() < spread * 0.03, "{trained} {loaded}, of {spread}");
        }
    }

    #[test]
    fn the_stock_loader_reads_text_as_it_was_trained() {
        let directory = tempfile::tempdir().unwrap();
        let (_, vocabulary, reader) = barely_trained(directory.path());
        for text in [
            "Once upon a time",
            "<|user|>Hello!<|assistant|>",
            "two  spaces\n\n and 1234 don't",
            "🦊 東京 cafe\u{301}",
        ] {
            let ids = reader.encode(text).unwrap();
            assert_eq!(ids, vocabulary.encode(text).unwrap(), "{text:?}");
            assert_eq!(reader.tokenizer.decode(&ids, false).unwrap(), text);
        }
    }

    #[test]
    fn the_file_says_what_a_loader_asks_for() {
        let directory = tempfile::tempdir().unwrap();
        barely_trained(directory.path());
        let mut file = File::open(directory.path().join("tiny.gguf")).unwrap();
        let content = Content::read(&mut file).unwrap();
        for key in [
            "general.architecture",
            "general.name",
            "general.license",
            "general.file_type",
            "llama.context_length",
            "llama.vocab_size",
            "llama.rope.freq_base",
            "tokenizer.ggml.pre",
            "tokenizer.ggml.merges",
            "tokenizer.ggml.token_type",
            "tokenizer.ggml.eos_token_id",
            "tokenizer.chat_template",
        ] {
            assert!(content.metadata.contains_key(key), "{key}");
        }
        let tokens = content.metadata["tokenizer.ggml.tokens"].to_vec().unwrap();
        assert_eq!(content.tensor_infos["token_embd.weight"].shape.dims(), [tokens.len(), 256]);
    }
}

//! Which token comes next.
//!
//! The filters apply in the order penalty, temperature, top-k, top-p, min-p,
//! then one draw. Equal parameters, seed and logits give equal tokens, on
//! every platform and in every later version: the generator is ChaCha8 and
//! the float that is drawn from it is made here.
//!
//! Only as much of the vocabulary is ordered as the filters need; sorting all
//! of it costs more than a third of a step with 150 000 tokens.
//!
//! It refuses to repair a broken model: NaN or +∞ among the logits is an
//! error, never a silent choice.

use std::cmp::Ordering;

use protocol::inference::Sampling;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Why no token could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// The logits hold NaN or +∞.
    #[error(
        "the model computed {value} for token {token}; the file is damaged or does not fit this engine"
    )]
    NotANumber {
        /// Which token.
        token: usize,
        /// What stands there.
        value: String,
    },
    /// There is nothing to choose from.
    #[error("the model gave no token any chance; the file is damaged or does not fit this engine")]
    NothingLeft,
}

/// One token and its chance.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    /// The logit until [`softmax`], the probability after it.
    weight: f64,
}

/// The sampler of one request.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    penalty: Option<f64>,
    /// Every distinct token of the request so far; kept only for the penalty.
    seen: Vec<u32>,
    is_seen: Vec<bool>,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler for one request; `seed_if_absent` is used where the request
    /// names no seed.
    pub fn new(sampling: &Sampling, seed_if_absent: u64) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k.filter(|k| *k > 0).map(|k| k as usize),
            top_p: sampling.top_p.filter(|p| *p < 1.0),
            min_p: sampling.min_p.filter(|p| *p > 0.0),
            penalty: sampling
                .repetition_penalty
                .filter(|penalty| penalty.is_finite() && *penalty > 0.0 && *penalty != 1.0),
            seen: Vec::new(),
            is_seen: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(sampling.seed.unwrap_or(seed_if_absent)),
        }
    }

    /// Notes that `token` stands in the text, prompt included.
    pub fn saw(&mut self, token: u32) {
        if self.penalty.is_none() {
            return;
        }
        let index = token as usize;
        if index >= self.is_seen.len() {
            self.is_seen.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_seen[index], true) {
            self.seen.push(token);
        }
    }

    /// Chooses the next token.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, SamplingError> {
        let mut candidates = self.penalised(logits)?;
        if self.temperature <= 0.0 {
            return likeliest(&candidates).ok_or(SamplingError::NothingLeft);
        }
        if let Some(k) = self.top_k {
            keep_top(&mut candidates, k);
        }
        softmax(&mut candidates, self.temperature)?;
        if let Some(p) = self.top_p {
            keep_mass(&mut candidates, p);
        }
        if let Some(min_p) = self.min_p {
            keep_above(&mut candidates, min_p);
        }
        self.draw(&candidates).ok_or(SamplingError::NothingLeft)
    }

    fn penalised(&self, logits: &[f32]) -> Result<Vec<Candidate>, SamplingError> {
        let mut candidates = Vec::with_capacity(logits.len());
        for (index, &logit) in logits.iter().enumerate() {
            if logit.is_nan() || logit == f32::INFINITY {
                return Err(SamplingError::NotANumber { token: index, value: logit.to_string() });
            }
            let token = u32::try_from(index).map_err(|_| SamplingError::NothingLeft)?;
            candidates.push(Candidate { token, weight: f64::from(logit) });
        }
        if let Some(penalty) = self.penalty {
            for &token in &self.seen {
                if let Some(candidate) = candidates.get_mut(token as usize) {
                    let weight = &mut candidate.weight;
                    *weight = if *weight > 0.0 { *weight / penalty } else { *weight * penalty };
                }
            }
        }
        Ok(candidates)
    }

    fn draw(&mut self, candidates: &[Candidate]) -> Option<u32> {
        /// 2⁻⁵³: the 53 high bits of a u64 become every f64 of [0, 1) alike.
        const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;
        let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
        let mut left = (self.rng.next_u64() >> 11) as f64 * UNIT * total;
        let mut last = None;
        for candidate in candidates.iter().filter(|candidate| candidate.weight > 0.0) {
            last = Some(candidate.token);
            left -= candidate.weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

/// Heaviest first; among equals the lower token, so that order is total.
fn by_weight(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

fn likeliest(candidates: &[Candidate]) -> Option<u32> {
    candidates
        .iter()
        .filter(|candidate| candidate.weight > f64::NEG_INFINITY)
        .min_by(|a, b| by_weight(a, b))
        .map(|candidate| candidate.token)
}

/// Keeps the `k` heaviest, in no particular order.
fn keep_top(candidates: &mut Vec<Candidate>, k: usize) {
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k, by_weight);
        candidates.truncate(k);
    }
}

/// Logits become probabilities that sum to 1.
fn softmax(candidates: &mut [Candidate], temperature: f64) -> Result<(), SamplingError> {
    let highest = candidates.iter().map(|c| c.weight).fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return Err(SamplingError::NothingLeft);
    }
    let mut total = 0.0;
    for candidate in candidates.iter_mut() {
        candidate.weight = ((candidate.weight - highest) / temperature).exp();
        total += candidate.weight;
    }
    for candidate in candidates {
        candidate.weight /= total;
    }
    Ok(())
}

/// Keeps the smallest set of the heaviest whose probabilities reach `p`.
///
/// The set is usually a few dozen of many thousands, so a growing prefix is
/// selected and ordered until it weighs enough.
fn keep_mass(candidates: &mut Vec<Candidate>, p: f64) {
    let mut prefix = 64;
    loop {
        let partial = prefix < candidates.len();
        if partial {
            candidates.select_nth_unstable_by(prefix, by_weight);
        } else {
            prefix = candidates.len();
        }
        candidates[..prefix].sort_unstable_by(by_weight);
        let mut mass = 0.0;
        let enough = candidates[..prefix].iter().position(|candidate| {
            mass += candidate.weight;
            mass >= p
        });
        if let Some(last) = enough {
            candidates.truncate(last + 1);
            return;
        }
        if !partial {
            return;
        }
        prefix *= 4;
    }
}

/// Keeps those at least `min_p` times as likely as the likeliest.
fn keep_above(candidates: &mut Vec<Candidate>, min_p: f64) {
    let highest = candidates.iter().map(|candidate| candidate.weight).fold(0.0, f64::max);
    candidates.retain(|candidate| candidate.weight >= min_p * highest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The logits of tokens with these probabilities.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    fn sampling() -> Sampling {
        Sampling { temperature: 1.0, seed: Some(7), ..Sampling::default() }
    }

    /// How often each token is drawn in 10 000 draws.
    fn frequencies(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(sampling, 0);
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..10_000 {
            counts[sampler.sample(logits).unwrap() as usize] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / 10_000.0).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest_and_the_lower_of_equals() {
        let greedy = Sampling { temperature: 0.0, ..sampling() };
        let mut sampler = Sampler::new(&greedy, 0);
        assert_eq!(sampler.sample(&[0.1, 3.0, 2.9, 3.0]), Ok(1));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let expected = [0.5, 0.3, 0.15, 0.05];
        let drawn = frequencies(&sampling(), &logits(&[0.5, 0.3, 0.15, 0.05]));
        for (drawn, expected) in drawn.iter().zip(expected) {
            assert!((drawn - expected).abs() < 0.02, "{drawn} is far from {expected}");
        }
    }

    #[test]
    fn a_low_temperature_sharpens_and_a_high_one_flattens() {
        let skewed = logits(&[0.6, 0.4]);
        let cold = frequencies(&Sampling { temperature: 0.2, ..sampling() }, &skewed)[0];
        let hot = frequencies(&Sampling { temperature: 2.0, ..sampling() }, &skewed)[0];
        assert!(cold > 0.85 && hot < 0.57, "cold {cold}, hot {hot}");
    }

    #[test]
    fn top_k_keeps_exactly_the_likeliest_and_zero_keeps_all() {
        let some = logits(&[0.1, 0.4, 0.2, 0.3]);
        let two = frequencies(&Sampling { top_k: Some(2), ..sampling() }, &some);
        assert!(two[0] == 0.0 && two[2] == 0.0 && two[1] > 0.0 && two[3] > 0.0, "{two:?}");
        let all = frequencies(&Sampling { top_k: Some(0), ..sampling() }, &some);
        assert!(all.iter().all(|frequency| *frequency > 0.0), "{all:?}");
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        let some = logits(&[0.05, 0.5, 0.15, 0.3]);
        let kept = frequencies(&Sampling { top_p: Some(0.75), ..sampling() }, &some);
        assert!(kept[1] > 0.0 && kept[3] > 0.0, "{kept:?}");
        assert!(kept[0] == 0.0 && kept[2] == 0.0, "{kept:?}");
        let one = frequencies(&Sampling { top_p: Some(0.0), ..sampling() }, &some);
        assert_eq!(one[1], 1.0, "the likeliest always stays");
    }

    #[test]
    fn top_p_looks_past_its_first_prefix_when_the_vocabulary_is_flat() {
        let flat = vec![0.0; 1000];
        let mut candidates: Vec<Candidate> =
            (0..1000).map(|token| Candidate { token, weight: 0.001 }).collect();
        keep_mass(&mut candidates, 0.5005);
        assert_eq!(candidates.len(), 501);
        let mut sampler = Sampler::new(&Sampling { top_p: Some(0.5), ..sampling() }, 0);
        assert!((0..100).all(|_| sampler.sample(&flat).unwrap() < 501));
    }

    #[test]
    fn min_p_drops_what_is_unlikely_beside_the_likeliest() {
        let some = logits(&[0.6, 0.3, 0.1]);
        let kept = frequencies(&Sampling { min_p: Some(0.4), ..sampling() }, &some);
        assert!(kept[0] > 0.0 && kept[1] > 0.0 && kept[2] == 0.0, "{kept:?}");
    }

    #[test]
    fn the_penalty_pushes_seen_tokens_down_whatever_their_sign() {
        let penalised = Sampling { temperature: 0.0, repetition_penalty: Some(2.0), ..sampling() };
        let mut sampler = Sampler::new(&penalised, 0);
        assert_eq!(sampler.sample(&[3.0, 2.0]), Ok(0));
        sampler.saw(0);
        assert_eq!(sampler.sample(&[3.0, 2.0]), Ok(1));
        assert_eq!(sampler.sample(&[-1.0, -1.5]), Ok(1));
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_for_ever() {
        let flat = vec![0.0; 50];
        let draw = |seed| {
            let mut sampler = Sampler::new(&Sampling { seed: Some(seed), ..sampling() }, 0);
            (0..8).map(|_| sampler.sample(&flat).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let pinned = [34, 47, 21, 31, 14, 7, 15, 40];
        assert_eq!(draw(42), pinned, "a changed generator changes everybody's texts");
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error_and_no_panic() {
        for temperature in [0.0, 1.0] {
            let mut sampler = Sampler::new(&Sampling { temperature, ..sampling() }, 0);
            for bad in [f32::NAN, f32::INFINITY] {
                let error = sampler.sample(&[0.0, bad]).unwrap_err();
                assert!(matches!(error, SamplingError::NotANumber { token: 1, .. }), "{error}");
            }
            assert_eq!(sampler.sample(&[f32::NEG_INFINITY; 3]), Err(SamplingError::NothingLeft));
            assert_eq!(sampler.sample(&[]), Err(SamplingError::NothingLeft));
            assert_eq!(sampler.sample(&[f32::NEG_INFINITY, -5.0]), Ok(1));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_parameters_a_possible_token_comes_out(
            logits in proptest::collection::vec(-40.0_f32..40.0, 1..300),
            temperature in 0.0_f64..2.0,
            top_k in proptest::option::of(0_u32..400),
            top_p in proptest::option::of(0.0_f64..=1.0),
            min_p in proptest::option::of(0.0_f64..=1.0),
            penalty in proptest::option::of(0.1_f64..10.0),
            seed in any::<u64>(),
        ) {
            let sampling = Sampling {
                temperature, top_k, top_p, min_p, repetition_penalty: penalty, seed: Some(seed),
                ..Sampling::default()
            };
            let mut sampler = Sampler::new(&sampling, 0);
            sampler.saw(0);
            let token = sampler.sample(&logits).unwrap();
            prop_assert!((token as usize) < logits.len());
        }
    }
}

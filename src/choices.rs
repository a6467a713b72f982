//! The words among which a flag, or a field of a recipe, lets one choose.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How weights are stored.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoredType {
    /// 4 bytes
    F32,
    /// 2 bytes
    Bf16,
}

/// How weights are held while a model runs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// What suits the command and the folder
    Auto,
    /// 4 bytes
    F32,
    /// 2 bytes
    Bf16,
    /// 8.5 bits: 8-bit numbers with a scale for 32 of them
    Q8,
    /// 4.5 bits
    Q4,
}

/// What weights can be quantised to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quantized {
    /// 8.5 bits: 8-bit numbers with a scale for 32 of them
    Q8,
    /// 4.5 bits
    Q4,
}

/// How keys and values of tokens already read are kept.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cache {
    /// 4 bytes
    F32,
    /// 2 bytes
    Bf16,
    /// 9 bits
    Q8,
}

/// Which harness an evaluation equals, request by request.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The Korean branch of lm-evaluation-harness that the model card was made with
    Polyglot,
    /// lm-evaluation-harness at b281b09, behind the first Open LLM Leaderboard
    LeaderboardV1,
    /// lm-evaluation-harness 0.4.13
    LmEval,
}

/// How the solved examples before a question are chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fewshot {
    /// As the mode says: new ones for every question, or the first of a split
    Sampled,
    /// The same ones for every question
    Fixed,
}

/// A published table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// KoBEST COPA, HellaSwag, BoolQ, SentiNeg and NSMC at 0, 5, 10 and 50 shots
    #[value(name = "llama-2-ko-card")]
    Llama2KoCard,
    /// ARC, HellaSwag, MMLU, TruthfulQA, Winogrande, GSM8K and DROP
    OpenLlmLeaderboard,
}

/// Whether something may be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesOrNo {
    /// It may
    Yes,
    /// It may not
    No,
}

/// What a new embedding row starts as.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RowInit {
    /// Mean of the rows of the pieces that the base tokenizer splits it into
    MeanOfPieces,
    /// Drawn around the mean of all base rows, with their covariance
    Mean,
    /// Drawn around zero with the initializer range of the config
    Random,
}

/// Attention and documents of a row.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// One stream, documents joined by `</s>`
    #[default]
    Join,
    /// Attention stays inside each document
    Confine,
}

/// How the learning rate goes.
#[derive(Clone, Copy, ValueEnum)]
pub enum Schedule {
    /// Stays
    Constant,
    /// Falls to a tenth along a cosine
    Cosine,
    /// Falls to a tenth along a line
    Linear,
}

/// Order of the rows.
#[derive(Clone, Copy, ValueEnum)]
pub enum Order {
    /// A new permutation each epoch, from the seed
    Shuffled,
    /// As in the file
    Sequential,
}

/// What is computed again in the backward pass.
#[derive(Clone, Copy, ValueEnum)]
pub enum Recompute {
    /// Nothing
    None,
    /// Each layer from its input
    Layer,
}

/// Which parameters learn.
#[derive(Clone, Copy, ValueEnum)]
pub enum TrainOnly {
    /// All
    All,
    /// Only the rows of new tokens, in both embeddings
    NewRows,
    /// Both embedding matrices
    Embeddings,
}

/// Bytes of a document that is encoded.
#[derive(Clone, Copy, ValueEnum)]
pub enum DocumentSize {
    /// One line
    Line,
    /// Lines joined up to 4,096 bytes
    #[value(name = "4k")]
    Kib4,
    /// Lines joined up to 102,400 bytes
    #[value(name = "100k")]
    Kib100,
    /// Lines joined up to 1,048,576 bytes
    #[value(name = "1m")]
    Mib1,
    /// All lines
    Whole,
}

impl DocumentSize {
    /// The most bytes that lines are joined up to.
    pub fn bytes(self) -> usize {
        match self {
            DocumentSize::Line => 0,
            DocumentSize::Kib4 => 4 << 10,
            DocumentSize::Kib100 => 100 << 10,
            DocumentSize::Mib1 => 1 << 20,
            DocumentSize::Whole => usize::MAX,
        }
    }

    /// How it is shown.
    pub fn name(self) -> &'static str {
        match self {
            DocumentSize::Line => "one line",
            DocumentSize::Kib4 => "4 KiB",
            DocumentSize::Kib100 => "100 KiB",
            DocumentSize::Mib1 => "1 MiB",
            DocumentSize::Whole => "whole",
        }
    }
}

/// A model of which `bench generate` makes one of random weights.
#[derive(Clone, Copy, ValueEnum)]
pub enum BenchShape {
    /// 72.8 M parameters: hidden 512, 8 layers
    Small,
    /// 1.16 B parameters: hidden 2048, 22 layers, 4 key heads
    #[value(name = "1b")]
    OneB,
    /// 6.86 B parameters: Llama 2
    #[value(name = "7b")]
    SevenB,
}

impl BenchShape {
    /// How it is chosen and shown.
    pub fn name(self) -> &'static str {
        match self {
            BenchShape::Small => "small",
            BenchShape::OneB => "1b",
            BenchShape::SevenB => "7b",
        }
    }
}

/// How the weights are stored that `bench generate` measures.
#[derive(Clone, Copy, ValueEnum)]
pub enum BenchWeights {
    /// 4 bytes, row after row
    F32,
    /// 2 bytes, in panels
    Bf16,
    /// 8.5 bits, in panels
    Q8,
    /// 4.5 bits, in panels
    Q4,
}

impl BenchWeights {
    /// How it is chosen and shown.
    pub fn name(self) -> &'static str {
        match self {
            BenchWeights::F32 => "f32",
            BenchWeights::Bf16 => "bf16",
            BenchWeights::Q8 => "q8",
            BenchWeights::Q4 => "q4",
        }
    }
}

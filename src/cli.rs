//! Every command and flag on one page. Help comes from here; what a command does
//! stands in `commands/`.

use crate::choices::{
    BenchShape, BenchWeights, Cache, DocumentSize, Documents, Fewshot, Mode, Order, Preset,
    Quantized, Recompute, RowInit, Schedule, StoredType, TrainOnly, Weights, YesOrNo,
};
use clap::{Args, Parser, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Teaches a Llama a new language: grow its tokenizer, grow its embeddings, continue its
/// pre-training, measure it, let it write.
#[derive(Parser)]
#[command(name = "kollama", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Command {
    /// The whole story on an embedded sample: train in English, extend, continue in Korean, compare
    #[command(after_help = "Example:\n  kollama quickstart --out first-model --minutes 1")]
    Quickstart(Quickstart),
    /// Run a recipe, stage by stage; finished stages are not repeated
    #[command(after_help = "Example:\n  kollama run recipes/korean-small.toml --check\n  \
                            kollama run recipes/korean-small.toml --out runs/korean-small")]
    Run(Run),
    /// Make, extend, apply and compare tokenizers
    #[command(subcommand)]
    Tokenizer(Tokenizer),
    /// Make, extend and inspect model folders
    #[command(subcommand)]
    Model(Model),
    /// Look at texts and pack them into rows of token ids
    #[command(subcommand)]
    Corpus(Corpus),
    /// Train a model on packed rows, or resume a run
    #[command(
        after_help = "Example:\n  kollama train --model extended --data packed --out run \\\n    \
                            --steps 1000 --batch-size 8 --sequence-length 512 --lr 1e-4 \\\n    \
                            --schedule cosine --warmup-steps 50 --save-every 200"
    )]
    Train(Train),
    /// Measure a model with the tasks of lm-evaluation-harness, or compare two such runs
    ///
    /// Requests and scores are those of the harness that --mode names. With --out, what is scored is
    /// kept as it comes: the same command goes on where an earlier one was stopped.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Example:\n  kollama eval --model run --tasks kobest_copa,kobest_sentineg \
                      --shots 0,5 --data data/kobest --limit 200 --out results\n  \
                      kollama eval --model run --preset llama-2-ko-card --data data --out results\n  \
                      kollama eval --model run --tasks perplexity --data held-out.jsonl\n  \
                      kollama eval diff results-before results-after"
    )]
    Eval(Eval),
    /// Continue a text
    #[command(after_help = "Example:\n  kollama generate --model run --prompt '옛날 옛적에' \
                            --temperature 0.8 --top-p 0.95 --seed 7")]
    Generate(Generate),
    /// How likely continuations are: JSON lines in, JSON lines out
    ///
    /// The texts of a line are encoded each by itself and without `<s>`, as in the polyglot branch of
    /// lm-evaluation-harness; for any other rule send ids.
    #[command(after_help = "Example:\n  \
        echo '{\"context\":\"하늘은\",\"continuation\":\" 푸르다\"}' | kollama score --model run")]
    Score(Score),
    /// Serve models over HTTP, as OpenAI's clients ask
    #[command(after_help = "Example:\n  kollama serve --model run --port 8080\n  \
                            curl 127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' \\\n    \
                            -d '{\"prompt\": \"옛날 옛적에\", \"max_tokens\": 64}'")]
    Serve(Serve),
    /// Write the model card of a run (not supported yet)
    #[command(after_help = "Example:\n  kollama card --run runs/korean-small --out card")]
    Card(Card),
    /// How close to the limits of this machine the engine works
    #[command(subcommand)]
    Bench(Bench),
}

/// Flags of `quickstart`.
#[derive(Args)]
pub struct Quickstart {
    /// Where the two models, their tokenizers and the comparison are left
    #[arg(long, value_name = "DIR", default_value = "kollama-quickstart")]
    pub out: PathBuf,
    /// About how long to train, both languages together
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    pub minutes: f64,
}

/// Flags of `run`.
#[derive(Args)]
pub struct Run {
    /// The recipe: one TOML file is one run
    #[arg(value_name = "RECIPE.toml")]
    pub recipe: PathBuf,
    /// Begin (again) at this stage
    #[arg(long, value_name = "STAGE")]
    pub from: Option<String>,
    /// Stop after this stage
    #[arg(long, value_name = "STAGE")]
    pub to: Option<String>,
    /// The folder of the run [default: runs/NAME-OF-RECIPE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only resolve and validate; print the plan with its memory, time and disk
    #[arg(long)]
    pub check: bool,
}

/// Verbs of `tokenizer`.
#[derive(Subcommand)]
pub enum Tokenizer {
    /// Learn a Llama-style vocabulary from nothing
    ///
    /// Pieces are learned inside words: runs of characters of one script with the blank before them.
    /// Punctuation and symbols count as a script of their own, so none is glued to a letter; each
    /// digit is its own piece and in no other; line ends are bytes. Of pairs seen equally often the
    /// one with the older left half comes first, then the one with the older right half.
    ///
    /// The texts of smaller files count for more: of one a thousand times smaller than the largest, 1.6
    /// times.
    ///
    /// Memory: at most 8 million distinct words are counted (and those of the last 32 MB of text),
    /// however large the corpus is; beyond that the rarest are dropped (lossy counting, Manku and
    /// Motwani 2002). The report in the folder says how many, and how much a count may be too low.
    #[command(
        after_help = "Example:\n  kollama tokenizer train --corpus texts/ --vocab-size 8000 --out tok"
    )]
    Train {
        /// Texts: .jsonl or .txt, plain, .gz or .zst; folders are walked
        #[arg(long, required = true, num_args = 1.., value_name = "FILE|DIR")]
        corpus: Vec<PathBuf>,
        /// Ids in the result, bytes and special pieces included
        #[arg(long, value_name = "N")]
        vocab_size: usize,
        /// How pieces are learned
        #[command(flatten)]
        rules: PieceRules,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Add pieces of a new language without moving an old id
    ///
    /// New pieces hold characters of one script only, its combining marks, and the blank before them:
    /// digits, punctuation and every other script keep the ids that they have, and no new piece glues
    /// them to a letter.
    /// A digit of the script itself is its own piece and in no other. Of pairs seen equally often
    /// the one with the older left half comes first, then the one with the older right half.
    ///
    /// The texts of smaller files count for more: of one a thousand times smaller than the largest, 1.6
    /// times.
    ///
    /// Memory: at most 8 million distinct words are counted (and those of the last 32 MB of text),
    /// however large the corpus is; beyond that the rarest are dropped (lossy counting, Manku and
    /// Motwani 2002). The report in the folder says how many, and how much a count may be too low.
    #[command(
        after_help = "Examples:\n  kollama tokenizer extend --base Llama-2-7b --corpus korean/ \
                            --vocab-size 46336 --out tok-ko\n  \
                            kollama tokenizer extend --base Llama-2-7b --corpus thai.txt \
                            --script Thai --vocab-size 40000 --out tok-th"
    )]
    Extend {
        /// Tokenizer to grow: a folder, tokenizer.json or tokenizer.model
        #[arg(long, value_name = "DIR|FILE")]
        base: PathBuf,
        /// Texts in the new language
        #[arg(long, required = true, num_args = 1.., value_name = "FILE|DIR")]
        corpus: Vec<PathBuf>,
        /// Ids in the result, the old ones included
        #[arg(long, value_name = "N")]
        vocab_size: usize,
        /// Unicode script of the new pieces: Hangul, Thai, Arabic, Devanagari, Greek, …
        #[arg(long, value_name = "NAME", default_value = "Hangul")]
        script: String,
        /// How pieces are learned
        #[command(flatten)]
        rules: PieceRules,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Text to ids; one JSON object a line with --json
    #[command(
        after_help = "Example:\n  kollama tokenizer encode --tokenizer tok '안녕하세요' --json\n  \
                            → {\"ids\":[…],\"tokens\":[\"▁안녕\",\"하세요\"]}"
    )]
    Encode {
        /// A folder, tokenizer.json or tokenizer.model
        #[arg(long, value_name = "DIR|FILE")]
        tokenizer: PathBuf,
        /// Texts to encode
        text: Vec<String>,
        /// One text a line, from a file or - for standard input
        #[arg(long, value_name = "FILE|-", conflicts_with = "text")]
        input: Option<PathBuf>,
        /// Put `<s>` in front
        #[arg(long)]
        add_bos: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Ids to text; one JSON array of ids a line in
    #[command(
        after_help = "Example:\n  echo '[15043,3186]' | kollama tokenizer decode --tokenizer tok"
    )]
    Decode {
        /// A folder, tokenizer.json or tokenizer.model
        #[arg(long, value_name = "DIR|FILE")]
        tokenizer: PathBuf,
        /// One JSON array of ids a line, from a file or - for standard input
        #[arg(long, value_name = "FILE|-", default_value = "-")]
        input: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Two tokenizers side by side: tokens, counts, tokens per character, speed
    #[command(after_help = "Example:\n  kollama tokenizer compare base extended \
                            '안녕하세요, 오늘은 날씨가 좋네요.' --corpus korean.jsonl.zst \
                            --html comparison.html")]
    Compare {
        /// First tokenizer
        a: PathBuf,
        /// Second tokenizer
        b: PathBuf,
        /// Texts to show both ways
        #[arg(required_unless_present = "corpus")]
        text: Vec<String>,
        /// Texts to count over, a row per file
        #[arg(long, num_args = 1.., value_name = "FILE")]
        corpus: Vec<PathBuf>,
        /// Also as one page that shows every token, with some lines of each corpus
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// Flags of `tokenizer train` and `tokenizer extend`.
#[derive(Args)]
pub struct PieceRules {
    /// A pair of neighbours seen less often, by the weight of its files, becomes no piece
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub min_frequency: u64,
    /// Characters of the longest piece, the blank before it included: 2 to 64
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=64))]
    pub max_piece_length: u8,
    /// Whether a piece may go on over a single blank between two words
    #[arg(long, value_enum, default_value_t = YesOrNo::No)]
    pub pieces_may_cross_space: YesOrNo,
}

/// Verbs of `model`.
#[derive(Subcommand)]
pub enum Model {
    /// A model with random weights
    #[command(
        after_help = "Example:\n  kollama model init --config small --tokenizer tok --seed 1 --out base"
    )]
    Init {
        /// tiny, small, 7b, 13b, 70b, or a config.json
        #[arg(long, value_name = "NAME|FILE")]
        config: String,
        /// Its vocabulary size decides the size of the embeddings
        #[arg(long, value_name = "DIR")]
        tokenizer: PathBuf,
        /// Same seed, same weights
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How weights are stored
        #[arg(long, value_enum, default_value_t = StoredType::F32)]
        dtype: StoredType,
    },
    /// Grow embeddings and output layer to an extended tokenizer
    #[command(
        after_help = "Example:\n  kollama model extend --base Llama-2-7b --tokenizer tok-ko \
                            --init mean-of-pieces --out Llama-2-7b-ko-start"
    )]
    Extend {
        /// The model folder to grow, with its tokenizer
        #[arg(long, value_name = "DIR")]
        base: PathBuf,
        /// The extended tokenizer
        #[arg(long, value_name = "DIR")]
        tokenizer: PathBuf,
        /// What a new row starts as
        #[arg(long, value_enum, default_value_t = RowInit::MeanOfPieces)]
        init: RowInit,
        /// Seed of the random draws of `mean` and `random`
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// What a model folder holds
    #[command(after_help = "Example:\n  kollama model info run --json")]
    Info {
        /// The model folder
        dir: PathBuf,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read every tensor and check it against config, index and tokenizer
    #[command(after_help = "Example:\n  kollama model verify run")]
    Verify {
        /// The model folder
        dir: PathBuf,
    },
    /// 8- or 4-bit weights: less memory, faster generation; such a folder runs but does not train
    #[command(after_help = "Example:\n  kollama model quantize run --to q8 --out run-q8")]
    Quantize {
        /// The model folder
        dir: PathBuf,
        /// Bits of a weight
        #[arg(long, value_enum)]
        to: Quantized,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// GGUF for llama.cpp (not supported yet)
    #[command(after_help = "Example:\n  kollama model export-gguf run --out run.gguf")]
    ExportGguf {
        /// The model folder
        dir: PathBuf,
        /// What to write
        #[arg(long)]
        out: PathBuf,
    },
}

/// Verbs of `corpus`.
#[derive(Subcommand)]
pub enum Corpus {
    /// Documents, bytes and characters per source, tokens if a tokenizer is given
    #[command(after_help = "Example:\n  kollama corpus stats korean/ --tokenizer tok-ko")]
    Stats {
        /// Texts: .jsonl or .txt, plain, .gz or .zst; folders are walked
        #[arg(required = true, value_name = "FILE|DIR")]
        sources: Vec<PathBuf>,
        /// Count tokens with it
        #[arg(long, value_name = "DIR|FILE")]
        tokenizer: Option<PathBuf>,
        /// One JSON object a source
        #[arg(long)]
        json: bool,
    },
    /// Texts, or rows tokenised elsewhere, to memory-mapped rows of exactly N ids
    #[command(after_help = "Examples:\n  kollama corpus pack korean/ --tokenizer tok-ko \
                            --sequence-length 512 --out packed\n  \
                            kollama corpus pack --ids rows.jsonl --vocab-size 46336 --out packed")]
    Pack {
        /// Texts: .jsonl or .txt, plain, .gz or .zst; folders are walked
        #[arg(value_name = "FILE|DIR", required_unless_present = "ids", conflicts_with = "ids")]
        sources: Vec<PathBuf>,
        /// Tokenizer of the model that will be trained
        #[arg(long, value_name = "DIR", required_unless_present = "ids", conflicts_with = "ids")]
        tokenizer: Option<PathBuf>,
        /// Ids in a row
        #[arg(long, value_name = "N", required_unless_present = "ids", conflicts_with = "ids")]
        sequence_length: Option<usize>,
        /// Whether attention runs on across documents or stays inside each [default: join]
        #[arg(long, value_enum, conflicts_with = "ids")]
        documents: Option<Documents>,
        /// Rows tokenised elsewhere, a JSON object a line: `ids`, maybe `labels` and `documents`
        #[arg(long, value_name = "FILE.jsonl", requires = "vocab_size")]
        ids: Option<PathBuf>,
        /// Ids must be below it
        #[arg(long, value_name = "N", requires = "ids")]
        vocab_size: Option<usize>,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Keep, mend or drop documents by rules (not supported yet)
    #[command(after_help = "Example:\n  kollama corpus clean korean/")]
    Clean {
        /// Texts
        sources: Vec<PathBuf>,
    },
    /// Drop exact and near doubles (not supported yet)
    #[command(after_help = "Example:\n  kollama corpus dedup korean/")]
    Dedup {
        /// Texts
        sources: Vec<PathBuf>,
    },
}

/// Flags of `train`.
#[derive(Args)]
pub struct Train {
    /// Model folder to start from
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder made by `corpus pack`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of the run; the trained model stands here at the end
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Optimiser steps in all
    #[arg(long, value_name = "N")]
    pub steps: u64,
    /// Rows of one micro-batch
    #[arg(long, value_name = "SEQS")]
    pub batch_size: usize,
    /// Tokens of a row; must be what the data was packed with
    #[arg(long, value_name = "T")]
    pub sequence_length: usize,
    /// Highest learning rate
    #[arg(long, value_name = "X")]
    pub lr: f64,
    /// How the learning rate goes on after warm-up
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    pub schedule: Schedule,
    /// Steps of linear warm-up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warmup_steps: u64,
    /// Decoupled weight decay, matrices only
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Decay of the first moment
    #[arg(long, value_name = "X", default_value_t = 0.9)]
    pub beta1: f64,
    /// Decay of the second moment
    #[arg(long, value_name = "X", default_value_t = 0.95)]
    pub beta2: f64,
    /// Added to the root of the second moment
    #[arg(long, value_name = "X", default_value_t = 1e-8)]
    pub epsilon: f64,
    /// Clip the global gradient norm to this
    #[arg(long, value_name = "X")]
    pub clip: Option<f64>,
    /// Micro-batches of one step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Order::Shuffled)]
    pub order: Order,
    /// What weights and activations are computed as; master weights, gradients and moments are f32
    #[arg(long, value_enum, default_value_t = StoredType::F32)]
    pub dtype: StoredType,
    /// What to compute again in the backward pass to save memory
    #[arg(long, value_enum, default_value_t = Recompute::None)]
    pub recompute: Recompute,
    /// Which parameters learn
    #[arg(long, value_enum, default_value_t = TrainOnly::All)]
    pub train_only: TrainOnly,
    /// For `--train-only new-rows`: rows below this are kept [default: as `model extend` recorded]
    #[arg(long, value_name = "N")]
    pub base_vocab_size: Option<usize>,
    /// Seed of the order of the rows
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Go on from the newest checkpoint of --out
    #[arg(long)]
    pub resume: bool,
    /// Save a checkpoint every N steps [default: only at the end]
    #[arg(long, value_name = "N")]
    pub save_every: Option<u64>,
    /// Packed rows to measure the loss on
    #[arg(long, value_name = "DIR")]
    pub eval_data: Option<PathBuf>,
    /// Measure it every N steps [default: only at the end]
    #[arg(long, value_name = "N", requires = "eval_data")]
    pub eval_every: Option<u64>,
    /// One JSON object a step [default: OUT/train.jsonl]
    #[arg(long, value_name = "FILE.jsonl")]
    pub log: Option<PathBuf>,
}

/// `eval`, and what else can be done with its results.
#[derive(Args)]
pub struct Eval {
    /// What else
    #[command(subcommand)]
    pub verb: Option<EvalVerb>,
    /// What is measured
    #[command(flatten)]
    pub measured: Option<Evaluated>,
    /// What the model is held as
    #[command(flatten)]
    pub held: Held,
}

/// Verbs of `eval`.
#[derive(Subcommand)]
pub enum EvalVerb {
    /// Compare two runs request by request: texts, ids, log-likelihoods, predictions, metrics
    #[command(after_help = "Example:\n  kollama eval diff results-f32 results-q4\n  \
                            kollama eval diff results lm-eval-out --json")]
    Diff {
        /// Folder of a run, ours or of lm-evaluation-harness with --log_samples
        a: PathBuf,
        /// Folder of another run
        b: PathBuf,
        /// One JSON object instead of tables
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `eval`.
#[derive(Args)]
pub struct Evaluated {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// kobest or kobest_boolq, _copa, _hellaswag, _sentineg, _wic; nsmc; arc_challenge, hellaswag,
    /// mmlu, truthfulqa_mc, winogrande, gsm8k, drop; perplexity; or a task file, NAME.toml
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', required_unless_present = "preset")]
    pub tasks: Vec<String>,
    /// Solved examples in front of each question
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "0")]
    pub shots: Vec<usize>,
    /// Tasks, shots and mode of a published table
    #[arg(long, value_enum, conflicts_with_all = ["tasks", "shots", "mode"])]
    pub preset: Option<Preset>,
    /// Which harness requests and scores are equal to
    #[arg(long, value_enum, default_value_t = Mode::Polyglot)]
    pub mode: Mode,
    /// How examples are chosen; `fixed` is a protocol of its own, whose scores compare with no other
    #[arg(long, value_enum, default_value_t = Fewshot::Sampled)]
    pub fewshot: Fewshot,
    /// Folder of the task data (KoBEST: COPA/test.tsv[.zst] …; a preset: a folder that holds kobest/
    /// and nsmc/); for perplexity the texts [default: the hub's cache]
    #[arg(long, value_name = "DIR|FILE")]
    pub data: Option<PathBuf>,
    /// Only the first N documents: for trying out, not for tables
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Folder for results.json, results_K_shot.json, samples, results.md and charts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where scores are kept to go on from [default: OUT/requests.cache]
    #[arg(long, value_name = "FILE")]
    pub cache_file: Option<PathBuf>,
    /// Read every request by itself, which takes longer and gives the same scores
    #[arg(long)]
    pub no_share: bool,
    /// One JSON object on standard output instead of tables: {"shots":{K: results},"perplexity"}
    #[arg(long)]
    pub json: bool,
}

/// Flags of `generate`.
#[derive(Args)]
pub struct Generate {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Text to continue [default: standard input]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Stop after this many tokens
    #[arg(long, value_name = "N", default_value = "128")]
    pub max_new_tokens: NonZeroUsize,
    /// 0 takes the likeliest token each time
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub temperature: f32,
    /// Draw among the K likeliest; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Draw among the likeliest that together reach P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Leave out what is less likely than P times the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f32,
    /// Divide (or multiply, if negative) the logits of tokens already seen
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Stop before any of these strings
    #[arg(long, value_name = "TEXT", num_args = 1..)]
    pub stop: Vec<String>,
    /// Same seed, same text
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// One JSON object instead of streamed text
    #[arg(long)]
    pub json: bool,
    /// What the model is held as
    #[command(flatten)]
    pub held: Held,
}

/// Flags of `score`.
#[derive(Args)]
pub struct Score {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// {"context","continuation"} or {"context_ids","continuation_ids"} a line; - is standard input
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub input: PathBuf,
    /// What the model is held as
    #[command(flatten)]
    pub held: Held,
}

/// What the model is held as by `eval`, `generate`, `score` and `serve`.
#[derive(Args, Clone)]
pub struct Held {
    /// How weights are held. auto: a quantised folder as it is; else `generate` and `serve` as the folder stores them,
    /// `eval` and `score` as f32
    #[arg(long, value_enum, default_value_t = Weights::Auto)]
    pub weights: Weights,
    /// How keys and values are kept [default: f32 beside f32 weights, else bf16]
    #[arg(long, value_enum)]
    pub cache: Option<Cache>,
}

/// Flags of `serve`.
#[derive(Args)]
pub struct Serve {
    /// Model folder, or a name for it and the folder; may be given more than once
    #[arg(long, required = true, value_name = "[NAME=]DIR")]
    pub model: Vec<String>,
    /// Another tokenizer to compare texts with
    #[arg(long, value_name = "DIR|FILE")]
    pub compare_tokenizer: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 is any that is free
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// File whose first line clients must send as `Authorization: Bearer KEY` [default: the
    /// environment's KOLLAMA_API_KEY, if set]
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Let web pages of this origin call, as `https://example.org`
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Option<String>,
    /// Memory for keys and values of each model: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub kv_memory: u64,
    /// Answers that may be written or wait at once; one more is refused with 429
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub queue: u32,
    /// Seconds that a request may take
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub request_timeout: u64,
    /// Seconds that a client may take to send a request, or to take what it is sent
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_timeout: u64,
    /// Seconds that answers may go on after SIGTERM or Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub shutdown_timeout: u64,
    /// What the model is held as
    #[command(flatten)]
    pub held: Held,
}

/// A number of bytes: `4096`, `512M`, `2G`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("expected a number with K, M, G or nothing after it".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number, as 512M".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "no memory is that large".to_owned())
}

/// Flags of `card`.
#[derive(Args)]
pub struct Card {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    pub run: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Verbs of `bench`.
#[derive(Subcommand)]
pub enum Bench {
    /// What this machine can do: multiply-adds and memory reads a second
    #[command(after_help = "Example:\n  kollama bench roof --threads 2")]
    Roof {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Matrix products in the three layouts of training, as shares of the roof
    #[command(after_help = "Example:\n  kollama bench matmul --json")]
    Matmul(BenchOutput),
    /// One training step: hidden 512, 8 layers, vocabulary 46,336, 4 × 512 tokens
    #[command(after_help = "Example:\n  kollama bench train --dtype bf16 --repeats 3 --json")]
    Train(BenchTrain),
    /// Reading a prompt of 512 tokens and writing 64, alone, in a crowd and with guesses
    #[command(after_help = "Example:\n  kollama bench generate --shape 1b --weights q8 --json")]
    Generate(BenchGenerate),
    /// Encoding text, alone or beside other tokenizers; one thread unless --threads says more
    #[command(after_help = "Example:\n  \
        kollama bench tokenize --tokenizer tok --corpus korean.jsonl.zst code.jsonl \\\n    \
        --document-size line,4k,1m --worst --against tools/bench_tokenize.py")]
    Tokenize(BenchTokenize),
}

/// Flags of `bench generate`.
#[derive(Args)]
pub struct BenchGenerate {
    /// Model to make, of random weights
    #[arg(long, value_enum, default_value = "small")]
    pub shape: BenchShape,
    /// How its weights are stored
    #[arg(long, value_enum, default_value = "f32")]
    pub weights: BenchWeights,
    /// How to print
    #[command(flatten)]
    pub output: BenchOutput,
}

/// Flags of `bench train`.
#[derive(Args)]
pub struct BenchTrain {
    /// What weights and activations are computed as
    #[arg(long, value_enum, default_value_t = StoredType::F32)]
    pub dtype: StoredType,
    /// How to print
    #[command(flatten)]
    pub output: BenchOutput,
}

/// Flags of `bench tokenize`.
#[derive(Args)]
pub struct BenchTokenize {
    /// Tokenizer to measure
    #[arg(long, value_name = "DIR|FILE")]
    pub tokenizer: PathBuf,
    /// Texts to encode; each argument is a row of the table
    #[arg(long, required = true, num_args = 1.., value_name = "FILE|DIR")]
    pub corpus: Vec<PathBuf>,
    /// Join the lines of a text to documents of these sizes [default: documents as they stand]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SIZE")]
    pub document_size: Vec<DocumentSize>,
    /// Also texts of 10 MB that are hard: without blanks, one character all along
    #[arg(long)]
    pub worst: bool,
    /// Script that runs other tokenizers, by the Python that KOLLAMA_PYTHON names
    #[arg(long, value_name = "SCRIPT.py")]
    pub against: Option<PathBuf>,
    /// How to print
    #[command(flatten)]
    pub output: BenchOutput,
}

/// How a measurement is printed.
#[derive(Args)]
pub struct BenchOutput {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Repetitions; the median is quoted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: u16,
}

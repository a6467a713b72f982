//! Every operation on every path of the processor, on ragged shapes, equals the reference, and
//! gives the same bits for any number of threads. Gradients begin at random values, which shows
//! that they are added to; plain outputs begin as NaN, which shows that they are overwritten.

mod adamw;
mod agreement;
mod attention;
mod attention_cases;
mod begun;
mod bf16;
mod callers;
mod cross_entropy;
mod embedding;
mod kept;
mod matmul;
mod memory_and_sums;
mod not_a_number;
#[path = "../numbers/mod.rs"]
mod numbers;
mod packed;
mod rms_norm;
mod rope;
mod shapes;
mod swiglu;

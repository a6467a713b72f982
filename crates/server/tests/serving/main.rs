//! The server as its clients see it: what it answers, in one piece and as a stream, alone and in a
//! crowd, and what it does with clients that mean harm.

#![allow(clippy::unwrap_used)] // What cannot be prepared has failed its test.

mod abuse;
mod chats;
mod clients;
mod completing;
mod small_server;
mod tokenizing;

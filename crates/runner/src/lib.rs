#![doc = include_str!("../README.md")]

pub mod lines;
pub mod protocol;

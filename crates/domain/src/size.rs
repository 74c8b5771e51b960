//! The size of a shell, and its network.

use serde::{Deserialize, Serialize};

/// CPU and memory of a shell: one of the pairs that Fargate offers, on one machine too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    cpu: u32,
    memory_mib: u32,
}

/// Fargate has no such pair of CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cpu {cpu} does not go with {memory_mib} MiB of memory")]
pub struct SizeError {
    cpu: u32,
    memory_mib: u32,
}

impl Size {
    /// A quarter of a core and 512 MiB.
    pub const DEFAULT: Self = Self { cpu: 256, memory_mib: 512 };

    /// A size of `cpu` units of 1/1024 core and `memory_mib` MiB.
    ///
    /// # Errors
    /// If the pair is not in the table of Fargate's sizes up to four cores
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>).
    pub const fn new(cpu: u32, memory_mib: u32) -> Result<Self, SizeError> {
        let gib = memory_mib / 1024;
        let whole = memory_mib.is_multiple_of(1024);
        let fits = match cpu {
            256 => memory_mib == 512 || (whole && 1 <= gib && gib <= 2),
            512 => whole && 1 <= gib && gib <= 4,
            1024 => whole && 2 <= gib && gib <= 8,
            2048 => whole && 4 <= gib && gib <= 16,
            4096 => whole && 8 <= gib && gib <= 30,
            _ => false,
        };
        if fits { Ok(Self { cpu, memory_mib }) } else { Err(SizeError { cpu, memory_mib }) }
    }

    /// CPU in units of 1/1024 core.
    pub const fn cpu(self) -> u32 {
        self.cpu
    }

    /// Memory in MiB.
    pub const fn memory_mib(self) -> u32 {
        self.memory_mib
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a shell can reach over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Network {
    /// Only itself.
    None,
    /// Outgoing connections; none come in.
    Egress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pairs_of_fargates_table_are_accepted() {
        for (cpu, memory) in [(256, 512), (256, 2048), (512, 1024), (1024, 8192), (4096, 30_720)] {
            assert!(Size::new(cpu, memory).is_ok(), "{cpu} with {memory}");
        }
        for (cpu, memory) in [(0, 0), (256, 256), (256, 3072), (512, 512), (1024, 1536), (300, 512)]
        {
            assert!(Size::new(cpu, memory).is_err(), "{cpu} with {memory}");
        }
    }
}

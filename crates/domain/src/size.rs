//! The size of a shell, and its network.

use serde::{Deserialize, Serialize};

/// CPU and memory of a shell, one of the pairs that Fargate offers, on one machine too; and its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    cpu: u32,
    memory_mib: u32,
    // Older versions wrote sizes without it.
    #[serde(default = "default_disk", skip_serializing_if = "is_default_disk")]
    disk_mib: u32,
}

/// A size that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Fargate has no such pair of CPU and memory.
    #[error("cpu {cpu} does not go with {memory_mib} MiB of memory")]
    Pair { cpu: u32, memory_mib: u32 },
    /// The disk is too small or too large.
    #[error("a disk must have {} to {} MiB", Size::MIN_DISK_MIB, Size::MAX_DISK_MIB)]
    Disk,
}

impl Size {
    /// A quarter of a core, 512 MiB, and a disk of 2 GiB.
    pub const DEFAULT: Self = Self { cpu: 256, memory_mib: 512, disk_mib: 2048 };
    /// The smallest disk, in MiB.
    pub const MIN_DISK_MIB: u32 = 64;
    /// The largest disk, in MiB: that of Fargate.
    pub const MAX_DISK_MIB: u32 = 200 * 1024;

    /// A size of `cpu` units of 1/1024 core and `memory_mib` MiB, with a disk of 2 GiB.
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
        if !fits {
            return Err(SizeError::Pair { cpu, memory_mib });
        }
        Ok(Self { cpu, memory_mib, disk_mib: Self::DEFAULT.disk_mib })
    }

    /// The same size with another disk.
    ///
    /// # Errors
    /// If no shell can have such a disk.
    pub const fn with_disk(self, disk_mib: u32) -> Result<Self, SizeError> {
        if disk_mib < Self::MIN_DISK_MIB || disk_mib > Self::MAX_DISK_MIB {
            return Err(SizeError::Disk);
        }
        Ok(Self { disk_mib, ..self })
    }

    /// CPU in units of 1/1024 core.
    pub const fn cpu(self) -> u32 {
        self.cpu
    }

    /// Memory in MiB.
    pub const fn memory_mib(self) -> u32 {
        self.memory_mib
    }

    /// Disk for files, in MiB: at least this much.
    pub const fn disk_mib(self) -> u32 {
        self.disk_mib
    }
}

const fn default_disk() -> u32 {
    Size::DEFAULT.disk_mib
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_default_disk(disk_mib: &u32) -> bool {
    *disk_mib == Size::DEFAULT.disk_mib
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

    #[test]
    fn a_disk_has_limits_and_a_default() {
        assert_eq!(Size::new(512, 1024).unwrap().disk_mib(), 2048);
        for disk in [64, 2048, 204_800] {
            assert_eq!(Size::DEFAULT.with_disk(disk).unwrap().disk_mib(), disk);
        }
        for disk in [0, 63, 204_801, u32::MAX] {
            assert_eq!(Size::DEFAULT.with_disk(disk), Err(SizeError::Disk));
        }
        let old: Size = serde_json::from_str(r#"{"cpu":256,"memoryMib":512}"#).unwrap();
        assert_eq!(old, Size::DEFAULT);
        let large = Size::DEFAULT.with_disk(4096).unwrap();
        let text = serde_json::to_string(&large).unwrap();
        assert_eq!(serde_json::from_str::<Size>(&text).unwrap(), large);
    }
}

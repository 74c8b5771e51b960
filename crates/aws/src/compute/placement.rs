//! The placements to try for a task, in order of preference.

/// Spot capacity, which AWS may reclaim, or on-demand capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Spot,
    OnDemand,
}

impl Capacity {
    /// The capacity provider's name.
    pub(super) const fn provider(self) -> &'static str {
        match self {
            Self::Spot => "FARGATE_SPOT",
            Self::OnDemand => "FARGATE",
        }
    }
}

/// One capacity provider in one subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement<'a> {
    pub(super) capacity: Capacity,
    pub(super) subnet: &'a str,
    /// The client token of the request: a repeated request gives the same task.
    pub(super) token: String,
}

/// All placements for a request: each subnet (one per availability zone) for each capacity. The same
/// token always gives the same list; different tokens start at different subnets.
pub(super) fn placements<'a>(subnets: &'a [String], spot: bool, token: &str) -> Vec<Placement<'a>> {
    let capacities: &[Capacity] =
        if spot { &[Capacity::Spot, Capacity::OnDemand] } else { &[Capacity::OnDemand] };
    let first = token.bytes().map(usize::from).sum::<usize>();
    let mut placements: Vec<Placement<'a>> = Vec::new();
    for capacity in capacities {
        for at in 0..subnets.len() {
            let number = placements.len();
            // ECS repeats a definite refusal for the same token, so each placement has its own.
            let token = if number == 0 { token.to_owned() } else { format!("{token}-{number}") };
            let subnet = &subnets[(first + at) % subnets.len()];
            placements.push(Placement { capacity: *capacity, subnet, token });
        }
    }
    placements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).into()
    }

    #[test]
    fn spot_is_tried_in_every_subnet_before_on_demand() {
        let subnets = subnets();
        let all = placements(&subnets, true, "t");
        assert_eq!(all.len(), 6);
        assert!(all[..3].iter().all(|placement| placement.capacity == Capacity::Spot));
        assert!(all[3..].iter().all(|placement| placement.capacity == Capacity::OnDemand));
        for half in [&all[..3], &all[3..]] {
            let mut named: Vec<&str> = half.iter().map(|placement| placement.subnet).collect();
            named.sort_unstable();
            assert_eq!(named, ["a", "b", "c"]);
        }
    }

    #[test]
    fn every_placement_has_its_own_token_and_always_the_same() {
        let subnets = subnets();
        let all = placements(&subnets, true, "sh_1-a2");
        let tokens: Vec<&str> = all.iter().map(|placement| placement.token.as_str()).collect();
        let wanted = ["sh_1-a2", "sh_1-a2-1", "sh_1-a2-2", "sh_1-a2-3", "sh_1-a2-4", "sh_1-a2-5"];
        assert_eq!(tokens, wanted);
        assert_eq!(all, placements(&subnets, true, "sh_1-a2"));
    }

    #[test]
    fn different_requests_start_at_different_subnets() {
        let subnets = subnets();
        let first = |token| placements(&subnets, false, token)[0].subnet;
        assert_ne!(first("sh_1-a1"), first("sh_2-a1"));
    }
}

//! The placements to try for a task, in order of preference.

/// The capacity of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Providers {
    /// Fargate and Fargate Spot.
    Fargate,
    /// Groups of EC2 instances, each behind a capacity provider.
    Instances(Instances),
}

/// Groups of EC2 instances that run tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    /// The name of the capacity provider of on-demand instances.
    pub on_demand: String,
    /// The name of the capacity provider of Spot instances.
    pub spot: String,
    /// Whether an instance runs one task at a time.
    pub one_task_each: bool,
}

/// Spot capacity, which AWS may reclaim, or on-demand capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Spot,
    OnDemand,
}

/// One capacity provider, in one subnet or in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement<'a> {
    pub(super) capacity: Capacity,
    /// The capacity provider's name.
    pub(super) provider: &'a str,
    pub(super) subnets: &'a [String],
    /// The client token of the request: a repeated request gives the same task.
    pub(super) token: String,
}

impl Providers {
    /// All placements for a request, for each capacity: on Fargate each subnet (one per availability zone), which
    /// refuses a task at once; on instances all subnets together, because there a task waits, and in one subnet
    /// it could wait for ever for an instance that started in another one. The same token always gives the same
    /// list; different tokens start at different subnets.
    pub(super) fn placements<'a>(
        &'a self,
        subnets: &'a [String],
        spot: bool,
        token: &str,
    ) -> Vec<Placement<'a>> {
        let capacities: &[Capacity] =
            if spot { &[Capacity::Spot, Capacity::OnDemand] } else { &[Capacity::OnDemand] };
        let choices: Vec<&[String]> = match self {
            Self::Fargate => subnets.chunks(1).collect(),
            Self::Instances(_) => vec![subnets],
        };
        let first = token.bytes().map(usize::from).sum::<usize>();
        let mut placements: Vec<Placement<'a>> = Vec::new();
        for capacity in capacities {
            for at in 0..choices.len() {
                let number = placements.len();
                // ECS repeats a definite refusal for the same token, so each placement has its own.
                let token =
                    if number == 0 { token.to_owned() } else { format!("{token}-{number}") };
                let subnets = choices[(first + at) % choices.len()];
                let provider = self.name(*capacity);
                placements.push(Placement { capacity: *capacity, provider, subnets, token });
            }
        }
        placements
    }

    /// The name of the capacity provider.
    fn name(&self, capacity: Capacity) -> &str {
        match (self, capacity) {
            (Self::Fargate, Capacity::Spot) => "FARGATE_SPOT",
            (Self::Fargate, Capacity::OnDemand) => "FARGATE",
            (Self::Instances(instances), Capacity::Spot) => &instances.spot,
            (Self::Instances(instances), Capacity::OnDemand) => &instances.on_demand,
        }
    }
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
        let all = Providers::Fargate.placements(&subnets, true, "t");
        assert_eq!(all.len(), 6);
        assert!(all[..3].iter().all(|placement| placement.capacity == Capacity::Spot));
        assert!(all[3..].iter().all(|placement| placement.capacity == Capacity::OnDemand));
        for half in [&all[..3], &all[3..]] {
            let mut named: Vec<&str> =
                half.iter().flat_map(|placement| placement.subnets).map(String::as_str).collect();
            named.sort_unstable();
            assert_eq!(named, ["a", "b", "c"]);
        }
    }

    #[test]
    fn every_placement_has_its_own_token_and_always_the_same() {
        let subnets = subnets();
        let all = Providers::Fargate.placements(&subnets, true, "sh_1-a2");
        let tokens: Vec<&str> = all.iter().map(|placement| placement.token.as_str()).collect();
        let wanted = ["sh_1-a2", "sh_1-a2-1", "sh_1-a2-2", "sh_1-a2-3", "sh_1-a2-4", "sh_1-a2-5"];
        assert_eq!(tokens, wanted);
        assert_eq!(all, Providers::Fargate.placements(&subnets, true, "sh_1-a2"));
    }

    #[test]
    fn different_requests_start_at_different_subnets() {
        let subnets = subnets();
        let first = |token| Providers::Fargate.placements(&subnets, false, token)[0].subnets;
        assert_ne!(first("sh_1-a1"), first("sh_2-a1"));
    }

    #[test]
    fn on_instances_a_request_names_all_subnets() {
        let (on_demand, spot) = ("group".to_owned(), "spot-group".to_owned());
        let providers = Providers::Instances(Instances { on_demand, spot, one_task_each: true });
        let subnets = subnets();
        let all = providers.placements(&subnets, true, "sh_1-a1");
        let tried: Vec<_> = all.iter().map(|one| (one.provider, one.subnets)).collect();
        assert_eq!(tried, [("spot-group", &subnets[..]), ("group", &subnets[..])]);
    }
}

//! Where a task may go, in order of preference.

/// Spare capacity, which can be taken back, or the usual one.
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

/// One place to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    pub(super) capacity: Capacity,
    pub(super) subnet: &'a str,
    /// Names the request, so that a repeated one gives the same task.
    pub(super) token: String,
}

/// All places for a request: each subnet, which is a zone, for each capacity. The same request gives
/// the same list; different ones begin at different subnets.
pub(super) fn choices<'a>(subnets: &'a [String], spot: bool, token: &str) -> Vec<Choice<'a>> {
    let capacities: &[Capacity] =
        if spot { &[Capacity::Spot, Capacity::OnDemand] } else { &[Capacity::OnDemand] };
    let begin = token.bytes().map(usize::from).sum::<usize>();
    let mut choices: Vec<Choice<'a>> = Vec::new();
    for capacity in capacities {
        for at in 0..subnets.len() {
            let number = choices.len();
            // A definite refusal is what its token gives from then on.
            let token = if number == 0 { token.to_owned() } else { format!("{token}-{number}") };
            let subnet = &subnets[(begin + at) % subnets.len()];
            choices.push(Choice { capacity: *capacity, subnet, token });
        }
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).into()
    }

    #[test]
    fn spot_is_asked_for_in_every_subnet_before_the_usual_capacity() {
        let subnets = subnets();
        let all = choices(&subnets, true, "t");
        assert_eq!(all.len(), 6);
        assert!(all[..3].iter().all(|choice| choice.capacity == Capacity::Spot));
        assert!(all[3..].iter().all(|choice| choice.capacity == Capacity::OnDemand));
        for half in [&all[..3], &all[3..]] {
            let mut named: Vec<&str> = half.iter().map(|choice| choice.subnet).collect();
            named.sort_unstable();
            assert_eq!(named, ["a", "b", "c"]);
        }
    }

    #[test]
    fn every_choice_has_a_token_of_its_own_and_always_the_same() {
        let subnets = subnets();
        let all = choices(&subnets, true, "sh_1-a2");
        let tokens: Vec<&str> = all.iter().map(|choice| choice.token.as_str()).collect();
        let wanted = ["sh_1-a2", "sh_1-a2-1", "sh_1-a2-2", "sh_1-a2-3", "sh_1-a2-4", "sh_1-a2-5"];
        assert_eq!(tokens, wanted);
        assert_eq!(all, choices(&subnets, true, "sh_1-a2"));
    }

    #[test]
    fn different_requests_begin_at_different_subnets() {
        let subnets = subnets();
        let first = |token| choices(&subnets, false, token)[0].subnet;
        assert_ne!(first("sh_1-a1"), first("sh_2-a1"));
    }
}

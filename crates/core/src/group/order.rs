//! The order of a group: each member after those that it needs, otherwise as they are declared.

use crate::names::ServiceName;

/// Members that each wait for the next, back to the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("services go round in a circle, so none could be the first: {}", .0.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" after "))]
pub struct InACircle(pub Vec<ServiceName>);

/// Places of `members` in the order in which they are released; `after` names members that come before. Names that are
/// no members do not count.
pub fn in_order(members: &[(ServiceName, Vec<ServiceName>)]) -> Result<Vec<usize>, InACircle> {
    let place = |name: &ServiceName| members.iter().position(|(member, _)| member == name);
    let mut order: Vec<usize> = Vec::with_capacity(members.len());
    while order.len() < members.len() {
        let ready = |(_, after): &(ServiceName, Vec<ServiceName>)| {
            after.iter().filter_map(place).all(|needed| order.contains(&needed))
        };
        let next = (0..members.len()).find(|i| !order.contains(i) && ready(&members[*i]));
        match next {
            Some(next) => order.push(next),
            None => return Err(circle(members, &order)),
        }
    }
    Ok(order)
}

/// Follows what each of the rest waits for until a name comes again.
fn circle(members: &[(ServiceName, Vec<ServiceName>)], done: &[usize]) -> InACircle {
    let place = |name: &ServiceName| members.iter().position(|(member, _)| member == name);
    let mut way: Vec<usize> = (0..members.len()).find(|i| !done.contains(i)).into_iter().collect();
    while let Some(last) = way.last().copied() {
        let next = members[last].1.iter().filter_map(place).find(|needed| !done.contains(needed));
        let Some(next) = next else { break };
        if let Some(begins) = way.iter().position(|i| *i == next) {
            way.drain(..begins);
            way.push(next);
            break;
        }
        way.push(next);
    }
    InACircle(way.into_iter().map(|i| members[i].0.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(ServiceName, Vec<ServiceName>)> {
        let name = |word: &str| word.parse().expect("a name");
        text.lines()
            .map(|line| {
                let (member, after) = line.split_once(':').expect("a colon");
                (name(member), after.split_whitespace().map(name).collect())
            })
            .collect()
    }

    #[test]
    fn each_comes_after_what_it_needs_and_otherwise_as_declared() {
        let order = in_order(&members("web: api\nsearch:\napi: db\ndb:")).expect("an order");
        assert_eq!(order, [1, 3, 2, 0]);
        assert_eq!(in_order(&members("a: elsewhere\nb:")).expect("an order"), [0, 1]);
    }

    #[test]
    fn a_circle_is_named() {
        let circle = in_order(&members("a: b\nb: c\nc: b\nd:")).expect_err("a circle");
        assert!(circle.to_string().ends_with("b after c after b"), "{circle}");
        assert!(in_order(&members("a: a")).expect_err("a circle").to_string().ends_with("a after a"));
    }
}

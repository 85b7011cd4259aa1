//! Graphs of names: who needs whom, cycles, and the longest way through.

use std::collections::HashMap;
use std::time::Duration;

use crate::drill::suggest::{did_you_mean, short};
use crate::drill::tree::{Node, Place};

use super::Findings;

/// Largest graph that is looked at; a longer list is an error by itself.
const MOST: usize = 200;

/// A node of a graph: a name, and the names that it needs.
pub struct Member<'a> {
    pub id: &'a str,
    pub needs: Vec<(&'a str, Place)>,
}

/// The members of a list of maps with an `id` and a list of names.
pub fn members<'a>(list: &'a [Node], needs: &str) -> Vec<Member<'a>> {
    if list.len() > MOST {
        return Vec::new();
    }
    let member = |node: &'a Node| {
        let needs = node.items_of(needs).iter().filter_map(|name| Some((name.text()?, name.at))).collect();
        Some(Member { id: node.text_of("id")?, needs })
    };
    list.iter().filter_map(member).collect()
}

/// Unknown, own and circular needs.
pub fn check(members: &[Member<'_>], found: &mut Findings<'_>) {
    let known: HashMap<&str, usize> = members.iter().enumerate().map(|(index, member)| (member.id, index)).collect();
    for member in members {
        for (name, at) in &member.needs {
            if *name == member.id {
                found.error(*at, format!("'{}' needs itself", short(name)));
            } else if !known.contains_key(name) {
                let near = did_you_mean(name, members.iter().map(|other| other.id).filter(|id| *id != member.id));
                found.error(*at, format!("'{}' needs '{}', which is not there{near}", short(member.id), short(name)));
            }
        }
    }
    let mut state = vec![Mark::New; members.len()];
    for start in 0..members.len() {
        let mut path = Vec::new();
        visit(start, members, &known, &mut state, &mut path, found);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

fn visit<'a>(
    index: usize,
    members: &[Member<'a>],
    known: &HashMap<&str, usize>,
    state: &mut [Mark],
    path: &mut Vec<usize>,
    found: &mut Findings<'_>,
) {
    if state[index] != Mark::New {
        return;
    }
    state[index] = Mark::OnPath;
    path.push(index);
    for (name, at) in &members[index].needs {
        let Some(&next) = known.get(name).filter(|next| **next != index) else { continue };
        if state[next] == Mark::OnPath {
            let from = path.iter().position(|member| *member == next).unwrap_or(0);
            let names: Vec<&str> = path[from..].iter().chain([&next]).map(|member| members[*member].id).collect();
            found.error(*at, format!("cycle: {}", names.join(" → ")));
        } else {
            visit(next, members, known, state, path, found);
        }
    }
    path.pop();
    state[index] = Mark::Done;
}

/// The longest sum of lengths along needs, for each member. Nothing when the graph has a cycle.
pub fn longest(members: &[Member<'_>], lengths: &[Duration]) -> Option<Vec<Duration>> {
    let known: HashMap<&str, usize> = members.iter().enumerate().map(|(index, member)| (member.id, index)).collect();
    let mut ends: Vec<Option<Duration>> = vec![None; members.len()];
    // Each round settles at least one member, or there is a cycle.
    for _ in 0..=members.len() {
        let mut open = false;
        for (index, member) in members.iter().enumerate().filter(|(index, _)| ends.get(*index).is_some_and(Option::is_none)).collect::<Vec<_>>() {
            let before: Option<Vec<Duration>> = member.needs.iter().filter_map(|(name, _)| known.get(name)).map(|need| ends[*need]).collect();
            match before {
                Some(before) => ends[index] = Some(before.into_iter().max().unwrap_or_default() + lengths.get(index).copied().unwrap_or_default()),
                None => open = true,
            }
        }
        if !open {
            return ends.into_iter().collect();
        }
    }
    None
}

/// Everything that a member needs, directly or not.
pub fn ancestors<'a>(members: &[Member<'a>], id: &str) -> Vec<&'a str> {
    let mut all: Vec<&'a str> = Vec::new();
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        let needs = members.iter().find(|member| member.id == next).map(|member| member.needs.as_slice()).unwrap_or_default();
        for (name, _) in needs {
            if !all.contains(name) {
                all.push(name);
                open.push(name);
            }
        }
    }
    all
}

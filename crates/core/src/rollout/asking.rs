//! Asking hooks before users move: their answers let a step begin, hold it, or take the release back. What silence
//! means is declared. Nothing is asked on the way back, nor where the share shrinks: nobody may stand in its way.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::advance::{decide, hold};
use super::effect::Effect;
use super::model::{Rollout, RolloutKind};
use super::plan::{Plan, Step, StepKind};
use super::turn::{ENGINE, Turn};
use super::undo;
use crate::hook::{self, Answer, Message, Word};
use crate::names::Digest;
use crate::spec::{Before, Hook, OnSilence};
use crate::units::{Millis, Timestamp, Weight};

/// How long after a hook's time the word of whoever asked it is waited for: it says why there is no answer.
const GRACE: Millis = Millis::from_secs(1);

/// A question to a hook, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The act of asking.
    pub key: String,
    /// Whose answer it is.
    pub hook: String,
    /// Before which step, an index into the plan.
    pub step: usize,
    /// 1 for the first time that it is asked before this step.
    pub round: u32,
    /// When its time is over.
    pub until: Timestamp,
    /// What its silence means.
    pub on_silence: OnSilence,
    /// What came of it; absent while it has time.
    pub reply: Option<Reply>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The hook has answered.
    Answered(Answer),
    /// It has not, and why.
    Silent(String),
    /// A person has answered in its place.
    Overruled(String),
}

impl Question {
    /// What it leads to, as far as it is known.
    fn word(&self) -> Option<Word> {
        Some(match self.reply.as_ref()? {
            Reply::Answered(answer) => answer.word,
            Reply::Overruled(_) => Word::Go,
            Reply::Silent(_) => match self.on_silence {
                OnSilence::Hold => Word::Hold,
                OnSilence::Go => Word::Go,
                OnSilence::Stop => Word::Stop,
            },
        })
    }

    /// The same as a sentence.
    fn sentence(&self) -> String {
        let (hook, means) = (&self.hook, self.word().map_or("", Word::as_str));
        match &self.reply {
            None => format!("hook {hook} is being asked"),
            Some(Reply::Answered(Answer { reason: Some(why), .. })) => format!("hook {hook} says {means}: {why}"),
            Some(Reply::Answered(_)) => format!("hook {hook} says {means}"),
            Some(Reply::Overruled(who)) => format!("{who} answers in place of hook {hook}"),
            Some(Reply::Silent(why)) => format!("hook {hook} does not answer, which means {means}: {why}"),
        }
    }
}

/// Whether the step's traffic may move: everybody who is to be asked has said go. Asks them if they were not.
pub(super) fn allowed(turn: &mut Turn, step: &Step, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    if open.kind != RolloutKind::Release || open.progress.shifted.is_some() {
        return true;
    }
    let hooks = asked_before(turn, open);
    if hooks.is_empty() {
        return true;
    }
    for hook in hooks {
        ask(turn, step, hook, now);
    }
    let Some(open) = &mut turn.lane.open else { return false };
    let at = open.step;
    for question in open.asked.iter_mut().filter(|q| q.step == at && q.reply.is_none() && now >= q.until.plus(GRACE)) {
        question.reply = Some(Reply::Silent("nothing was heard of it".to_string()));
    }
    let here: Vec<Question> = open.asked.iter().filter(|q| q.step == at).cloned().collect();
    let said = |word: Word| here.iter().find(|q| q.word() == Some(word));
    if let Some(question) = said(Word::Stop) {
        undo::begin(turn, &question.sentence(), &actor(question), None, Vec::new(), now);
        return false;
    }
    if let Some(question) = said(Word::Hold) {
        hold(turn, question.sentence(), Vec::new(), now);
        return false;
    }
    if let Some(until) = here.iter().filter(|q| q.reply.is_none()).map(|q| q.until.plus(GRACE)).min() {
        turn.wake(until);
        return false;
    }
    let sentence = here.iter().map(Question::sentence).collect::<Vec<_>>().join("; ");
    decide(turn, "go", ENGINE, sentence, Vec::new(), now);
    true
}

fn actor(question: &Question) -> String {
    match question.reply {
        Some(Reply::Answered(_)) => format!("hook:{}", question.hook),
        _ => ENGINE.to_string(),
    }
}

/// The hooks that are asked before the step at hand.
fn asked_before(turn: &Turn, open: &Rollout) -> Vec<Hook> {
    // A worker takes jobs as soon as it is started: there is nothing to ask before.
    if open.release.spec.is_worker() {
        return Vec::new();
    }
    let mut hooks = hook::of_release(&turn.lane, &open.release);
    hooks.retain(|hook| hook.before.is_some_and(|before| applies(before, &open.plan, open.step)));
    hooks
}

/// Whether step `index` is one before which is asked: it gives more than any before it, and for a promotion as much as any.
/// A cohort is nobody's share, and users all the same.
fn applies(before: Before, plan: &Plan, index: usize) -> bool {
    let most = |steps: &[Step]| steps.iter().filter_map(|s| s.kind.weight()).max().unwrap_or(Weight::ZERO);
    let Some(kind) = plan.steps.get(index).map(|s| s.kind) else { return false };
    let Some(weight) = kind.weight() else { return false };
    let grows = weight > most(&plan.steps[..index]) || matches!(kind, StepKind::Cohort { .. });
    match before {
        Before::Step => grows,
        Before::Promotion => grows && weight == most(&plan.steps),
    }
}

fn ask(turn: &mut Turn, step: &Step, hook: Hook, now: Timestamp) {
    let lane = turn.lane.id.clone();
    let Some(open) = &mut turn.lane.open else { return };
    let earlier = open.asked.iter().filter(|q| q.step == open.step && q.hook == hook.name);
    if earlier.clone().next().is_some() {
        return;
    }
    let round = open.rounds + 1;
    open.rounds = round;
    let key = format!("ask/{}/{}/{}/{round}", open.id, open.step, hook.name);
    let until = now.plus(hook.timeout);
    let weight = step.kind.weight().unwrap_or(Weight::ZERO);
    let who = match step.kind {
        StepKind::Cohort { .. } => step.name.clone(),
        _ => format!("{weight} of the traffic"),
    };
    let data = json!({
        "question": format!("may {who} go to {}?", open.release.version),
        "service": lane.service,
        "environment": lane.environment,
        "rollout": open.id,
        "version": open.release.version,
        "artifact": open.release.artifact,
        "config": open.release.config,
        "from": open.from,
        "step": step.name,
        "what": step.what,
        "weight_bp": weight.bp(),
        "asked_by": open.actor,
        "until": until.to_string(),
    });
    let kind = match hook.before {
        Some(Before::Promotion) => "ask.promotion",
        _ => "ask.step",
    };
    // Unlike keys, which are the lane's own, ids are unique for whoever hears of many.
    let id = Digest::of(format!("{lane} {key} {now}").as_bytes());
    let id = id.as_str().trim_start_matches("sha256:");
    let message: Message = hook::message(id, kind, Some(&lane), Some(open.id.as_str()), now, data);
    open.asked.push(Question {
        key: key.clone(),
        hook: hook.name.clone(),
        step: open.step,
        round,
        until,
        on_silence: hook.on_silence,
        reply: None,
    });
    let cause = format!("hook {} is asked whether {} may begin, until {until}", hook.name, step.name);
    turn.record("hook.asked", ENGINE, cause, json!({ "hook": hook.name, "step": step.name, "id": message.id }));
    turn.effects.push(Effect::Ask { key, hook: Box::new(hook), message: Box::new(message), until });
}

/// Takes in what a hook answered. An answer to a question that nobody asks any more is none.
pub(super) fn absorb(turn: &mut Turn, key: &str, answer: &Result<Answer, String>) {
    let Some(open) = &mut turn.lane.open else { return };
    let Some(question) = open.asked.iter_mut().find(|q| q.key == key && q.reply.is_none()) else { return };
    question.reply = Some(match answer {
        Ok(answer) => Reply::Answered(answer.clone()),
        Err(why) => Reply::Silent(why.clone()),
    });
    let question = question.clone();
    let evidence = json!({ "hook": question.hook, "answer": answer.as_ref().ok(), "silent": answer.as_ref().err() });
    turn.record("hook.answered", &actor(&question), question.sentence(), evidence);
}

/// The questions that keep the step at hand from beginning.
fn in_the_way(open: &Rollout) -> impl Iterator<Item = &Question> {
    let at = open.step;
    open.asked.iter().filter(move |q| q.step == at && q.word() != Some(Word::Go))
}

/// Whether the step at hand waits for a hook.
pub(super) fn waits(open: &Rollout) -> bool {
    open.progress.shifted.is_none() && in_the_way(open).next().is_some()
}

/// What is waited for, as a sentence, and until when.
pub(super) fn waiting(open: &Rollout) -> Option<(String, Timestamp)> {
    let first = in_the_way(open).find(|q| q.reply.is_none()).filter(|_| waits(open))?;
    let names: Vec<&str> = in_the_way(open).filter(|q| q.reply.is_none()).map(|q| q.hook.as_str()).collect();
    let step = open.plan.steps.get(open.step).map_or("the step", |s| s.name.as_str());
    Some((format!("an answer of {} whether {step} may begin", names.join(", ")), first.until))
}

/// A person resumes: whoever has not said go is asked again.
pub(super) fn again(open: &mut Rollout) {
    let at = open.step;
    if open.progress.shifted.is_none() {
        open.asked.retain(|q| q.step != at || q.word() == Some(Word::Go));
    }
}

/// A person answers in place of the hooks that the step at hand waits for.
pub(super) fn overrule(open: &mut Rollout, who: &str) {
    let at = open.step;
    for question in open.asked.iter_mut().filter(|q| q.step == at && q.word() != Some(Word::Go)) {
        question.reply = Some(Reply::Overruled(who.to_string()));
    }
}
